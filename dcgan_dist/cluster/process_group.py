"""How the ranks of a run connect to each other."""

import os
from dataclasses import dataclass

import psutil
import ray.train.torch
import ray.util

from dcgan_dist.cluster.ray_train_internals import torch_backend_after


@dataclass
class ReachableRanks(ray.train.torch.TorchConfig):
    """Ray's process group of torch, with gloo on the network card by which the other nodes know this one.

    Gloo itself takes the address that the machine's own name leads to, which on many systems is 127.0.1.1: ranks of
    other nodes cannot connect to that.
    """

    @property
    def backend_cls(self) -> type:
        """Class with which Ray starts the group."""
        return torch_backend_after(choose_card)


def choose_card() -> None:
    """Set GLOO_SOCKET_IFNAME to the card that has this node's address, unless it is set already."""
    node_address = ray.util.get_node_ip_address()
    for card, addresses in psutil.net_if_addrs().items():
        if any(entry.address == node_address for entry in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", card)
