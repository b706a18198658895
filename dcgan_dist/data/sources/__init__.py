"""Where samples come from before they are shards: each module reads one form in which people have images."""
