"""What a coder is, and how one is read back from its folder."""

from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.errors import InputError
from dcgan_dist.similarity.coder_files import read_coder
from dcgan_dist.similarity.paper_codes import PaperCoder
from dcgan_dist.similarity.recommended_codes import RecommendedCoder
from dcgan_dist.untrusted import refusing


class Coder(Protocol):
    """Thumbnails to codes whose Hamming distance is small where two images show the same."""

    name: ClassVar[str]
    """`recommended` or `paper`."""

    @property
    def code_bits(self) -> int:
        """Bits of a code, a multiple of 8."""
        ...

    def embed(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The real vectors before the threshold: (n, 3, 32, 32) uint8 -> (n, d)."""
        ...

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Codes of thumbnails: (n, 3, 32, 32) uint8 -> (n, code_bits / 8), the same on every call."""
        ...

    def save(self, folder: Path) -> None:
        """Write the coder so that `load_coder` gives back an equal one."""
        ...


KINDS = {RecommendedCoder.name: RecommendedCoder, PaperCoder.name: PaperCoder}


def load_coder(folder: Path) -> Coder:
    """Read a coder that `save` wrote.

    Raises:
        InputError: it is missing, damaged or of an unknown kind.
    """
    name, settings, arrays = read_coder(folder)
    if name not in KINDS:
        raise InputError(f"{folder} holds a coder {name!r}: known are {', '.join(KINDS)}")
    with refusing(f"{folder} was written by another version", "fit the coder again"):
        return KINDS[name].from_arrays(settings, arrays)
