"""Fetching the small public data sets, by torchvision, which knows their addresses and checksums."""

from pathlib import Path
from urllib.error import URLError

from torchvision.datasets import CIFAR10, MNIST, SVHN

from dcgan_dist.errors import InputError


def download(dataset: str, folder: str) -> None:
    """Fetch cifar10, svhn or mnist into a folder, unless it is there already.

    Raises:
        InputError: there is no network, or the servers do not answer.
    """
    root = str(Path(folder).expanduser())
    try:
        if dataset == "svhn":
            for split in ("train", "test"):
                SVHN(root, split=split, download=True)
        else:
            {"cifar10": CIFAR10, "mnist": MNIST}[dataset](root, download=True)
    except (URLError, OSError, RuntimeError) as error:
        raise InputError(
            f"{dataset} could not be fetched ({error}): bring a copy to this machine and give its folder as `source`"
        ) from error
