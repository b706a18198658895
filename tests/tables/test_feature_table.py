"""Tables of features against the same rows in memory."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dcgan_dist.errors import InputError
from dcgan_dist.tables.feature_table import FeatureTable, MemoryRows


def filled(folder: Path, rows: int, dtype: torch.dtype = torch.float32) -> tuple[FeatureTable, torch.Tensor]:
    table = FeatureTable(folder=folder, rows=rows, dimensions=5, part_rows=7)
    values = torch.randn(rows, 5, generator=torch.Generator().manual_seed(rows))
    for number in table.parts:
        part = table.part_range(number)
        table.write_part(number, values[part.start : part.stop], dtype)
    return table, values


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 30), data=st.data())
def test_rows_come_back_in_any_order_and_in_bounded_blocks(
    rows: int, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    table, values = filled(tmp_path_factory.mktemp("table"), rows)
    positions = np.array(data.draw(st.lists(st.integers(0, rows - 1), min_size=1)), np.int64)

    for rows_of in (table, MemoryRows(values=values)):
        assert torch.equal(rows_of.take(positions), values[torch.from_numpy(positions)])
        assert torch.equal(torch.cat(list(rows_of.blocks())), values)
        assert torch.equal(torch.cat(list(rows_of.blocks(positions))), values[torch.from_numpy(positions)])
    assert max(map(len, [*table.blocks(), *table.blocks(positions)])) <= 7


def test_standardised_rows_have_mean_0_and_deviation_1(tmp_path: Path) -> None:
    table, values = filled(tmp_path, 25)

    mean, scale = table.mean_and_scale()

    torch.testing.assert_close(mean, values.mean(0))
    torch.testing.assert_close(scale, (values.var(0, correction=0) + 0.01).sqrt())
    moved, again = (table.standardised(mean, scale) for _ in range(2))
    torch.testing.assert_close(torch.cat(list(moved.blocks())), (values - mean) / scale)
    assert again.folder == moved.folder != table.standardised(mean + 1, scale).folder
    assert torch.equal(torch.cat(list(table.blocks())), values)


def test_parts_of_another_discriminator_torn_parts_and_nan_are_refused(tmp_path: Path) -> None:
    table, _ = filled(tmp_path, 20)

    with pytest.raises(InputError, match="belongs to another"):
        FeatureTable(folder=tmp_path, rows=19, dimensions=5, part_rows=7).take(np.array([18]))
    with pytest.raises(InputError, match="NaN"):
        table.write_part(2, torch.full((6, 5), torch.nan), torch.float32)
    with pytest.raises(InputError, match="do not fit float16"):
        table.write_part(2, torch.full((6, 5), 1e6), torch.float16)
    table.part(0).write_bytes(table.part(0).read_bytes()[:40])
    with pytest.raises(InputError, match="cannot be read"):
        table.take(np.array([0]))
