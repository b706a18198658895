"""Write a model as a folder for a model hub: card, sample grid, config and weights, which load back or run in ONNX Runtime.

python jobs/export.py --model models:/dcgan-lsun-generator@candidate --format onnx --out lsun_onnx
"""

from dataclasses import dataclass
from typing import Literal

from dcgan_dist.cli.command_line import absolute, parse, run


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportJob:
    """What to export, how and where to."""

    model: str
    """models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN_ID/generator, or a path: a checkpoint, an export, a
    file of PyTorch's DCGAN example, or the authors' arrays (docs/models.md)."""
    out: str
    """Folder, new or with the same export."""
    format: Literal["safetensors", "onnx"] = "safetensors"
    """safetensors: the weights as they are, which every job loads back; onnx: a float32 graph for ONNX Runtime."""
    network: Literal["generator", "discriminator"] = "generator"
    """Which of the two the model is; of a checkpoint, which to take."""
    data_licence: str = ""
    """Licence of the training images, a sentence for the card."""
    tracking_uri: str = ""
    """MLflow server or database with the registry; default $MLFLOW_TRACKING_URI, else the default storage's."""


def main(argv: list[str]) -> int:
    """Load, write."""
    job = parse(ExportJob, argv, description=__doc__ or "")
    from dcgan_dist.registry.export_folder import export_network
    from dcgan_dist.registry.find_card import find_card
    from dcgan_dist.registry.load import load_discriminator, load_generator

    load = load_generator if job.network == "generator" else load_discriminator
    network, out = load(job.model, job.tracking_uri), absolute(job.out, "out")
    card = find_card(job.model, job.tracking_uri, network)
    is_new = export_network(network, out, file_format=job.format, card=card, data_licence=job.data_licence)
    print(f"{job.network} of {job.model} {'exported to' if is_new else 'is already in'} {out}")
    return 0


if __name__ == "__main__":
    run(main)
