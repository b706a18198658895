"""A network as a folder for a model hub: a card, a sample grid, its settings, and weights that others read; loaded back too."""

import copy
import dataclasses
import json
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from dcgan_dist.cli.result_file import writing
from dcgan_dist.config import ModelConfig, from_dict
from dcgan_dist.errors import InputError, require
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.latents import prior_batches, seeded
from dcgan_dist.models.standing_statistics import has_standing_statistics
from dcgan_dist.models.tensor_files import network_from
from dcgan_dist.quality.sampling import save_samples
from dcgan_dist.registry.export_card import SAMPLES, export_card
from dcgan_dist.storage.copies import local_output
from dcgan_dist.storage.stored_folder import StoredFolder
from dcgan_dist.training.whole_checkpoint import state_sha256
from dcgan_dist.untrusted import parse_json, read_file, refusing

Network = TypeVar("Network", Generator, Discriminator)
FileFormat = Literal["safetensors", "onnx"]

CARD, CONFIG = "README.md", "config.json"
VERSION = 1
OPSET = 17
"""The version of ONNX's operators: from 2022, so that every runtime in use has it."""
MOST_DIFFERENCE = 1e-4
"""Between what torch and ONNX Runtime compute of the same rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportConfig:
    """The content of config.json."""

    format: int
    """VERSION of the program that wrote it."""
    library: str
    """dcgan_dist."""
    network: Literal["generator", "discriminator"]
    """Which of the two it is."""
    weights: str
    """Name of the file of weights."""
    weights_sha256: str
    """Over all tensors, whatever file they are in."""
    model: dict[str, Any]
    """Fields of ModelConfig."""


def weights_file(file_format: FileFormat) -> str:
    """Name of the file of weights."""
    return f"model.{file_format}"


def is_export(folder: Path) -> bool:
    """Whether a folder holds what `export_network` writes."""
    return (folder / weights_file("safetensors")).is_file() or (folder / weights_file("onnx")).is_file()


def export_network(
    network: Generator | Discriminator, out: str, *, file_format: FileFormat, card: str, data_licence: str = ""
) -> bool:
    """Write a network as a folder that a model hub takes as it is: all of it or nothing.

    Args:
        network: in eval mode with standing statistics, on the CPU; it is not changed.
        out: folder or URI, which holds nothing yet, or the same export.
        file_format: `model.safetensors` has the weights as they are, `model.onnx` a float32 graph with any number of rows.
        card: Markdown, see `model_card`; how to load the model is rewritten for a folder.
        data_licence: of the training images, a sentence; empty: the card says nothing about it.

    Returns:
        Whether anything was written: False where the same export is there.

    Raises:
        InputError: no standing statistics, another thing at that place, or the place cannot be read or written.
    """
    kind = "generator" if isinstance(network, Generator) else "discriminator"
    require(
        has_standing_statistics(network),
        f"this {kind} has no standing statistics: those of a discriminator take real images, so name a registered one or the "
        "snapshot of a run; those of a generator that diverged are NaN",
    )
    config = ExportConfig(
        format=VERSION,
        library="dcgan_dist",
        network=kind,
        weights=weights_file(file_format),
        weights_sha256=state_sha256({"weights": network.state_dict()}),
        model=json.loads(json.dumps(dataclasses.asdict(network.config))),
    )
    if _is_there(out, dataclasses.asdict(config)):
        return False
    with local_output(out, "out") as place, writing(f"`out` {out}", "name another folder"):
        draft = place.with_name(f".{place.name}.part")
        shutil.rmtree(draft, ignore_errors=True)  # of an export that was killed
        try:
            draft.mkdir(parents=True)
            if file_format == "safetensors":
                from safetensors.torch import save_file  # here and below: the libraries of an extra

                save_file({name: x.contiguous() for name, x in network.state_dict().items()}, draft / config.weights)
            else:
                write_onnx(network, draft / config.weights)
            if isinstance(network, Generator):
                with refusing("this generator draws no images", "export another checkpoint"):
                    save_samples(network, draft / SAMPLES, n=64, seed=0)
            readme = export_card(
                card, kind=kind, config=network.config, file_format=file_format, data_licence=data_licence
            )
            (draft / CARD).write_text(readme, encoding="utf-8")
            (draft / CONFIG).write_text(
                json.dumps(dataclasses.asdict(config), indent=1) + "\n"
            )  # last, also in a store
            draft.rename(place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return True


def _is_there(out: str, config: dict[str, Any]) -> bool:
    """Whether a place holds this export; False where it holds nothing.

    Raises:
        InputError: it holds something else, or cannot be asked.
    """
    try:
        stored = StoredFolder(out)
        if not stored.files(""):
            return False
        content = stored.read_json(CONFIG)
    except OSError as error:
        raise InputError(f"`out` {out} cannot be read ({error}): check the address and the store") from error
    require(content == config, f"`out` {out} holds other files: name a new folder, or remove that one first")
    return True


class _WithFeatures(nn.Module):
    """A discriminator with two outputs: its logits, and what its last layer sees."""

    def __init__(self, discriminator: Discriminator) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(b,) logits and (b, n) features of (b, c, s, s) images."""
        *_, features, logits = self.discriminator.layer_outputs(images, labels).values()
        return logits, features.flatten(1)


def write_onnx(network: Generator | Discriminator, path: Path) -> None:
    """Write the float32 graph of a network in eval mode, and let ONNX Runtime compute it once.

    Inputs are `z` or `images`, and `labels` (int64) where there are classes; outputs `images`, or `logits` and `features`.

    Raises:
        InputError: ONNX Runtime computes something else.
    """
    import onnxruntime

    network = copy.deepcopy(network).float()
    config, is_generator = network.config, isinstance(network, Generator)
    ((rows, labels),) = prior_batches(config, batches=1, batch_size=3, seed=0, device="cpu", dtype=torch.float32)
    if not is_generator:
        shape = (3, config.image_channels, config.image_size, config.image_size)
        rows = torch.rand(shape, generator=seeded(0, "images"))
    values = {"z" if is_generator else "images": rows} | ({} if labels is None else {"labels": labels})
    outputs = ["images"] if is_generator else ["logits", "features"]
    graph = _WithFeatures(network) if isinstance(network, Discriminator) else network
    with warnings.catch_warnings():  # this exporter is the older one: the newer takes three packages more
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            graph.eval(),
            tuple(values.values()),
            str(path),
            input_names=list(values),
            output_names=outputs,
            dynamic_axes={name: {0: "n"} for name in [*values, *outputs]},
            opset_version=OPSET,
            dynamo=False,
        )

    one = {name: value[:1] for name, value in values.items()}  # another number of rows than it was traced with
    with torch.no_grad():
        expected = graph(*one.values())
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    computed = session.run(outputs, {name: value.numpy() for name, value in one.items()})
    for ours, theirs in zip([expected] if is_generator else expected, computed, strict=True):
        worst = float(np.abs(ours.numpy() - theirs).max())
        require(
            worst <= MOST_DIFFERENCE * max(1.0, float(ours.abs().max())),
            f"ONNX Runtime computes outputs that differ by {worst:g}: try the versions of onnx, onnxruntime and torch in constraints.txt",
        )


def load_export(folder: Path, network_class: type[Network]) -> Network:
    """The network of a folder that `export_network` wrote with safetensors, in eval mode.

    Raises:
        InputError: the other format, the other network, or damaged.
    """
    path = folder / weights_file("safetensors")
    require(
        path.is_file(),
        f"{folder} holds an ONNX graph, which is for ONNX Runtime: export with `format=safetensors` to load it",
    )
    from safetensors.torch import load_file

    with refusing(f"{folder / CONFIG} is not what an export wrote", "export the model again"):
        config = parse_json(read_file(folder / CONFIG), ExportConfig, more=True)
        require(config.format <= VERSION, f"{folder} was written by a newer dcgan_dist: update it")
    wanted = network_class.__name__.lower()
    require(
        config.network == wanted, f"{folder} is a {config.network}, not a {wanted}: name the folder of the other one"
    )
    with refusing(f"{path} is damaged, or does not fit its {CONFIG}", "export the model again"):
        weights = {name: tensor.clone() for name, tensor in load_file(path).items()}  # not the file's own memory
        network = network_from(network_class, from_dict(ModelConfig, config.model), weights).eval()
        require(
            state_sha256({"weights": network.state_dict()}) == config.weights_sha256,
            f"{path} does not match the hash in {CONFIG}: export the model again",
        )
    return network
