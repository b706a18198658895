"""Near duplicates among training images: codes, a verifier of pairs, groups, keep lists and the report."""
