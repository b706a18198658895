"""Machines of a network of their own: network namespaces with a cable between them, without a name on this machine.

Each namespace lives as long as a process that reads from a pipe of this one: whatever ends this process ends the network too.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

CLONE_NEWNET = 0x40000000
NETWORK = "10.77.0"


class Network:
    """Machines by name, each with an address; the first one is the switch, too."""

    def __init__(self, holders: dict[str, subprocess.Popen[bytes]]) -> None:
        self.holders = holders
        self.addresses = {name: f"{NETWORK}.{number}" for number, name in enumerate(holders, 1)}

    @contextmanager
    def on(self, name: str) -> Iterator[str]:
        """What this thread opens and starts inside the `with` is on that machine; yields its address."""
        with open("/proc/thread-self/ns/net") as home, open(f"/proc/{self.holders[name].pid}/ns/net") as there:
            _enter(there.fileno())
            try:
                yield self.addresses[name]
            finally:
                _enter(home.fileno())


@contextmanager
def network(*names: str) -> Iterator[Network]:
    """A network of machines; skips the test where the system does not allow one."""
    with ExitStack() as stack:
        holders = {name: stack.enter_context(_namespace()) for name in names}
        made = Network(holders)
        switch, *others = names
        _ip(made, switch, "link add switch type bridge")
        _ip(made, switch, f"addr add {made.addresses[switch]}/24 dev switch")
        _ip(made, switch, "link set switch up")
        for number, name in enumerate(others):
            _ip(made, switch, f"link add port{number} type veth peer name eth0 netns {holders[name].pid}")
            _ip(made, switch, f"link set port{number} master switch up")
            _ip(made, name, f"addr add {made.addresses[name]}/24 dev eth0")
            _ip(made, name, "link set eth0 up")
        yield made


@contextmanager
def _namespace() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a network namespace of its own, which ends with its standard input."""
    command = ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec cat"]
    try:
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError:
        pytest.skip("network namespaces: unshare is not installed")
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stderr is not None
    try:
        if holder.stdout.readline() != b"up\n":
            pytest.skip(f"network namespaces are not allowed here: {holder.stderr.read().decode().strip()}")
        yield holder
    finally:
        holder.stdin.close()
        holder.wait(10)


def _ip(made: Network, name: str, arguments: str) -> None:
    with made.on(name):
        done = subprocess.run(["ip", *arguments.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"network namespaces: ip {arguments}: {done.stderr.strip()}")


def _enter(descriptor: int) -> None:
    """Move this thread into a network namespace (os.setns needs Python 3.12)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
