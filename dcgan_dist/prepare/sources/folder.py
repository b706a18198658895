"""Photographs in folders, tars, zips and img2dataset's output, without labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from dcgan_dist.data.shards.images import REMARKS, ImageFault, open_image, resize_and_crop, to_array
from dcgan_dist.data.shards.keys import keys_of_paths
from dcgan_dist.data.shards.writer import Sample
from dcgan_dist.prepare.sources.base import Item, Rejected, Source
from dcgan_dist.prepare.sources.image_files import find_images


@dataclass(frozen=True, kw_only=True)
class FolderSource(Source):
    """Every image below some paths, in the order of their names, as a square: shorter side resized, centre cut out."""

    paths: tuple[str, ...]
    """Folders, tars and zips."""
    dataset: str = "folder"
    KIND: ClassVar[str] = "folder"
    """What the manifest calls this form."""
    NOTES_SIZE: ClassVar[bool] = True
    """Whether the details say how large an image was, so that the best of near duplicates can be kept."""

    def items(self) -> Sequence[Item]:
        """One item per file with an image's suffix.

        Raises:
            InputError: a path is missing or unreadable, or there is no image.
        """
        names, places = zip(*find_images(self.paths), strict=True)
        return [Item(key, place) for key, place in zip(keys_of_paths(names), places, strict=True)]

    def read(self, item: Item) -> Iterator[Sample | Rejected]:
        """What `cut` makes of one file, or why it cannot be read.

        Raises:
            InputError: the fault is not that of one file: its folder is not seen from here, or does not answer.
        """
        try:
            with open_image(item.ref.read_bytes()) as image:
                results = list(self.cut(item, image))
        except (ImageFault, OSError) as error:
            if isinstance(error, OSError):
                item.ref.refuse_if_away(error)
            results = [Rejected(key=item.key, reason=str(error))]
        yield from results

    def cut(self, item: Item, image: Image.Image) -> Iterator[Sample | Rejected]:
        """The samples that an image from open_image gives: here one square.

        Raises:
            ImageFault: it is too long and narrow.
        """
        details = {"original_size": list(image.size)} if self.NOTES_SIZE else None
        pixels = to_array(resize_and_crop(image, self.image_size), self.image_channels)
        yield Sample(key=item.key, pixels=pixels, label=item.label, details=details, remarks=image.info[REMARKS])

    def describe(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Preprocessing and origin."""
        preprocessing = {"resize": "shorter side, antialiased bicubic", "crop": "centre", "size": self.image_size}
        return preprocessing, {"kind": self.KIND, "names": [Path(path).name for path in self.paths]}
