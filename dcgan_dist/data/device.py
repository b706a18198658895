"""Moving batches to a GPU one ahead of the step that uses them."""

from collections.abc import Generator, Iterator

import torch

from dcgan_dist.data.stream import Batch


def to_device(batches: Generator[Batch], device: torch.device) -> Generator[Batch]:
    """Give the same batches on a device; closing it closes `batches`.

    For a GPU a batch is copied from pinned memory on a stream of its own while the step before it computes. Images
    stay uint8, a quarter of the bytes; the step normalises them there.
    """
    try:
        if device.type == "cuda":
            yield from _copied_ahead(batches, device)
        else:
            yield from batches
    finally:
        batches.close()


def _copied_ahead(batches: Iterator[Batch], device: torch.device) -> Generator[Batch]:
    side = torch.cuda.Stream(device)
    waiting: Batch | None = None
    for batch in batches:
        with torch.cuda.stream(side):
            images = batch.images.pin_memory().to(device, non_blocking=True)
            labels = None if batch.labels is None else batch.labels.pin_memory().to(device, non_blocking=True)
        if waiting is not None:
            yield waiting
        torch.cuda.current_stream(device).wait_stream(side)
        for tensor in (images, labels):
            if tensor is not None:
                tensor.record_stream(torch.cuda.current_stream(device))
        waiting = Batch(images, labels)
    if waiting is not None:
        yield waiting
