"""python -m dcgan_dist.doctor: what is wrong with this machine, its cluster and its servers, each with a one-line remedy.

    python -m dcgan_dist.doctor                                          # this machine, and a Ray head on it
    python -m dcgan_dist.doctor --address http://127.0.0.1:8265 --tracking-uri http://127.0.0.1:5000 --shards /shared/lsun
    python -m dcgan_dist.doctor --files aws.rendered.yaml                # a file of cluster/ that was filled in

Exits 1 if a check failed, 0 otherwise; warnings do not count.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from dcgan_dist.config import InputError
from dcgan_dist.data.manifest import MANIFEST_NAME, is_uri, load_manifest
from dcgan_dist.launch.cluster_files import ClusterFile
from dcgan_dist.launch.cluster_policy import violations
from dcgan_dist.launch.command_line import absolute, parse, run
from dcgan_dist.launch.security import (
    Answer,
    Check,
    ask,
    check_dashboard,
    check_ray_version,
    check_token,
    read_token,
    uses_token,
    version_of,
)
from dcgan_dist.tracking.server import check_reachable
from dcgan_dist.tracking.uri import without_password

HERE = "http://127.0.0.1:8265"
SAFE_MLFLOW = (3, 18)
LEAST_SHARED_MEMORY = 1 << 30
MOST_SKEW_SECONDS = 10.0  # after 30 s without a sign of life a run counts as dead


@dataclass(frozen=True, kw_only=True, slots=True)
class Doctor:
    """What is looked at."""

    address: str = ""
    """Dashboard of the cluster; empty: $RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265 if something answers there."""
    tracking_uri: str = ""
    """MLflow server or database; empty: $MLFLOW_TRACKING_URI, else not looked at."""
    shards: str = ""
    """Shards that jobs will read; empty: $DCGAN_DIST_SHARDS, else not looked at."""
    files: tuple[str, ...] = ()
    """Rendered files of cluster/; given, nothing else is looked at."""
    json: str = ""
    """Write the checks to this file."""


def main(argv: list[str]) -> int:
    """Look, say, and return 1 if something failed."""
    options = parse(Doctor, argv, description=__doc__ or "", joins=False)
    checks = list(file_checks(options.files) if options.files else machine_checks(options))
    width = max(len(one.name) for one in checks)
    for one in checks:
        print(f"{one.status:8} {one.name:{width}}  {one.found}")
        if one.remedy:
            print(f"{'':8} {'':{width}}  -> {one.remedy}")
    failed = sum(one.status == "failed" for one in checks)
    print(f"{failed} of {len(checks)} checks failed, {sum(one.status == 'warning' for one in checks)} warnings")
    if options.json:
        content = {"failed": failed, "checks": [dataclasses.asdict(one) for one in checks]}
        Path(options.json).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 1 if failed else 0


def file_checks(names: tuple[str, ...]) -> Iterator[Check]:
    """The policy of cluster/, on files that were filled in.

    Raises:
        InputError: a file cannot be read.
    """
    for name in names:
        try:
            text = Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--files {name} cannot be read ({error}): name a rendered file of cluster/") from error
        found = violations(ClusterFile(name, text), rendered=True)
        for one in found:
            yield Check(
                name=name,
                status="failed",
                found=f"{one.rule}: {one.what}",
                remedy="see cluster/ for how it should read",
            )
        if not found:
            yield Check(name=name, status="ok", found="closed, least rights, pinned, not root, no secret, filled in")


def machine_checks(options: Doctor) -> Iterator[Check]:
    """This machine, then the cluster, then what jobs read and write."""
    yield check_ray_version(version("ray"), "here")
    yield check_mlflow_version(version("mlflow"))
    yield check_shared_memory(Path("/dev/shm"))
    yield check_gpus()
    address = options.address or os.environ.get("RAY_API_SERVER_ADDRESS", "")
    address = without_password(address)
    # A stranger may listen at the address that nobody named: it is asked without the token first.
    here = bool(address) or ask(f"{HERE}/api/version").status in (200, 401)
    token = read_token(os.environ) if uses_token(os.environ, address_named=bool(address)) else ""
    answer = ask(f"{address or HERE}/api/version", token) if here else Answer(0, "nothing of Ray's", None)
    tracking = options.tracking_uri or os.environ.get("MLFLOW_TRACKING_URI", "")
    if here:
        yield check_token(os.environ, address_named=bool(address))
        yield check_dashboard(address or HERE)
        yield check_cluster(address or HERE, answer)
    else:
        yield Check(
            name="cluster", status="skipped", found=f"no Ray answers at {HERE}", remedy="--address http://HOST:8265"
        )
    yield check_shards(options.shards or os.environ.get("DCGAN_DIST_SHARDS", ""))
    yield check_tracking(tracking)
    yield check_clock("cluster", answer)
    if tracking.startswith("http"):
        yield check_clock("tracking", ask(f"{without_password(tracking)}/health"))


def check_mlflow_version(found: str) -> Check:
    """Known holes of MLflow's server; a client alone is not open to them."""
    if version_of(found) >= SAFE_MLFLOW:
        return Check(name="mlflow here", status="ok", found=found)
    return Check(
        name="mlflow here",
        status="warning",
        found=f"{found}: its server has holes that 3.18 closes; its client has not",
        remedy="pip install -U mlflow as soon as mlflow-skinny 3.18 can be had; until then let only your own network reach a server",
    )


def check_shared_memory(folder: Path) -> Check:
    """Where Ray keeps objects and loaders keep batches."""
    if not folder.is_dir():
        return Check(name="shared memory", status="failed", found=f"no {folder}", remedy=f"mount a tmpfs at {folder}")
    total, _, free = shutil.disk_usage(folder)
    found = f"{folder} has {total / 2**30:.1f} GiB, {free / 2**30:.1f} free"
    if total < LEAST_SHARED_MEMORY:
        remedy = "give the container more: docker run --shm-size 8g, or an emptyDir of medium Memory at /dev/shm"
        return Check(name="shared memory", status="failed", found=found, remedy=remedy)
    return Check(name="shared memory", status="ok", found=found)


def check_gpus() -> Check:
    """GPUs of the driver, and who sees them."""
    import torch  # before faiss: they then share one OpenMP setting

    seen = {"driver": _driver_gpus(), "torch": torch.cuda.device_count()}
    import faiss

    seen["FAISS"] = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    return judge_gpus(seen)


def judge_gpus(seen: dict[str, int]) -> Check:
    """What the numbers of GPUs that driver, torch and FAISS see say together."""
    found = ", ".join(f"{who} {number}" for who, number in seen.items())
    if seen["torch"] < seen["driver"]:
        remedy = (
            "install a torch whose CUDA the driver knows (nvidia-smi shows it), and leave CUDA_VISIBLE_DEVICES alone"
        )
        return Check(name="GPUs", status="failed", found=found, remedy=remedy)
    if seen["FAISS"] < seen["torch"]:
        remedy = "pip install faiss-gpu; until then searches run on the CPU"
        return Check(name="GPUs", status="warning", found=found, remedy=remedy)
    return Check(name="GPUs", status="ok", found=found if seen["torch"] else "none: everything runs on the CPU")


def _driver_gpus() -> int:
    import pynvml

    try:
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError:
        return 0


def check_cluster(address: str, answer: Answer) -> Check:
    """Whether the cluster lets us in, and what it runs.

    Args:
        address: of its dashboard.
        answer: to /api/version, asked with our token.
    """
    if answer.status in (401, 403):
        remedy = "copy the head's token to ~/.ray/auth_token (mode 600) and export RAY_AUTH_MODE=token"
        return Check(
            name="cluster", status="failed", found=f"{address} refuses our token (HTTP {answer.status})", remedy=remedy
        )
    if answer.status != 200:
        remedy = "start the head, forward the port (ssh -L 8265:127.0.0.1:8265 HEAD), or correct --address"
        found = f"{address} does not answer ({answer.text or f'HTTP {answer.status}'})"
        return Check(name="cluster", status="failed", found=found, remedy=remedy)
    try:
        theirs = str(json.loads(answer.text)["ray_version"])
    except (ValueError, KeyError, TypeError):
        return Check(name="cluster", status="failed", found=f"{address} is not Ray's", remedy="correct --address")
    if (old := check_ray_version(theirs, "on the cluster")).status != "ok":
        return old
    if theirs != version("ray"):
        remedy = f"pip install ray=={theirs} here: clients and clusters have to be of one version"
        return Check(
            name="cluster", status="warning", found=f"Ray {theirs} there, {version('ray')} here", remedy=remedy
        )
    return Check(name="cluster", status="ok", found=f"Ray {theirs} at {address}")


def check_shards(path: str) -> Check:
    """Whether shards are there at their sizes; writes nothing."""
    if not path:
        return Check(name="shards", status="skipped", found="none named", remedy="--shards PATH")
    try:
        path = absolute(path, "--shards")
        if not is_uri(path) and not (Path(path) / MANIFEST_NAME).exists() and Path(path).name != MANIFEST_NAME:
            raise InputError(f"{path} has no {MANIFEST_NAME}: jobs/prepare_*.py make one")
        manifest = load_manifest(path)
    except (InputError, OSError) as error:
        found, _, remedy = str(error).rpartition(": ")
        return Check(name="shards", status="failed", found=found or str(error), remedy=remedy)
    return Check(
        name="shards", status="ok", found=f"{manifest.samples:,} samples in {len(manifest.shards)} shards at {path}"
    )


def check_tracking(uri: str) -> Check:
    """Whether runs can be recorded."""
    if not uri:
        return Check(name="tracking", status="skipped", found="none named", remedy="--tracking-uri URI")
    try:
        check_reachable(uri)
    except InputError as error:
        found, _, remedy = str(error).partition("): ")
        return Check(
            name="tracking",
            status="failed",
            found=found + ")" * bool(remedy),
            remedy=remedy or "correct --tracking-uri",
        )
    return Check(name="tracking", status="ok", found=without_password(uri))


def check_clock(whose: str, answer: Answer) -> Check:
    """How far a server's clock is from ours; by the second, which is all that HTTP says."""
    name = f"clock of {whose}"
    if answer.skew is None:
        return Check(name=name, status="skipped", found="no server said its time")
    skew = answer.skew
    if abs(skew) > MOST_SKEW_SECONDS:
        remedy = "let both machines keep time: timedatectl set-ntp true"
        return Check(
            name=name,
            status="failed",
            found=f"{abs(skew):.0f} s {'behind' if skew > 0 else 'ahead of'} ours",
            remedy=remedy,
        )
    return Check(name=name, status="ok", found=f"within {max(1, round(abs(skew)))} s of ours")


if __name__ == "__main__":
    run(main)
