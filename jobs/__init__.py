"""One verb per file: parse, call, exit. Installed as `dcgan_dist.jobs`, where the command `dcgan` finds them."""
