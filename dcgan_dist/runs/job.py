"""What every training job does with its command line."""

import dataclasses
from collections.abc import Sequence

from dcgan_dist.cli.command_line import absolute, absolute_places, default_shards, parse, refuse_secrets
from dcgan_dist.config import TrainConfig
from dcgan_dist.presets import PRESETS
from dcgan_dist.runs.config_file import HELP, config_text, load_config, take_config_flags


def train(argv: Sequence[str], *, default_preset: str, description: str) -> int:
    """What every training job does; returns its exit code."""
    config = parse_training(argv, default_preset=default_preset, description=description)
    # Imported late: --help and a wrong flag should not wait for Ray.
    from dcgan_dist.runs.driver import run_training

    return run_training(config)


def parse_training(argv: Sequence[str], *, default_preset: str, description: str) -> TrainConfig:
    """The config of a training job: defaults of the preset, then a file, then flags, then places made absolute.

    Exits 0 after --print-config.

    Raises:
        InputError: an unknown preset, a value that does not fit, a relative path inside a Ray job.
    """
    description = (
        f"{description}\nPresets: {', '.join(PRESETS)}; {default_preset} unless --preset names another.\n{HELP}"
    )
    file, preset_name, prints, argv = take_config_flags(argv)
    config = parse(TrainConfig, argv, description=description, default=load_config(file, preset_name, default_preset))
    config = with_absolute_places(config)
    if prints:
        print(config_text(config), end="")
        raise SystemExit(0)
    return config


def with_absolute_places(config: TrainConfig) -> TrainConfig:
    """The config with its files and folders as given or by default, absolute and without secrets.

    Raises:
        InputError: a relative path inside a Ray job, or a place that shows a password.
    """
    weights = config.quality.inception_weights
    places = absolute_places(config.storage, config.tracking_uri) | {
        "shards": absolute(config.shards or default_shards(), "shards"),
        "keep_list": absolute(config.keep_list, "keep_list") if config.keep_list else "",
    }
    for name in ("shards", "keep_list"):
        refuse_secrets(places[name], name)
    quality = dataclasses.replace(
        config.quality, inception_weights=absolute(weights, "quality.inception_weights") if weights else ""
    )
    return dataclasses.replace(config, quality=quality, **places)
