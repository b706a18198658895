"""Tensors from files that strangers may have written, and networks from such tensors: nothing runs, memory is bounded."""

import pickletools
import re
import zipfile
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)

# What torch.save writes of state dicts. `weights_only` allows a bytearray of any size too.
_ALLOWED = re.compile(r"torch\._utils _rebuild_(tensor_v2|parameter)|collections OrderedDict|torch \w+Storage")


def read_tensors(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """What torch.save has written.

    Raises:
        Exception: of any kind, where it is something else, packed, or would run something.
    """
    with zipfile.ZipFile(path) as archive:
        (program,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError(f"{path.name} is packed")
        for opcode, argument, _ in pickletools.genops(archive.read(program)):
            if "GLOBAL" in opcode.name and not _ALLOWED.fullmatch(str(argument)):
                raise ValueError(f"{path.name} wants to run {argument}")
    return torch.load(path, map_location=device, weights_only=True)


def network_from(network_class: type[Network], config: Any, weights: dict[str, Tensor]) -> Network:
    """A network with these weights, which is as large as they are, whatever the config says.

    Raises:
        Exception: of any kind, where they do not fit it.
    """
    with torch.device("meta"):  # no weight is drawn only to be overwritten: random state stays as it is
        network = network_class(config)
    network.load_state_dict(weights, assign=True)
    kinds = {weight.dtype for weight in network.parameters()}
    if len(kinds) != 1 or not kinds <= {torch.float32, torch.float64}:
        raise TypeError(f"its weights are {', '.join(sorted(map(str, kinds)))}")
    return network
