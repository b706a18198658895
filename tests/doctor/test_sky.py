"""The commands of sky.yaml on a worker, run by bash against a real head."""

import os
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.doctor.samples import rendered
from tests.helpers.head import RAY, end_group, ray_cli, ray_head


def is_gcs(process: psutil.Process, home: str) -> bool:
    """Whether it is the server in the middle of a head's session."""
    try:
        command = process.cmdline()
    except psutil.Error:
        return False
    return "gcs_server" in command[0] and home in " ".join(command) if command else False


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_worker_joins_stays_with_its_head_and_ends_in_order_when_the_head_is_gone() -> None:
    (document,) = rendered("sky.yaml").documents
    with ray_head(RAY_gcs_rpc_server_reconnect_timeout_s="5") as head:
        (Path(head["HOME"]) / "dcgan_dist").mkdir()
        commands = document["run"].replace("6385", head["GCS_ADDRESS"].partition(":")[2])
        environment = head | {
            "PATH": f"{RAY.parent}:{os.environ['PATH']}",
            "SKYPILOT_NODE_IPS": "127.0.0.1\n127.0.0.2",
            "SKYPILOT_NODE_RANK": "1",
        }
        worker = subprocess.Popen(
            ["bash", "-c", commands], env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            assert worker.stdout is not None
            assert any("Ray runtime started" in line for line in worker.stdout), "the worker ended before it joined"
            assert ray_cli(head, "job", "list").returncode == 0
            assert worker.poll() is None

            (gcs,) = [one for one in psutil.process_iter() if is_gcs(one, head["HOME"])]
            gcs.kill()  # the head's other processes follow it
            assert worker.wait(90) == 0
        finally:
            end_group(worker)
