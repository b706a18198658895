"""Settings of a run in a file: what a run wrote, or YAML by hand, in place of flags."""

import argparse
import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from dcgan_dist.config import TrainConfig
from dcgan_dist.errors import InputError, nearest, require
from dcgan_dist.presets import preset
from dcgan_dist.untrusted import parse_json, read_file, reason

MOST_BYTES = 1 << 20
HELP = (
    "--config FILE takes the settings of a file: run.json or result.json of a run, or YAML or JSON with some of them "
    "(data: {batch_size: 64}); flags come on top. --print-config prints all settings as such a file, and exits."
)


def take_config_flags(argv: Sequence[str]) -> tuple[str, str, bool, list[str]]:
    """File of --config, name of --preset (empty: none), whether --print-config is there, and all flags but the first and third."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config", nargs="?", const="")
    parser.add_argument("--print-config", action="store_true")
    options, others = parser.parse_known_args(argv)
    require(options.config != "", "`config` names no file: give run.json of a run, or YAML")
    presets = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    presets.add_argument("--preset", nargs="?", const="", default="")
    return options.config or "", presets.parse_known_args(others)[0].preset, options.print_config, others


def load_config(path: str, preset_name: str, default_preset: str) -> TrainConfig:
    """The settings that flags come on top of: of a preset, then of a file.

    Args:
        path: the file; empty: none.
        preset_name: as --preset names it; empty: that of the file, else the default.
        default_preset: for a file that names none.

    Raises:
        InputError: the file cannot be read, or holds what no run can have.
    """
    values = _values(path) if path else {}
    named = values.get("preset", preset_name or default_preset)
    require(
        not preset_name or named == preset_name,
        f"`config` {path} is of preset {named!r}, and `preset` is {preset_name!r}: leave one of them out",
    )
    base = preset(str(named))
    if not values:
        return base
    try:
        merged = _over(dataclasses.asdict(base), values)
        return parse_json(json.dumps(merged), TrainConfig, strict=False)  # YAML takes 1e-4 for a text
    except (ValueError, TypeError) as error:
        raise InputError(f"`config` {path}: {reason(error)}") from error


def config_text(config: TrainConfig) -> str:
    """All settings as YAML, which `load_config` reads."""
    return yaml.safe_dump(json.loads(json.dumps(dataclasses.asdict(config))), sort_keys=False)


def _values(path: str) -> dict[str, Any]:
    try:
        text = read_file(Path(path), MOST_BYTES).decode()
        content = json.loads(text) if path.endswith(".json") else yaml.safe_load(text)
    except OSError as error:
        raise InputError(f"`config` {path} cannot be read ({error.strerror or error}): correct the path") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"`config` {path} is neither YAML nor JSON ({reason(error)}): mend it") from error
    values = content.get("config", content) if isinstance(content, dict) else content
    require(isinstance(values, dict), f"`config` {path} holds no settings by name: give run.json of a run, or YAML")
    return values


def _over(base: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Nested settings with some replaced; raises InputError for a name that is none."""
    for name in values:
        require(name in base, f"no setting {name!r}{nearest(str(name), list(base))}")
    return base | {
        name: _over(base[name], value) if isinstance(value, dict) and isinstance(base.get(name), dict) else value
        for name, value in values.items()
    }
