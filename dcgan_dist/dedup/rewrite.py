"""What stays of de-duplicated data sets, written as shards of their own."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcgan_dist.data.shards.keep_list import KeepList
from dcgan_dist.dedup.corpus import Corpus
from dcgan_dist.dedup.options import DedupOptions
from dcgan_dist.dedup.representatives import Representatives
from dcgan_dist.errors import InputError
from dcgan_dist.prepare.preparations import ShardOptions
from dcgan_dist.prepare.sources.existing_shards import ShardSource
from dcgan_dist.prepare.write_shards import prepare


def rewrite(
    options: DedupOptions, corpus: Corpus, chosen: Representatives, names: NDArray[np.bytes_], lists: list[KeepList]
) -> dict[str, Any]:
    """Write what stays of the thinned data sets, with their other splits, as shards.

    Raises:
        InputError: the folder cannot be written, or holds other shards.
    """
    starts, stays = corpus.part_starts, chosen.stays
    numbers = [number for number, part in enumerate(corpus.parts) if part.from_shards]
    positions = [np.flatnonzero(stays[starts[number] : starts[number + 1]]) for number in numbers]
    manifests = tuple(corpus.parts[number].manifest for number in numbers)
    sizes = {manifest.image_size for manifest in manifests}
    source = ShardSource(
        dataset=manifests[0].dataset,
        image_size=sizes.pop() if len(sizes) == 1 else 0,
        image_channels=manifests[0].image_channels,
        manifests=manifests,
        positions=tuple(positions),
        keys=tuple(names[starts[number] + rows] for number, rows in zip(numbers, positions, strict=True)),
        origin={"keep_lists": [keep_list.hash for keep_list in lists], "radius": lists[0].radius},
    )
    largest = max(max(part.manifest.shard_samples) for part in corpus.parts)
    shards = ShardOptions(out=options.rewrite, layout=manifests[0].layout, shard_samples=largest, cpus=options.cpus)
    try:
        return prepare(source, shards).to_json()
    except InputError as error:
        raise error.renamed(out="rewrite") from error
