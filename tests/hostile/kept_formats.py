"""More formats: what de-duplication keeps between its calls, and the files of registered models."""

import functools
import random
import tempfile
from pathlib import Path

import numpy as np

from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.dedup.corpus import Corpus, Part
from dcgan_dist.dedup.pair_files import PairRule, ScoredPairs, Search, known_pairs, write_pairs
from dcgan_dist.dedup.shard_files import (
    Damaged,
    codes_path,
    load_codes,
    load_thumbnails,
    make_codes,
    make_thumbnails,
)
from dcgan_dist.errors import InputError
from dcgan_dist.registry.load import load_generator
from dcgan_dist.registry.registry import register_network
from dcgan_dist.tracking.runs import TrackedRun
from tests.helpers.mutations import Mutator, mutate_bytes, mutate_json, mutate_npy, mutate_npz, mutate_zip
from tests.helpers.networks import drawn_generator
from tests.helpers.shards import write_shards
from tests.helpers.tracking_places import new_database
from tests.hostile.format import Format

CODER = "0" * 64


def dedup_file(folder: Path, kind: str) -> Format:
    """thumbnails, about (what is noted beside these), codes or pairs of a shard with four images."""
    write_shards(folder / "shards", [4])
    part = Part(label="t", manifest=load_manifest(str(folder / "shards")), protected=False, from_shards=True)
    corpus = Corpus(parts=(part,))
    (shard,) = corpus.shards
    rule = PairRule(names=(shard.name,), hash="h", radius=9)
    make_thumbnails(folder, part, shard)
    make_codes(folder, part, shard, lambda pictures: pictures.reshape(len(pictures), -1)[:, :16], CODER)
    pairs = ScoredPairs(np.array([0, 1]), np.array([2, 3]), np.array([3, 9], np.int16), np.array([0.5, 1], np.float32))
    write_pairs(folder / "pairs" / "p.npz", corpus, Search((0,), ()), rule, pairs)
    hashed = load_thumbnails(folder, shard)
    assert hashed is not None

    def read() -> None:
        try:
            load_thumbnails(folder, shard)
            load_codes(folder, shard, CODER, hashed.sha256)
        except Damaged as error:  # it is named and made again
            raise InputError(str(error)) from error
        _, _, damages = known_pairs(folder / "pairs", corpus, rule)
        if damages:
            raise InputError(damages[0])

    paths = {
        "thumbnails": folder / "thumbnails" / f"{shard.name}.npy",
        "about": folder / "thumbnails" / f"{shard.name}.npz",
        "codes": codes_path(folder, shard, CODER),
        "pairs": folder / "pairs" / "p.npz",
    }
    return Format(path=paths[kind], mutate=mutate_npy if kind == "thumbnails" else mutate_npz, read=read)


@functools.cache
def _registered() -> tuple[tempfile.TemporaryDirectory[str], str, str, Path, dict[str, bytes]]:
    """A folder that lives as long as this process, its database, a model in it, the model's files and their contents."""
    home = tempfile.TemporaryDirectory()
    tracking_uri = new_database(Path(home.name))
    run = TrackedRun.create(tracking_uri, "registry", "a run", {}, {})
    uri = register_network(run, drawn_generator(), "dcgan-hostile-generator", card="A card.", tags={}).uri
    (settings,) = Path(home.name).rglob("MLmodel")
    names = ("MLmodel", "extra_files/model_config.json", "data/model.pt2")
    return home, tracking_uri, uri, settings.parent, {name: (settings.parent / name).read_bytes() for name in names}


def model_file(folder: Path, name: str) -> Format:
    """One file of a model in an artifact store, which somebody else may have changed there."""
    _, tracking_uri, uri, place, contents = _registered()
    for each, content in contents.items():
        (place / each).write_bytes(content)
    return Format(path=place / name, mutate=MODEL_FILES[name], read=lambda: load_generator(uri, tracking_uri))


def _mutate_graph(data: bytes, rng: random.Random) -> bytes:
    return mutate_bytes(data, rng) if rng.randrange(2) else mutate_zip(data, rng)


MODEL_FILES: dict[str, Mutator] = {
    "MLmodel": mutate_bytes,
    "extra_files/model_config.json": mutate_json,
    "data/model.pt2": _mutate_graph,
}
