"""Checks of the machine that the doctor runs on."""

import shutil
from pathlib import Path

from dcgan_dist.cluster.security_checks import Check, version_of

SAFE_MLFLOW = (3, 18)
LEAST_SHARED_MEMORY = 1 << 30


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

    counts = {"driver": _driver_gpus(), "torch": torch.cuda.device_count()}
    import faiss

    counts["FAISS"] = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    return judge_gpus(counts)


def judge_gpus(counts: dict[str, int]) -> Check:
    """What the numbers of GPUs that driver, torch and FAISS see mean together."""
    found = ", ".join(f"{who} {number}" for who, number in counts.items())
    if counts["torch"] < counts["driver"]:
        remedy = "install a torch whose CUDA the driver knows (nvidia-smi shows it); leave CUDA_VISIBLE_DEVICES alone"
        return Check(name="GPUs", status="failed", found=found, remedy=remedy)
    if counts["FAISS"] < counts["torch"]:
        remedy = "pip uninstall faiss-cpu, then pip install faiss-gpu; until then searches run on the CPU"
        return Check(name="GPUs", status="warning", found=found, remedy=remedy)
    return Check(name="GPUs", status="ok", found=found if counts["torch"] else "none: everything runs on the CPU")


def _driver_gpus() -> int:
    import pynvml

    try:
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError:
        return 0
