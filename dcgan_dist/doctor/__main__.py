"""python -m dcgan_dist.doctor: what is wrong with this machine, its cluster and its servers, each with a one-line remedy.

    python -m dcgan_dist.doctor                                          # this machine, and a Ray head on it
    python -m dcgan_dist.doctor --address http://127.0.0.1:8265 --tracking-uri http://127.0.0.1:5000 --shards /shared/lsun
    python -m dcgan_dist.doctor --files aws.rendered.yaml                # a file of cluster/ that was filled in

Exits 1 if a check failed, 0 otherwise; warnings do not count.
"""

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from dcgan_dist.cli.command_line import parse, run
from dcgan_dist.cli.result_file import write_json
from dcgan_dist.cluster.security_checks import Check, check_dashboard, check_ray_version, check_token
from dcgan_dist.cluster.token import Answer, ask, read_token, uses_token
from dcgan_dist.doctor.cluster_files import ClusterFile
from dcgan_dist.doctor.machine import check_gpus, check_mlflow_version, check_shared_memory
from dcgan_dist.doctor.policy import violations
from dcgan_dist.doctor.services import check_clock, check_cluster, check_shards, check_tracking
from dcgan_dist.errors import InputError
from dcgan_dist.tracking.address import without_password

HERE = "http://127.0.0.1:8265"


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
    options = parse(Doctor, argv, description=__doc__ or "", joins=False, prog="python -m dcgan_dist.doctor")
    checks = list(file_checks(options.files) if options.files else examine(options))
    width = max(len(check.name) for check in checks)
    for check in checks:
        print(f"{check.status:8} {check.name:{width}}  {check.found}")
        if check.remedy:
            print(f"{'':8} {'':{width}}  -> {check.remedy}")
    failed, warnings = (sum(check.status == status for check in checks) for status in ("failed", "warning"))
    print(f"{failed} of {len(checks)} checks failed, {warnings} warnings")
    write_json(options.json, {"failed": failed, "checks": [dataclasses.asdict(check) for check in checks]})
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
        breaches = violations(ClusterFile(name, text), rendered=True)
        remedy = "see cluster/ for how it should read"
        for breach in breaches:
            yield Check(name=name, status="failed", found=f"{breach.rule}: {breach.what}", remedy=remedy)
        if not breaches:
            yield Check(name=name, status="ok", found="closed, least rights, pinned, not root, no secret, filled in")


def examine(options: Doctor) -> Iterator[Check]:
    """This machine, then the cluster, then what jobs read and write."""
    yield check_ray_version(version("ray"), "here")
    yield check_mlflow_version(version("mlflow"))
    yield check_shared_memory(Path("/dev/shm"))
    yield check_gpus()
    address = options.address or os.environ.get("RAY_API_SERVER_ADDRESS", "")
    address = without_password(address)
    # Another program may listen at the address that nobody named: it is asked without the token first.
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


if __name__ == "__main__":
    run(main)
