"""Products of many rows with the few columns of a linear SVM: in C++ from the rows as they are stored, else by torch."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from dcgan_dist.neighbors.native import built

SOURCE = Path(__file__).with_name("row_products.cpp")
MOST_COLUMNS = 64
"""Above, matrix products are faster."""
MULTIPLIED_AS = {torch.float16: torch.float32, torch.float32: torch.float32, torch.float64: torch.float64}
"""By the dtype of rows that of the columns and results with which C++ multiplies them."""
STEP = 512
"""Features that a thread takes are a multiple of these, as the C++ part reads so many at once."""


@cache
def library() -> ctypes.CDLL | None:
    """The functions of row_products.cpp, or None with one warning where it cannot be built."""
    functions = built(SOURCE, "multiplying rows of features with torch")
    if functions is not None:
        pointer, number, size = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
        functions.score_rows.argtypes = [pointer, number, size, size, size, pointer, size, pointer]
        functions.sum_rows.argtypes = [pointer, number, size, size, size, size, pointer, size, pointer]
        functions.score_rows.restype = functions.sum_rows.restype = None
    return functions


def as_stored(block: Tensor, dtype: torch.dtype) -> Tensor:
    """A block of rows in the form in which it is multiplied: as it is where C++ converts it, else in this dtype."""
    direct = block.device.type == "cpu" and block.dtype == torch.float16 and dtype == torch.float32
    return block if direct and library() else block.to(dtype)


def score_rows(block: Tensor, columns: Tensor) -> Tensor:
    """Scores (b, k) of a block of rows (b, d) by columns (k, d), which are contiguous."""
    functions = _functions(block, columns)
    if functions is None:
        return block.to(columns.dtype) @ columns.T
    rows, dimension = block.shape
    scores = columns.new_empty(rows, len(columns))

    def part(first: int, last: int) -> None:
        functions.score_rows(
            *(_pointer(block), block.element_size(), first, last, dimension),
            *(_pointer(columns), len(columns), _pointer(scores)),
        )

    _in_threads(part, rows, 2)
    return scores


def add_rows(sums: Tensor, block: Tensor, factors: Tensor) -> None:
    """Add to sums (k, d) the rows of a block (b, d), each times its factors (b, k); in place."""
    functions = _functions(block, sums)
    if functions is None:
        sums.addmm_(factors.T, block.to(sums.dtype))
        return
    (rows, dimension), factors = block.shape, factors.contiguous()

    def part(first: int, last: int) -> None:
        functions.sum_rows(
            *(_pointer(block), block.element_size(), rows, first, last, dimension),
            *(_pointer(factors), len(sums), _pointer(sums)),
        )

    _in_threads(part, dimension, STEP)


def _functions(block: Tensor, columns: Tensor) -> ctypes.CDLL | None:
    assert block.shape[1] == columns.shape[1], (block.shape, columns.shape)
    fits = block.device.type == "cpu" and columns.dtype == MULTIPLIED_AS.get(block.dtype)
    fits = fits and block.is_contiguous() and columns.is_contiguous()
    return library() if fits and len(columns) <= MOST_COLUMNS else None


def _in_threads(part: Callable[[int, int], None], size: int, step: int) -> None:
    """Call with first and last of as many parts of `size` as there are threads, multiples of `step`."""
    threads = torch.get_num_threads()
    ends = sorted({0, *(size * thread // threads // step * step for thread in range(1, threads)), size})
    list(_threads().map(lambda ends: part(*ends), pairwise(ends)))  # of what fails the first error is raised


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(torch.get_num_threads(), "rows")


def _pointer(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())
