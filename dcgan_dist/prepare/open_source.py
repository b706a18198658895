"""The source of images that the options of a preparation job name."""

from dcgan_dist.errors import require
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
from dcgan_dist.prepare.sources.download import download
from dcgan_dist.prepare.sources.faces import FacesSource
from dcgan_dist.prepare.sources.folder import FolderSource
from dcgan_dist.prepare.sources.imagenet import imagenet_source
from dcgan_dist.prepare.sources.lsun import lsun_source
from dcgan_dist.prepare.sources.mnist import MnistSource
from dcgan_dist.prepare.sources.planted import plant_duplicates
from dcgan_dist.prepare.sources.rooms import RoomSource
from dcgan_dist.prepare.sources.svhn import SvhnSource


def open_source(options: ShardOptions) -> Source:
    """The source, fetched first where that is asked for.

    Raises:
        InputError: it could not be fetched, was asked for in a dry run, or a file that must be read at once is broken.
    """
    source = _source_of(options)
    if isinstance(options, PrepareCifar10 | PrepareSvhn | PrepareMnist) and options.download:
        require(not options.dry_run, "`dry_run` writes nothing: leave it out, or leave out `download`")
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
