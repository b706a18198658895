"""Which addresses of shards are URIs, and which are refused."""

from dcgan_dist.errors import InputError

PROTOCOLS = ("http", "https", "s3", "gs", "gcs", "az", "abfs", "hdfs", "memory")


def is_uri(path: str) -> bool:
    """Whether a path names a remote place.

    Raises:
        InputError: it names one that is never opened, above all `pipe:`, which would run a shell command.
    """
    if path.startswith("pipe:"):
        raise InputError(
            f"{path} would run a shell command with your rights, which this program never does: "
            "fetch the shards first, or give an http(s)://, s3:// or gs:// address"
        )
    protocol, separator, _ = path.partition("://")
    if not separator:
        return False
    if protocol not in PROTOCOLS:
        raise InputError(f"{path} has an unknown protocol: use a local path or {'://, '.join(PROTOCOLS)}://")
    return True
