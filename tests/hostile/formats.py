"""Every format that is read from others: a small valid file, how it is damaged, and everything that reads it."""

import dataclasses
import gzip
import hashlib
import io
import json
import pickle
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from scipy.io import savemat

from dcgan_dist.config import ClassifierConfig, ModelConfig, QualityConfig, SupervisedConfig
from dcgan_dist.data.scan import scan_images
from dcgan_dist.data.shards.index import index_name
from dcgan_dist.data.shards.inspection import inspect
from dcgan_dist.data.shards.keep_list import Dropped, KeepList, load_keep_list, write_keep_list
from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import MANIFEST_NAME
from dcgan_dist.data.shards.stored_samples import ShardSamples
from dcgan_dist.doctor.cluster_files import ClusterFile, nodes
from dcgan_dist.explore.boxes import Box, read_boxes, to_coco
from dcgan_dist.explore.exemplars import read_exemplars
from dcgan_dist.files import sha256_of
from dcgan_dist.memorization.image_sets import read_image_set
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.latents import prior_batches
from dcgan_dist.models.standing_statistics import restandardise
from dcgan_dist.prepare.sources import imagenet
from dcgan_dist.prepare.sources.cifar10 import Cifar10Source
from dcgan_dist.prepare.sources.mnist import MnistSource
from dcgan_dist.prepare.sources.svhn import SvhnSource
from dcgan_dist.presets import preset
from dcgan_dist.registry.export_folder import export_network
from dcgan_dist.registry.load import load_generator
from dcgan_dist.report.sections import read_results, section
from dcgan_dist.search.trial_draws import open_space
from dcgan_dist.similarity.appearance import NUMBERS
from dcgan_dist.similarity.codes import load_coder
from dcgan_dist.similarity.recommended_codes import RecommendedCoder
from dcgan_dist.training.whole_checkpoint import Progress, load_log, save_checkpoint
from tests.helpers.mutations import (
    Mutator,
    mutate_bytes,
    mutate_json,
    mutate_json_lines,
    mutate_npy,
    mutate_npz,
    mutate_value,
)
from tests.helpers.networks import drawn_example, drawn_generator
from tests.helpers.shards import pixels_of, write_shards
from tests.helpers.tars import tar_of
from tests.hostile.format import Format
from tests.hostile.kept_formats import MODEL_FILES, dedup_file, model_file


def read_shards(folder: Path) -> None:
    """All that jobs read of a data set: samples, details, batches, every byte."""
    manifest = load_manifest(str(folder))
    inspect(manifest)
    for shard in range(len(manifest.shards)):
        with ShardSamples(manifest, shard) as samples:
            list(samples.details(range(len(samples))))
    for _ in scan_images(manifest, image_size=8, batch_size=4):
        pass


def seal_shards(folder: Path) -> None:
    """Sizes and hashes in the manifest, as its files now are."""
    manifest = json.loads((folder / MANIFEST_NAME).read_text())
    for shard in manifest["shards"]:
        tar = folder / shard["name"]
        shard |= {"bytes": tar.stat().st_size, "sha256": sha256_of(tar)}
        shard |= {"index_sha256": sha256_of(tar.with_name(index_name(tar.name)))}
    (folder / MANIFEST_NAME).write_text(json.dumps(manifest))


def _manifest(folder: Path) -> Format:
    write_shards(folder, [3, 2])
    return Format(path=folder / MANIFEST_NAME, mutate=mutate_json, read=lambda: read_shards(folder))


def _index(folder: Path) -> Format:
    write_shards(folder, [3, 2], layout="blocks")
    path = folder / "t-train-000000.index.npz"
    return Format(path=path, mutate=mutate_npz, read=lambda: read_shards(folder), seal=lambda: seal_shards(folder))


def _shard(folder: Path) -> Format:
    write_shards(folder, [3])
    path = folder / "t-train-000000.tar"
    return Format(path=path, mutate=mutate_bytes, read=lambda: read_shards(folder), seal=lambda: seal_shards(folder))


def _tar(folder: Path) -> Format:
    members = [
        ("a/0.png", _png(0)),
        ("a/0.cls", b"1"),
        ("a/0.json", b'{"x": [1]}'),
        ("b.png", _png(1)),
        ("b.cls", b"0"),
    ]
    path = folder / "t.tar"
    path.write_bytes(tar_of(members))

    def read() -> None:
        for made in (folder / MANIFEST_NAME, folder / "t.index.npz"):
            made.unlink(missing_ok=True)
        read_shards(folder)

    return Format(path=path, mutate=mutate_bytes, read=read)


def _png(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels_of(number)).save(buffer, "PNG")
    return buffer.getvalue()


def _keep_list(folder: Path) -> Format:
    manifest = write_shards(folder / "shards", [6])
    path = folder / "keep_list.json"
    dropped = [Dropped(position=1, key="s00001", reason="near duplicate", kept="s00000", distance=3, score=0.5)]
    keep = KeepList(
        manifest_hash=manifest.hash, positions=np.array([0, 2, 3]), radius=4, counts={"kept": 3}, dropped=dropped
    )
    write_keep_list([keep, keep], path)
    return Format(path=path, mutate=mutate_json, read=lambda: load_keep_list(str(path), manifest))


def _checkpoint(folder: Path, name: str, mutate: Mutator) -> Format:
    shape = ModelConfig(
        image_size=4,
        generator_width=1,
        generator_maps=(1,),
        generator_strides=(2,),
        discriminator_width=1,
        discriminator_maps=(1,),
        discriminator_strides=(2,),
        latent_dim=2,
    )
    config = dataclasses.replace(preset("demo32"), model=shape, quality=QualityConfig(samples=0))
    z = prior_batches(shape, batches=1, batch_size=2, seed=0, device="cpu", dtype=torch.float32)
    state = restandardise(Generator(shape), z).state_dict()
    progress, log = Progress(step=1, images_seen=4, frechet=1.5, pending={"loss": (1.0, 2)}), [{"step": 1, "loss": 0.5}]
    save_checkpoint(folder / "c", config, progress, {"generator": state}, log)

    def seal() -> None:
        if name != "checkpoint.json":
            content = json.loads((folder / "c" / "checkpoint.json").read_text())
            content["sha256"][name] = sha256_of(folder / "c" / name)
            (folder / "c" / "checkpoint.json").write_text(json.dumps(content))

    def read() -> None:
        load_log(folder / "c")
        load_generator(str(folder / "c"))

    return Format(path=folder / "c" / name, mutate=mutate, read=read, seal=seal)


def _example(folder: Path) -> Format:
    path = folder / "netG.pth"
    torch.save(drawn_example("generator", nz=2, width=1, hidden=1)[0].state_dict(), path)
    return Format(path=path, mutate=mutate_tensors, read=lambda: load_generator(str(path)))


def _export(folder: Path, name: str, mutate: Mutator) -> Format:
    export_network(drawn_generator(), str(folder / "e"), file_format="safetensors", card="# A card")
    return Format(path=folder / "e" / name, mutate=mutate, read=lambda: load_generator(str(folder / "e")))


def mutate_tensors(data: bytes, rng: random.Random) -> bytes:
    """Bytes of a file of tensors, or one of its tensors or names."""
    if rng.randrange(2):
        return mutate_bytes(data, rng)
    state = torch.load(io.BytesIO(data), weights_only=True)
    name = rng.choice(list(state))
    match rng.randrange(5):
        case 0:
            del state[name]
        case 1:
            state[name] = state[name].double() if rng.randrange(2) else state[name].bool()
        case 2:
            state[name] = state[name][None]
        case 3:
            state = mutate_value({"a": 1, "b": ["x"]}, rng)
        case 4:
            state[name] = mutate_value([1.0, "x"], rng)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _cifar10(folder: Path) -> Format:
    path = folder / "data_batch_1"
    images = np.random.default_rng(0).integers(0, 256, (4, 3072), dtype=np.uint8)

    def batch(content: dict[str, Any]) -> bytes:  # with the module names of the numpy that wrote the official files
        return pickle.dumps(content, protocol=2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")

    path.write_bytes(batch({"data": images, "labels": [0, 9, 3, 1], "filenames": ["a"] * 4}))

    def mutate(data: bytes, rng: random.Random) -> bytes:
        if rng.randrange(2):
            return mutate_bytes(data, rng)
        content: dict[str, Any] = {"data": images, "labels": [0, 9, 3, 1]}
        if rng.randrange(2):
            content["labels"] = mutate_value({"x": content["labels"]}, rng)
        else:
            content["data"] = (
                images.tolist() if rng.randrange(2) else images[:, : rng.randrange(3072)].astype("i8") * -1
            )
        return batch(content)

    return Format(path=path, mutate=mutate, read=lambda: Cifar10Source(path=str(folder)).items())


def _svhn(folder: Path, *, compressed: bool) -> Format:
    path = folder / "train_32x32.mat"
    images = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 4), dtype=np.uint8)
    savemat(path, {"X": images, "y": np.array([[1], [10], [2], [3]], np.uint8)}, do_compression=compressed)

    def mutate(data: bytes, rng: random.Random) -> bytes:
        if rng.randrange(2):
            head = mutate_bytes(data[:400], rng)
            return head + data[400:]
        if rng.randrange(2):
            return mutate_bytes(data, rng)
        content = mutate_value({"X": [1, 2.5], "y": [[1], [2]]}, rng)
        buffer = io.BytesIO()
        try:
            savemat(buffer, content if isinstance(content, dict) else {"X": content}, do_compression=compressed)
        except Exception:  # what scipy cannot write is no file
            return mutate_bytes(data, rng)
        return buffer.getvalue() or b"x"

    return Format(path=path, mutate=mutate, read=lambda: SvhnSource(path=str(folder)).items())


def _idx(folder: Path, suffix: str) -> Format:
    path = folder / f"train-images-idx3-ubyte{suffix}"
    pack = gzip.compress if suffix else bytes
    path.write_bytes(pack(struct.pack(">IIII", 2051, 2, 28, 28) + bytes(2 * 784)))
    (folder / "train-labels-idx1-ubyte").write_bytes(struct.pack(">II", 2049, 2) + b"\0\1")

    def mutate(data: bytes, rng: random.Random) -> bytes:
        head = mutate_bytes(data[:24], rng)
        return mutate_bytes(data, rng) if rng.randrange(2) else head + data[24:]

    return Format(path=path, mutate=mutate, read=lambda: MnistSource(path=str(folder)).items())


def _imagenet(folder: Path) -> Format:
    path = folder / "train_data_batch_1.npz"
    np.savez(path, data=np.zeros((3, 3 * 8 * 8), np.uint8), labels=np.array([1, 1000, 3]))

    def read() -> None:
        imagenet._load_batch.cache_clear()
        source = imagenet.imagenet_source((str(folder),), 8)
        for item in source.items():
            list(source.read(item))

    return Format(path=path, mutate=mutate_npz, read=read)


def _boxes(folder: Path, content: Any) -> Format:
    path = folder / "boxes.json"
    path.write_text(json.dumps(content))
    return Format(path=path, mutate=mutate_json, read=lambda: read_boxes(path))


BOXES = [Box(3, 0.25, 0.25, 0.5, 0.75, "window"), Box(4, 0.0, 0.0, 1.0, 1.0, "door")]
RESULTS: dict[str, dict[str, Any]] = {
    "train": {"images_seen": 640, "quality": {"frechet": 1.5}, "steps": 10, "config": {"preset": "demo32"}},
    "evaluate": {
        "job": "evaluate svhn",
        "table": "svhn",
        "rows": [{"name": "D", "figures": {"error": 22.5}, "spread": {"error": 0.5}, "source": "measured"}],
        "protocol": "small",
    },
    "search": {"job": "search", "trials": [{"number": 0, "accuracy": 0.5}], "finished": 4},
    "dedup": {"job": "dedup", "duplicate_pairs": 3, "thinned_images": 10, "near_duplicates": 2},
    "check_memorization": {
        "job": "check_memorization",
        "verdict": "pass",
        "reasons": ["no copies"],
        "share": [0.1, 0.2],
    },
    "explore": {
        "job": "explore walk",
        "paper": "6.1",
        "pictures": [{"file": "a.png", "caption": "A walk.", "caption_at": 4}],
        "model": {"uri": "m"},
        "seed": 1,
        "command": "x",
        "figures": {"steps": 3},
    },
}


def _result(folder: Path, content: dict[str, Any]) -> Format:
    path = folder / "result.json"
    path.write_text(json.dumps(content))
    (folder / "a.png").write_bytes(_png(0))
    return Format(
        path=path, mutate=mutate_json, read=lambda: [section(result) for result in read_results([str(folder)])]
    )


def _space(folder: Path) -> Format:
    path = folder / "space.json"
    path.write_text(json.dumps({"optimizer.lr": {"log_uniform": [1e-4, 1e-2]}, "batch_size": {"choice": [32, 64]}}))
    base = SupervisedConfig(classifier=ClassifierConfig(model=preset("svhn32").model))
    return Format(path=path, mutate=mutate_json, read=lambda: open_space(str(path), base))


def _latents(folder: Path) -> Format:
    path, generator = folder / "z.npy", drawn_generator()
    np.save(path, np.zeros((2, generator.config.latent_dim), np.float32))
    return Format(
        path=path, mutate=mutate_npy, read=lambda: read_exemplars([str(path)], generator, seed=0, field="from")
    )


def _images(folder: Path, suffix: str) -> Format:
    path = folder / f"images{suffix}"
    images = np.zeros((3, 8, 8, 3), np.uint8)
    np.savez(path, images=images) if suffix == ".npz" else np.save(path, images)
    mutate = mutate_npz if suffix == ".npz" else mutate_npy
    return Format(path=path, mutate=mutate, read=lambda: read_image_set(str(path), "samples", side=8))


def _coder(folder: Path, name: str, mutate: Mutator) -> Format:
    projection = np.random.default_rng(0).normal(size=(NUMBERS, 16))
    RecommendedCoder(mean=np.zeros(NUMBERS, np.float32), projection=projection.astype(np.float32)).save(folder)

    def seal() -> None:
        if name == "coder.npz":
            about = json.loads((folder / "coder.json").read_text())
            about["sha256"] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            (folder / "coder.json").write_text(json.dumps(about))

    return Format(path=folder / name, mutate=mutate, read=lambda: load_coder(folder).code_bits, seal=seal)


def _cluster_file(folder: Path) -> Format:
    path = folder / "cluster.yaml"
    path.write_text("cluster_name: x\nprovider: {type: aws, region: us-west-2}\nnodes: &n [1, 2]\nmore: [*n, *n]\n")

    def read() -> None:
        file = ClusterFile(name=path.name, text=path.read_text(errors="replace"))
        for document in file.documents:
            list(nodes(document))

    return Format(path=path, mutate=mutate_bytes, read=read)


def times(name: str, of_format: int) -> int:
    """How many of a format's mutations a file of it gets: its files share them. A model takes half a second to read."""
    files = sum(other.partition(":")[0] == name.partition(":")[0] for other in FORMATS)
    return of_format // files // (10 if name.startswith("model:") else 1)


FORMATS: dict[str, Callable[[Path], Format]] = {
    "manifest": _manifest,
    "index": _index,
    "shard": _shard,
    "tar": _tar,
    "keep list": _keep_list,
    "checkpoint: hashes": lambda folder: _checkpoint(folder, "checkpoint.json", mutate_json),
    "checkpoint: config": lambda folder: _checkpoint(folder, "config.json", mutate_json),
    "checkpoint: progress": lambda folder: _checkpoint(folder, "progress.json", mutate_json),
    "checkpoint: log": lambda folder: _checkpoint(folder, "metrics.jsonl", mutate_json_lines),
    "checkpoint: tensors": lambda folder: _checkpoint(folder, "generator.pt", mutate_tensors),
    "PyTorch's example": _example,
    "export: config": lambda folder: _export(folder, "config.json", mutate_json),
    "export: weights": lambda folder: _export(folder, "model.safetensors", mutate_bytes),
    "CIFAR-10 batch": _cifar10,
    "mat: plain": lambda folder: _svhn(folder, compressed=False),
    "mat: compressed": lambda folder: _svhn(folder, compressed=True),
    "idx: plain": lambda folder: _idx(folder, ""),
    "idx: packed": lambda folder: _idx(folder, ".gz"),
    "ImageNet npz": _imagenet,
    "boxes: COCO": lambda folder: _boxes(folder, to_coco(BOXES, 64, {"seed": 3})),
    "boxes: list": lambda folder: _boxes(folder, [{"image": 4, "box": [0.25, 0, 0.5, 1], "name": "window"}]),
    **{f"result: {job}": lambda folder, job=job: _result(folder, RESULTS[job]) for job in RESULTS},
    "search space": _space,
    "npy of z": _latents,
    "images: npy": lambda folder: _images(folder, ".npy"),
    "images: npz": lambda folder: _images(folder, ".npz"),
    "coder: arrays": lambda folder: _coder(folder, "coder.npz", mutate_npz),
    "coder: settings": lambda folder: _coder(folder, "coder.json", mutate_json),
    "cluster file": _cluster_file,
    **{
        f"de-duplication: {kind}": lambda folder, kind=kind: dedup_file(folder, kind)
        for kind in ("thumbnails", "about", "codes", "pairs")
    },
    **{f"model: {name}": lambda folder, name=name: model_file(folder, name) for name in MODEL_FILES},
}
