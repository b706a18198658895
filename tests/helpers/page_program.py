"""A program as the pages call it, run with less to do: python, ray, mlflow and make; started by `pages.make_clone`.

Every flag that a page shows is passed on; what SHORTER has for the command is added, and where a flag comes twice the last one counts.
"""

import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

NETWORK = ["--model.generator-width", "4", "--model.discriminator-width", "4", "--data.batch-size", "16"]
SMALL_RUN = [
    "--images",
    "64",
    "--num-workers",
    "1",
    "--no-use-gpu",
    "--quality.samples",
    "64",
    "--quality.held-out",
    "32",
]
SMALL_TABLE = ["--protocol", "small", "--no-use-gpu"]
SHORTER: dict[str, list[str]] = {
    r"jobs/train_\w+\.py": [*NETWORK, *SMALL_RUN, "--snapshot-batches", "2"],
    r"jobs/prepare_rooms\.py": ["--n", "200", "--cpus", "1"],
    r"jobs/prepare_\w+\.py": ["--cpus", "1"],
    r"jobs/dedup_lsun\.py": ["--cpus", "1"],
    r"jobs/check_memorization\.py": ["--n", "200"],
    r"jobs/search_svhn\.py": ["--trials", "2", "--repeats", "1", "--space", "space.json"],
    r"jobs/evaluate_cifar10\.py": [*SMALL_TABLE, "--c-values", "1e-4", "--draws", "2", "--centroids", "16"],
    r"jobs/evaluate_svhn\.py": SMALL_TABLE,
    r"jobs/evaluate_mnist\.py": [*SMALL_TABLE, "--samples", "200"],
    r"jobs/explore\.py walk": ["--points", "2", "--steps", "3", "--frames", "2", "--real", "50"],
    r"jobs/explore\.py filters": ["--maps", "0", "1", "--top", "4"],
    r"jobs/explore\.py arithmetic": ["--samples", "40", "--trials", "3"],
    r"jobs/explore\.py turn": ["--real", "120", "--samples", "40", "--trials", "10", "--rows", "2", "--steps", "5"],
    r"jobs/explore\.py windows": [
        *("--rooms", "150", "--n", "20", "--trials", "16", "--detector-steps", "20", "--boxes", "boxes.json")
    ],
    r"-m tests\.refactoring": ["--only", "shards"],
    r"-m dcgan_dist\.bench neighbors": [
        *("--sizes", "3000", "--compared-at", "3000", "--faiss-queries", "300", "--collisions", "3000", "--no-l2")
    ],
}
MAY_SAY_NO = r"jobs/promote\.py"
"""A gate: exit code 1 is an answer."""


def python(arguments: list[str]) -> int:
    """Run a job or a module on small data."""
    line = " ".join(arguments)
    more = next((flags for command, flags in SHORTER.items() if re.match(command, line)), [])
    code = subprocess.run([sys.executable, *arguments, *more], check=False).returncode
    return 0 if code == 1 and re.match(MAY_SAY_NO, line) else code


def ray(arguments: list[str]) -> int:
    """Start a head at ports of its own, or call a client of it, again until its job service is up."""
    program = [sys.executable, "-m", "ray.scripts.scripts"]
    if arguments[:1] == ["start"]:
        return subprocess.run(
            [*program, *arguments, *os.environ["DCGAN_DIST_RAY_START"].split()], check=False
        ).returncode
    for _ in range(60):
        done = subprocess.run([*program, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        starting = (b"Failed to connect", b"No available agent", b"ServerDisconnected")
        if not done.returncode or not any(message in done.stdout for message in starting):
            break
        time.sleep(2)
    sys.stdout.buffer.write(done.stdout)
    return done.returncode


def mlflow(arguments: list[str]) -> int:
    """Start a server at a port of its own and leave it behind when it answers."""
    port = os.environ["DCGAN_DIST_MLFLOW_PORT"]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = [sys.executable, "-m", "mlflow", *arguments, "--port", port, "--workers", "1"]
    server = subprocess.Popen(command, env=environment)
    for _ in range(240):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
        except urllib.error.HTTPError:
            return 0
        except OSError:
            time.sleep(0.5)
            if server.poll() is not None:
                return 1
        else:
            return 0
    return 1


def make(arguments: list[str]) -> int:
    """Make what is made in minutes; the checks themselves are only listed, as this is one of them."""
    listed = [] if arguments[0] in ("train", "install") else ["--dry-run"]
    return subprocess.run(["/usr/bin/make", *listed, *arguments], check=False).returncode


def main(name: str, arguments: list[str]) -> int:
    """Exit code of a program."""
    programs = {"python": python, "python3": python, "ray": ray, "mlflow": mlflow, "make": make}
    if name in programs:
        return programs[name](arguments)
    path = Path(sys.executable).with_name(name)
    return subprocess.run([path if path.exists() else f"/usr/bin/{name}", *arguments], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
