"""Train, search, check and explain DCGANs: the names that other code imports.

>>> from dcgan_dist import load_generator, sample_images
>>> generator = load_generator("models:/dcgan-rooms-generator@candidate")
>>> images = sample_images(generator, 16)

Each name is loaded when it is first used, so that importing the package stays fast and needs neither torch nor Ray.
Progress is logged to the logger `dcgan_dist` of the standard `logging`, from level INFO on.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dcgan_dist.api import sample_images, stream_batches, train
    from dcgan_dist.data.shards.manifest import load_manifest as open_shards
    from dcgan_dist.dedup.find_duplicates import find_duplicates
    from dcgan_dist.memorization.check import check_memorization
    from dcgan_dist.registry.load import load_classifier, load_discriminator, load_generator

__all__ = [
    "check_memorization",
    "find_duplicates",
    "load_classifier",
    "load_discriminator",
    "load_generator",
    "open_shards",
    "sample_images",
    "stream_batches",
    "train",
]

_ADDRESSES = {
    "check_memorization": "dcgan_dist.memorization.check:check_memorization",
    "find_duplicates": "dcgan_dist.dedup.find_duplicates:find_duplicates",
    "load_classifier": "dcgan_dist.registry.load:load_classifier",
    "load_discriminator": "dcgan_dist.registry.load:load_discriminator",
    "load_generator": "dcgan_dist.registry.load:load_generator",
    "open_shards": "dcgan_dist.data.shards.manifest:load_manifest",
    "sample_images": "dcgan_dist.api:sample_images",
    "stream_batches": "dcgan_dist.api:stream_batches",
    "train": "dcgan_dist.api:train",
}


def __getattr__(name: str) -> Any:
    if name not in _ADDRESSES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, function = _ADDRESSES[name].partition(":")
    globals()[name] = value = getattr(importlib.import_module(module), function)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
