"""What becomes of reading shards and writing results when a store fails: python -m tests.storage.store_faults > docs/measured/stores.md

The stores are real servers on this machine: moto for S3, fake-gcs-server for Google Cloud Storage, and moto asked over plain HTTP;
a proxy between them and their clients makes the faults.
"""

import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import boto3
import fsspec
import numpy as np
import pytest
import torch
from torch import Tensor

from dcgan_dist.data.shards.manifest import load_manifest
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.data.stream import BadSampleLog, stream_batches
from dcgan_dist.errors import InputError
from dcgan_dist.storage import copies
from dcgan_dist.storage.filesystems import PATIENCE
from dcgan_dist.storage.stored_folder import StoredFolder
from tests.helpers.fault_proxy import Fault, FaultProxy, fault_proxy
from tests.helpers.object_store import BUCKET, gcs_bucket, s3_bucket
from tests.helpers.shards import make_plan, write_shards

STORES = ("S3", "Google Cloud Storage", "HTTP", "HTTP without ranges")
WAITS, ENDS = "exact", "refused"
RESULT = b"result " * 1000
BATCHES = 8


@dataclass
class Place:
    """A store with shards in it, its client behind the proxy."""

    location: str
    proxy: FaultProxy
    shards: Path
    """The same shards on the local disk."""
    environment: pytest.MonkeyPatch
    direct: StoredFolder
    """The same folder past the proxy."""
    endpoint: str
    """Variable with the address of the server; empty for HTTP."""

    @property
    def writes(self) -> bool:
        return bool(self.endpoint)

    def read(self) -> Tensor:
        """Some batches, the fault met in their middle."""
        return self.batches(load_manifest(self.location))

    def batches(self, manifest: Manifest) -> Tensor:
        """The first batches of a data set; more bad samples than one in a hundred are an error."""
        stream = stream_batches(
            manifest,
            make_plan(manifest),
            rank=0,
            world_size=1,
            image_size=manifest.image_size,
            on_bad_sample=BadSampleLog(0.01, manifest.samples),
        )
        with closing(stream):
            return torch.cat([next(stream).images for _ in range(BATCHES)])

    def write(self) -> None:
        """A result of a job, put where it belongs."""
        with copies.local_output(f"{self.location}/results/out", "out") as folder:
            folder.mkdir()
            (folder / "result.json").write_bytes(RESULT)


class Outcome(NamedTuple):
    """What became of one fault."""

    kind: str
    """exact, refused, or wrong."""
    seconds: float
    message: str
    """What the refusal says."""


def publish() -> None:
    """Let everybody read the shards in the S3 bucket, as plain HTTP does."""
    client = boto3.client("s3")
    for entry in client.list_objects_v2(Bucket=BUCKET)["Contents"]:
        client.put_object_acl(Bucket=BUCKET, Key=entry["Key"], ACL="public-read")


def forget_clients() -> None:
    """Clients remember endpoint and credentials of the time when they were made."""
    for protocol in ("s3", "gs"):
        fsspec.get_filesystem_class(protocol).clear_instance_cache()


@contextmanager
def store(name: str) -> Iterator[Place]:
    """One of STORES with 40 images in two shards."""
    with ExitStack() as stack:
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_shards(folder, (21, 19), size=32)
        forget_clients()
        bucket, endpoint = (
            (gcs_bucket, "STORAGE_EMULATOR_HOST") if name == "Google Cloud Storage" else (s3_bucket, "AWS_ENDPOINT_URL")
        )
        location = f"{stack.enter_context(bucket())}/shards"
        server = os.environ[endpoint]
        direct = StoredFolder(location)
        direct.replace_by(folder)
        proxy = stack.enter_context(fault_proxy(server))
        if name.startswith("HTTP"):
            publish()
            location, endpoint = f"{proxy.url}/{BUCKET}/shards", ""
        else:
            environment.setenv(endpoint, proxy.url)
            forget_clients()
        yield Place(location, proxy, folder, environment, direct, endpoint)
        forget_clients()


def passing(**fault: object) -> Callable[[Place], None]:
    """A fault that the proxy makes."""

    def begin(place: Place) -> None:
        seconds = fault.pop("seconds", None)
        place.proxy.fault = Fault(**fault)  # pyright: ignore[reportArgumentType]
        if isinstance(seconds, int | float):
            place.proxy.fault.until = time.monotonic() + seconds

    return begin


def no_credentials(place: Place) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        place.environment.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        place.environment.setenv(name, "/dev/null")
    place.environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
    forget_clients()


def name_unknown(place: Place) -> None:
    if place.endpoint:
        place.environment.setenv(place.endpoint, "http://store.invalid:9000")
        forget_clients()
    else:
        place.location = "http://store.invalid:9000/shards"


def object_gone(place: Place) -> None:
    place.direct.fs.rm(f"{place.direct.path}/t-train-000001.tar")


def object_changed(place: Place) -> None:
    name = "t-train-000001.tar"
    size = (place.shards / name).stat().st_size
    place.direct.write_bytes(name, np.random.default_rng(0).bytes(size))
    if not place.endpoint:
        publish()


def cache_disk_full(place: Place) -> None:
    """No file on this machine may grow beyond 100 bytes, as if its disk were full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY))


@dataclass(frozen=True)
class Case:
    """A fault."""

    name: str
    begin: Callable[[], Callable[[Place], None]]
    right: str = WAITS
    """What must become of reading."""
    stores: tuple[str, ...] = STORES
    while_reading: bool = False
    """Begins after the manifest has been read, not before."""
    only_reading: bool = False


def cases(outage: float) -> list[Case]:
    """All faults; the store is away for `outage` seconds."""
    return [
        Case(f"away for {outage:g} s", lambda: passing(mode="reset", seconds=outage)),
        Case("connections reset", lambda: passing(mode="reset", times=4)),
        Case("503 Slow Down, a storm", lambda: passing(mode="503", times=6)),
        Case("429 Too Many Requests, a storm", lambda: passing(mode="429", times=6)),
        Case("bodies cut in the middle", lambda: passing(mode="cut", times=4, method="GET")),
        Case("slow answers", lambda: passing(mode="slow", times=3)),
        Case("no answer, the connection open", lambda: passing(mode="silent", times=1)),
        Case(
            "a byte changed on its way",
            lambda: passing(mode="flip", times=1, path=r"\.tar", method="GET"),
            only_reading=True,
        ),
        Case("credentials expired (403)", lambda: passing(mode="403"), ENDS),
        Case("no credentials", lambda: no_credentials, ENDS, stores=("S3",)),
        Case("the store's name is unknown (DNS)", lambda: name_unknown, ENDS),
        Case("an object vanishes while it is read", lambda: object_gone, ENDS, while_reading=True, only_reading=True),
        Case("an object changes while it is read", lambda: object_changed, ENDS, while_reading=True, only_reading=True),
        Case("the disk of the cache is full", lambda: cache_disk_full, only_reading=True),
    ]


def outcome(case: Case, name: str) -> Outcome:
    """Meet one fault with one store, reading first and then, where the store can, writing."""
    with store(name) as place:
        place.environment.setenv(PATIENCE, "0.1" if case.right == ENDS else "2")
        truth = place.batches(load_manifest(str(place.shards)))
        manifest = load_manifest(place.location)
        place.proxy.knows_ranges = name != "HTTP without ranges"
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        began = time.monotonic()
        try:
            case.begin()(place)
            images = place.batches(manifest) if case.while_reading else place.read()
            right = torch.equal(images, truth)
            if right and place.writes and not case.only_reading:
                case.begin()(place)
                place.write()
                right = place.direct.read_bytes("results/out/result.json") == RESULT
            return Outcome(WAITS if right else "wrong", time.monotonic() - began, "")
        except InputError as error:
            return Outcome(ENDS, time.monotonic() - began, str(error))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, ignored)


def main() -> None:
    """Print the table of all stores and faults."""
    print("| fault | " + " | ".join(STORES) + " | message |\n|" + "---|" * (len(STORES) + 2))
    for case in cases(outage=30.0):
        outcomes = {name: outcome(case, name) for name in STORES if name in case.stores}
        cells = [f"{met.kind}, {met.seconds:.0f} s" if (met := outcomes.get(name)) else "-" for name in STORES]
        message = next((met.message for met in outcomes.values() if met.message), "")
        print(f"| {case.name} | " + " | ".join(cells) + f" | {message[:160].replace('|', '/')} |", flush=True)


if __name__ == "__main__":
    main()
