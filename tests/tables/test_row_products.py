"""Products of rows with few columns, against float64."""

import pytest
import torch

from dcgan_dist.tables import row_products
from dcgan_dist.tables.row_products import add_rows, as_stored, score_rows


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("rows", "dimension", "columns"), [(37, 1003, 10), (1, 7, 3), (2, 512, 5), (9, 2048, 12), (5, 600, 70)]
)
def test_scores_and_sums_are_those_of_float64(
    monkeypatch: pytest.MonkeyPatch, native: bool, dtype: torch.dtype, rows: int, dimension: int, columns: int
) -> None:
    if not native:
        monkeypatch.setattr(row_products, "library", lambda: None)
    draw = torch.Generator().manual_seed(0)
    block = torch.randn(rows, dimension, generator=draw).to(dtype)
    working = torch.float64 if dtype == torch.float64 else torch.float32
    weights = torch.randn(columns, dimension, generator=draw, dtype=working)
    factors = torch.randn(rows, columns, generator=draw, dtype=working)
    sums = torch.ones(columns, dimension, dtype=working)

    scores = score_rows(as_stored(block, working), weights)
    add_rows(sums, as_stored(block, working), factors)

    assert scores.dtype == working
    torch.testing.assert_close(scores.double(), block.double() @ weights.double().T, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(sums.double(), 1 + factors.double().T @ block.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dimension", [1, 16])
def test_every_float16_is_read_as_torch_reads_it(dimension: int) -> None:
    values = torch.arange(-(1 << 15), 1 << 15, dtype=torch.int32).to(torch.int16).view(torch.float16)
    rows = values[values.isfinite()][:, None].repeat(1, dimension)
    last = torch.eye(dimension)[-1:]

    assert torch.equal(score_rows(as_stored(rows, torch.float32), last), rows[:, -1:].float())
