"""How the ranks of a run find each other."""

from __future__ import annotations

import os
from dataclasses import dataclass

import psutil
import ray.train.torch
import ray.util
from ray.train.torch.config import _TorchBackend


@dataclass
class ReachableRanks(ray.train.torch.TorchConfig):
    """Ray's process group of torch, with gloo on the network card by which the other nodes know this one.

    Gloo itself takes the address that the machine's own name leads to, which on many systems is 127.0.1.1: ranks of
    other nodes cannot connect to that.
    """

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        """What Ray starts the group with."""
        return _ReachableBackend


class _ReachableBackend(_TorchBackend):
    def on_start(self, worker_group, backend_config) -> None:
        worker_group.execute(choose_card)
        super().on_start(worker_group, backend_config)


def choose_card() -> None:
    """Name the card of this node's address to gloo, unless GLOO_SOCKET_IFNAME names one already."""
    address = ray.util.get_node_ip_address()
    for card, addresses in psutil.net_if_addrs().items():
        if any(one.address == address for one in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", card)
