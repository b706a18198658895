"""Machines of a network of their own: network namespaces with a cable between them, without a name on this machine.

Each namespace lives as long as a process that reads from a pipe of this one: whatever ends this process ends the network too.
"""

import ctypes
import os
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

CLONE_NEWNET = 0x40000000
NETWORK = "10.77.0"


class Network:
    """Machines by name, each with an address of its own; all of them this one where the system does not allow more."""

    def __init__(self, holders: dict[str, subprocess.Popen[bytes]], refused: str = "") -> None:
        self.holders, self.refused = holders, refused

    @contextmanager
    def on(self, name: str) -> Iterator[str]:
        """What this thread opens and starts inside the `with` is on that machine; yields its address."""
        if self.refused:
            yield "127.0.0.1"
            return
        with open("/proc/thread-self/ns/net") as home, open(f"/proc/{self.holders[name].pid}/ns/net") as there:
            _enter(there.fileno())
            try:
                yield self.address(name)
            finally:
                _enter(home.fileno())

    def address(self, name: str) -> str:
        """Address of a machine."""
        return "127.0.0.1" if self.refused else f"{NETWORK}.{[*self.holders].index(name) + 1}"


class RefusedError(Exception):
    """The system does not allow network namespaces; says why."""


@contextmanager
def network(*names: str) -> Iterator[Network]:
    """A network of machines; of one machine with many names, and a warning, where the system does not allow more."""
    with ExitStack() as stack:
        try:
            made = Network({name: stack.enter_context(_namespace()) for name in names})
            _connect(made)
        except RefusedError as refused:
            warnings.warn(f"all nodes on one machine, as network namespaces are refused: {refused}", stacklevel=1)
            made = Network({}, str(refused))
        yield made


def _connect(made: Network) -> None:
    """A cable from the first machine, which is the switch too, to each other one; all call their card eth0."""
    first, *others = made.holders
    _ip(made, first, "link add eth0 type bridge")
    for number, name in enumerate(others):
        _ip(made, first, f"link add port{number} type veth peer name eth0 netns {made.holders[name].pid}")
        _ip(made, first, f"link set port{number} master eth0 up")
    for name in made.holders:
        _ip(made, name, f"addr add {made.address(name)}/24 dev eth0")
        _ip(made, name, "link set eth0 up")


@contextmanager
def _namespace() -> Iterator[subprocess.Popen[bytes]]:
    """A process in a network namespace of its own, which ends with its standard input."""
    command = ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec cat"]
    try:
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError as error:
        raise RefusedError("unshare is not installed") from error
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert holder.stderr is not None
    try:
        if holder.stdout.readline() != b"up\n":
            raise RefusedError(holder.stderr.read().decode().strip())
        yield holder
    finally:
        holder.stdin.close()
        holder.wait(10)


def _ip(made: Network, name: str, arguments: str) -> None:
    with made.on(name):
        done = subprocess.run(["ip", *arguments.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RefusedError(f"ip {arguments}: {done.stderr.strip()}")


def _enter(descriptor: int) -> None:
    """Move this thread into a network namespace (os.setns needs Python 3.12)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
