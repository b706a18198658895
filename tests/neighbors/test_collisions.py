"""Groups of equal codes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dcgan_dist.neighbors.collisions import equal_codes


@given(n=st.integers(0, 300), width=st.integers(1, 20), values=st.integers(1, 256), seed=st.integers(0, 2**20))
def test_groups_are_those_of_a_dictionary(n: int, width: int, values: int, seed: int) -> None:
    codes = np.random.default_rng(seed).integers(0, values, (n, width), np.uint8)
    numbers: dict[bytes, int] = {}

    groups = equal_codes(codes)

    assert groups.dtype == np.int64
    assert groups.tolist() == [numbers.setdefault(code.tobytes(), len(numbers)) for code in codes]


def test_codes_that_differ_in_one_bit_are_apart() -> None:
    codes = np.packbits(np.concatenate([np.eye(128, dtype=bool), np.eye(128, dtype=bool)]), axis=1)

    assert equal_codes(codes).tolist() == [*range(128), *range(128)]


def test_a_view_with_gaps_is_read_as_it_looks() -> None:
    codes = np.arange(64, dtype=np.uint8).reshape(8, 8) % 4

    assert equal_codes(codes[::2, ::2]).tolist() == equal_codes(codes[::2, ::2].copy()).tolist()
