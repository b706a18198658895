"""The watchdog of a rank: whom it can look at on its machine, and what it leaves behind when training hangs."""

import hashlib
import time

import torch

from dcgan_dist.runs.driver_link import DriverLink
from dcgan_dist.runs.events import RankWarning
from dcgan_dist.runs.hanging_ranks import Watchdog
from dcgan_dist.storage.run_folder import RunFolder, this_machine
from dcgan_dist.training.distributed import gather_ranks


def watch_rank(seconds: float, folder: RunFolder, link: DriverLink, device: torch.device) -> Watchdog:
    """Watch this rank; when no step was taken for so many seconds, stacks go to the run folder. Called on all ranks."""

    def save_stacks(silent_seconds: float, stacks: dict[str, str]) -> None:
        """This process ends right after it."""
        name = f"stacks/{time.strftime('%Y%m%d-%H%M%S')}-rank{link.rank}.txt"
        message = f"rank {link.rank} took no step for {silent_seconds:.0f} s: ranks are started again, stacks in {name}"
        link.send_from_any_rank(RankWarning(message=message))
        text = "".join(f"rank {number}\n{stack}\n" for number, stack in stacks.items())
        folder.write_bytes(name, text.encode())

    watchdog = Watchdog(seconds, save_stacks)
    machine = int(hashlib.sha256(this_machine().encode()).hexdigest()[:12], 16)
    mine = torch.tensor([machine, *watchdog.me], dtype=torch.float64, device=device)
    watchdog.peers = [
        (int(pid), int(descriptor)) if there == machine else (0, 0)
        for there, pid, descriptor in gather_ranks(mine).tolist()
    ]
    return watchdog
