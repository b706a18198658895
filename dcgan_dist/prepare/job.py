"""What the prepare jobs share: say what will be done, do it, say what was done."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

from torchvision.datasets import CIFAR10, MNIST, SVHN

from dcgan_dist.cli.command_line import absolute
from dcgan_dist.cli.result_file import write_result
from dcgan_dist.data.contact_sheet import save_sheet
from dcgan_dist.data.stream import read_images
from dcgan_dist.errors import InputError
from dcgan_dist.prepare.plan import plan_shards
from dcgan_dist.prepare.preparations import (
    PrepareCifar10,
    PrepareFaces,
    PrepareFolder,
    PrepareImageNet,
    PrepareLsun,
    PrepareMnist,
    PrepareRooms,
    PrepareSvhn,
    ShardOptions,
)
from dcgan_dist.prepare.sources.base import Source
from dcgan_dist.prepare.sources.cifar10 import Cifar10Source
from dcgan_dist.prepare.sources.faces import FacesSource
from dcgan_dist.prepare.sources.folder import FolderSource
from dcgan_dist.prepare.sources.imagenet import imagenet_source
from dcgan_dist.prepare.sources.lsun import lsun_source
from dcgan_dist.prepare.sources.mnist import MnistSource
from dcgan_dist.prepare.sources.planted import plant_duplicates
from dcgan_dist.prepare.sources.rooms import RoomSource
from dcgan_dist.prepare.sources.svhn import SvhnSource
from dcgan_dist.prepare.write_shards import prepare
from dcgan_dist.storage.copies import local_output

SHEET_NAME = "contact_sheet.png"
SHEET_IMAGES = 64


def run_preparation(source: Source, options: ShardOptions) -> int:
    """Prepare shards, write result.json and a contact sheet into the folder, print a summary; or print the plan only.

    Returns:
        Exit code 0.

    Raises:
        InputError: see `prepare`.
    """
    options = replace(options, out=absolute(options.out, "out"))
    if options.dry_run:
        tasks = plan_shards(source, options)
        items = Counter[str]()
        for task in tasks:
            items[task.split] += len(task.items)
        counts = ", ".join(f"{n} {split}" for split, n in items.items())
        print(f"{source.dataset}: {counts} items into {len(tasks)} shards ({options.layout}) in {options.out}")
        print(f"preprocessing {json.dumps(source.describe()[0])}; nothing was written")
        return 0
    prepared = prepare(source, options)
    manifest = prepared.manifest
    images = read_images(manifest, SHEET_IMAGES, image_size=manifest.image_size)
    with local_output(options.out, "out") as folder:
        save_sheet(list(images.permute(0, 2, 3, 1).numpy()), folder / SHEET_NAME)
        write_result(folder, {"job": "prepare"} | prepared.to_json())
    print(f"{prepared}\ncontact sheet {options.out.rstrip('/')}/{SHEET_NAME}")
    return 0


def download(dataset: str, folder: str) -> None:
    """Fetch cifar10, svhn or mnist into a folder, unless it is there already.

    Raises:
        InputError: there is no network, or the servers do not answer.
    """
    root = str(Path(folder).expanduser())
    try:
        if dataset == "svhn":
            for split in ("train", "test"):
                SVHN(root, split=split, download=True)
        else:
            {"cifar10": CIFAR10, "mnist": MNIST}[dataset](root, download=True)
    except (URLError, OSError, RuntimeError) as error:
        raise InputError(
            f"{dataset} could not be fetched ({error}): bring a copy to this machine and give its folder as `source`"
        ) from error


def open_source(options: ShardOptions) -> Source:
    """The source, fetched first where that is asked for.

    Raises:
        InputError: it could not be fetched, or a file that must be read at once is broken.
    """
    source = _source_of(options)
    if isinstance(options, PrepareCifar10 | PrepareSvhn | PrepareMnist) and options.download:
        download(source.dataset, options.source)
    return source


def _source_of(options: ShardOptions) -> Source:
    match options:
        case PrepareFolder():
            return FolderSource(paths=options.source, image_size=options.image_size, dataset=options.dataset)
        case PrepareLsun():
            return lsun_source(options.source, options.image_size)
        case PrepareFaces():
            return FacesSource(paths=options.source, image_size=options.image_size, options=options)
        case PrepareImageNet():
            return imagenet_source(options.source, options.image_size)
        case PrepareCifar10():
            return Cifar10Source(path=options.source)
        case PrepareSvhn():
            return SvhnSource(path=options.source, extra=options.extra)
        case PrepareMnist():
            return MnistSource(path=options.source, val=options.val)
        case PrepareRooms():
            rooms = RoomSource(n=options.n, image_size=options.image_size, seed=options.seed)
            return plant_duplicates(rooms, options.duplicates)
    raise TypeError(f"{type(options).__name__} names no source")
