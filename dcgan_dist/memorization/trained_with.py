"""What training did to the images, so that the check compares with what the model has seen."""

from typing import Literal, NamedTuple

from dcgan_dist.errors import require
from dcgan_dist.memorization.check_options import Crop
from dcgan_dist.registry.lineage import find_lineage, training_record
from dcgan_dist.registry.model_uri import in_registry
from dcgan_dist.storage.copies import local_input
from dcgan_dist.training.whole_checkpoint import MANIFEST, load_checkpoint

CROPS: dict[str, Crop] = {"centre": "centre", "none": "resize"}
"""`data.crop` of a run -> how the check makes squares: shards that are not cut were resized when they were prepared."""


class TrainedWith(NamedTuple):
    """What was done to training images."""

    crop: Crop
    flip: bool
    """Half of them were mirrored."""


def trained_with(
    model: str, tracking_uri: str, *, crop: Literal["trained", "resize", "centre"], flip: bool
) -> TrainedWith:
    """What the model's run or checkpoint recorded; what is asked for where there is no record, or no model.

    Raises:
        InputError: another crop is asked for than the model was trained with, or no such model or run.
    """
    settings = _settings(model, tracking_uri) if model else {}
    recorded = CROPS.get(settings.get("data.crop", ""))
    require(
        crop == "trained" or recorded in (None, crop),
        f"`crop={crop}` would compare with other pictures than {model} was trained on: give `crop={recorded}`, or leave it out",
    )
    return TrainedWith(
        recorded or ("resize" if crop == "trained" else crop), flip or settings.get("augment.flip") == "True"
    )


def _settings(model: str, tracking_uri: str) -> dict[str, str]:
    """Dotted path -> value of the model's training; empty where it is not known."""
    if in_registry(model):
        run_id = find_lineage(model, tracking_uri).run_id
        return training_record(run_id, tracking_uri).settings if run_id else {}
    with local_input(model, "model") as path:
        if not (path / MANIFEST).is_file():
            return {}
        config, _, _ = load_checkpoint(path)
    return {"data.crop": config.data.crop, "augment.flip": str(config.augment.flip)}
