"""The images, shards and models that the pages take for granted, small and drawn, under the names that the pages give them."""

import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import lmdb
import numpy as np
import torch
from PIL import Image

from dcgan_dist.data.shards.images import encode_jpeg
from dcgan_dist.registry.registry import register_network
from dcgan_dist.tracking.runs import TrackedRun
from tests.explore.test_faces import drawn_face
from tests.helpers.jobs import draw_rooms, load_job
from tests.helpers.networks import drawn_example, drawn_network
from tests.helpers.search import write_data, write_space
from tests.helpers.tars import tar_of
from tests.helpers.tracking_places import new_database
from tests.jobs.test_evaluate_tables import cifar, mnist
from tests.memorization.test_image_sets import save, smooth
from tests.models.test_authors_arrays import write_arrays

MODELS = {"lsun": "examples64", "faces": "examples64", "rooms": "demo32", "imagenet": "imagenet32", "mnist": "mnist28"}
"""Presets of the registered models that the pages name, by data set."""


def photographs(folder: Path) -> None:
    """120 pictures."""
    save(smooth(120, 72), folder)


def shards(folder: Path) -> None:
    """500 rooms of 64 pixels, some of them twice, a third held out."""
    draw_rooms(folder, 500, "--val-fraction", "0.3", "--duplicates", "0.1", image_size=64)


def rooms(folder: Path) -> None:
    """200 rooms of 32 pixels, whose windows are known."""
    draw_rooms(folder, 200)


def tar(path: Path) -> None:
    """A tar of 300 pictures; others in a tar of another name."""
    images = smooth(300, 64, seed=len(path.name)).transpose(0, 2, 3, 1)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(tar_of([(f"{number:03}.jpg", encode_jpeg(image)) for number, image in enumerate(images)]))


def smiles(path: Path) -> None:
    """Drawn faces, with a smile and without."""
    rng = np.random.default_rng(0)
    folder = path.with_suffix("")
    for name, smile in (("smile", 1.0), ("neutral", -1.0)):
        (folder / name).mkdir(parents=True)
        for number in range(30):
            Image.fromarray(drawn_face(smile, 0, rng)).save(folder / name / f"{number}.png")
    shutil.make_archive(str(folder), "tar", folder)


def database_of_lsun(folder: Path) -> None:
    """An LMDB such as LSUN's of 100 pictures."""
    with lmdb.open(str(folder), map_size=1 << 26) as environment, environment.begin(write=True) as transaction:
        for number, image in enumerate(smooth(100, 80).transpose(0, 2, 3, 1)):
            transaction.put(f"{number:040x}".encode(), encode_jpeg(image))


def classes(folder: Path) -> None:
    """Two classes of pictures in a folder each."""
    for number, name in enumerate(("n01", "n02")):
        save(smooth(50, 40, seed=number), folder / name)


def digits(folder: Path) -> None:
    """Files such as SVHN's."""
    write_data(folder)


def example(path: Path) -> None:
    """A generator of PyTorch's DCGAN example."""
    torch.save(drawn_example()[0].state_dict(), path)


def prepared(make: Callable[[Path], object], job: str) -> Callable[[Path], None]:
    """Shards that a jobs/prepare_*.py makes of something."""

    def prepare(folder: Path) -> None:
        source = folder.with_name(f"source_{folder.name}")
        make(source)
        assert load_job(job)(["--source", str(source), "--out", str(folder), "--cpus", "1"]) == 0

    return prepare


def within(make: Callable[[Path], str]) -> Callable[[Path], None]:
    """What makes a folder inside another one, as what makes the folder itself."""

    def build(folder: Path) -> None:
        folder.with_name(f"made_{folder.name}").mkdir()
        Path(make(folder.with_name(f"made_{folder.name}"))).rename(folder)

    return build


PLACES: dict[str, Callable[[Path], None]] = {
    "home/photos": photographs,
    "generated": photographs,
    "shared/lsun": shards,
    "shards/lsun": shards,
    "shards/faces": shards,
    "shards/rooms": rooms,
    "shards/svhn": prepared(digits, "prepare_svhn"),
    "shards/mnist": prepared(within(mnist), "prepare_mnist"),
    "bedroom_train_lmdb": database_of_lsun,
    "imagenet": classes,
    "authors_svhn": write_arrays,
    "svhn": digits,
    "cifar10": within(cifar),
    "mnist": within(mnist),
    "netG_epoch_24.pth": example,
    "train.tar": tar,
    "test.tar": tar,
    "train/a.tar": tar,
    "test/of_the_others.tar": tar,
    "smiles.tar": smiles,
}
"""By path in the folder of a page: what makes it."""
SHOWN_AS = {
    "home/photos": "~/photos",
    "shared/lsun": "/shared/lsun",
    "train/a.tar": "train/*.tar",
    "test/of_the_others.tar": "test/*.tar",
}


def make_places(text: str, folder: Path) -> None:
    """Make what a page's text names and does not make itself, and register drawn networks under the names of its models."""
    for place, make in PLACES.items():
        name = SHOWN_AS.get(place, place)
        if (
            f"--out {name} " not in text and any(f" {name}{end}" in text for end in (" ", "/ ", "\n", "/\n"))
        ) or f'"{name}"' in text:
            make(folder / place)
    write_space(folder / "space.json")
    boxes = [{"image": number, "box": [0.2, 0.2, 0.8, 0.8]} for number in range(20)]
    (folder / "boxes.json").write_text(json.dumps(boxes))  # in samples of a drawn network nobody finds a window
    wanted = [
        (f"dcgan-{dataset}-{kind}", shape, kind)
        for (dataset, shape), kind in itertools.product(MODELS.items(), ("generator", "discriminator"))
        if f"dcgan-{dataset}-" in text
    ]
    run = TrackedRun.create(new_database(folder), "docs", "drawn", {}, {}) if wanted else None
    for name, shape, kind in wanted:
        assert run
        register_network(run, drawn_network(kind, shape)[0], name, card="Drawn.", tags={"preset": shape})
    if run:
        run.finish("FINISHED")
