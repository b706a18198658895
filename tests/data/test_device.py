"""Batches reach the device unchanged, and their reading ends with them."""

from collections.abc import Generator

import pytest
import torch

from dcgan_dist.data.device import to_device
from dcgan_dist.data.stream import Batch


def counted(closed: list[bool], n: int = 5) -> Generator[Batch]:
    try:
        for i in range(n):
            yield Batch(torch.full((2, 3, 4, 4), i, dtype=torch.uint8), torch.tensor([i, i]) if i % 2 else None)
    finally:
        closed.append(True)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_every_batch_arrives_in_order(device: str) -> None:
    closed: list[bool] = []

    arrived = list(to_device(counted(closed), torch.device(device)))

    assert [int(batch.images.float().mean()) for batch in arrived] == [0, 1, 2, 3, 4]
    labels = [None if batch.labels is None else batch.labels.tolist() for batch in arrived]
    assert labels == [None, [1, 1], None, [3, 3], None]
    assert {batch.images.device.type for batch in arrived} == {device}
    assert closed == [True]


def test_closing_early_closes_the_reading() -> None:
    closed: list[bool] = []
    batches = to_device(counted(closed), torch.device("cpu"))
    next(batches)

    batches.close()

    assert closed == [True]
