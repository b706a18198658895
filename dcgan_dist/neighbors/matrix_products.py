"""All pairs within a radius by matrix products of +-1 vectors: the bits that differ are (code_bits - product) / 2."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from dcgan_dist.neighbors.native_search import Shared
from dcgan_dist.neighbors.pairs import Codes, Pairs

_ROWS = 1 << 14


def product_pairs(codes: Codes, others: Codes | None, radius: int, device: str) -> Iterator[Shared]:
    """Pairs within the radius by products of blocks of at most 16,384 codes; only pairs within it leave the device.

    On a GPU the products are float16, which holds every integer up to 2,048 exactly, so codes up to that many bits.
    """
    database = codes if others is None else others
    exact = torch.float16 if device != "cpu" and 8 * codes.shape[1] <= 2048 else torch.float32
    columns = [_signs(database[start : start + _ROWS], exact, device) for start in range(0, len(database), _ROWS)]
    for start in range(0, len(codes), _ROWS):
        rows = _signs(codes[start : start + _ROWS], exact, device)
        for number in range(start // _ROWS if others is None else 0, len(columns)):
            products = rows @ columns[number].T
            near = products >= 8 * codes.shape[1] - 2 * radius
            if others is None and number == start // _ROWS:
                near = near.triu(1)
            first, second = near.nonzero(as_tuple=True)
            distances = (8 * codes.shape[1] - products[first, second].float()) / 2
            pairs = Pairs(
                first.cpu().numpy() + start,
                second.cpu().numpy() + number * _ROWS,
                distances.cpu().numpy().astype(np.int16),
            )
            # Columns before the diagonal are not computed, so the steps of a row of blocks are not equal shares.
            yield len(rows) / len(codes) / (len(columns) - (start // _ROWS if others is None else 0)), pairs


def _signs(codes: Codes, dtype: torch.dtype, device: str) -> Tensor:
    bits = torch.from_numpy(np.unpackbits(codes, axis=1)).to(device)
    return bits.to(dtype) * 2 - 1
