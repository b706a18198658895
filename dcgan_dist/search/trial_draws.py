"""What a search draws from: a dict from dotted config path to distribution, and trials as pure functions of it."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcgan_dist.config import SupervisedConfig, flatten, replace
from dcgan_dist.errors import InputError, nearest, require
from dcgan_dist.untrusted import Name, parse_json, read_file, refusing


@dataclass(frozen=True, slots=True)
class Uniform:
    """Any number between two."""

    low: float
    high: float

    def at(self, u: float) -> float:
        """The value at a share u in [0, 1) of the distribution."""
        return _short(self.low + (self.high - self.low) * u)


class LogUniform(Uniform):
    """Any positive number between two, each power of ten being as likely as the next."""

    def at(self, u: float) -> float:
        return _short(self.low * (self.high / self.low) ** u)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some values, all equally likely."""

    values: tuple[Any, ...]

    def at(self, u: float) -> Any:
        return self.values[int(u * len(self.values))]


Distribution = Uniform | Choice
Space = Mapping[str, Distribution]

# The paper says "64 trials of random search" and no range: all of these are our choice (O). Of the learning rate's two
# decades and a half, 2e-4 and 5e-4 are the rates of the paper's GANs; beta1 reaches from their 0.5 to Adam's own 0.9;
# widths are 1/2, 1, 3/2 and 2 times the discriminator's 64. Augmentation is off.
SVHN: Space = {
    "optimizer.lr": LogUniform(1e-4, 1e-2),
    "optimizer.beta1": Uniform(0.5, 0.95),
    "optimizer.weight_decay": LogUniform(1e-6, 1e-2),
    "dropout": Uniform(0.0, 0.7),
    "classifier.model.discriminator_width": Choice((32, 64, 96, 128)),
    "batch_size": Choice((32, 64, 128)),
    "epochs": Choice((25, 50, 100, 200)),
}
# The same for two CPU cores: narrower networks, fewer epochs.
DIGITS: Space = {
    **SVHN,
    "classifier.model.discriminator_width": Choice((8, 16, 32)),
    "epochs": Choice((5, 10, 20)),
}
SPACES = {"svhn": SVHN, "digits": DIGITS}

KINDS = {"uniform": Uniform, "log_uniform": LogUniform, "choice": Choice}


def open_space(name: str, base: SupervisedConfig) -> Space:
    """A space by its name or from a JSON file such as {"optimizer.lr": {"log_uniform": [1e-4, 1e-2]}, "batch_size":
    {"choice": [32, 64]}}; every value that it can give was tried on the config.

    Raises:
        InputError: no such space or file, an unknown path or distribution, a value that the config does not take.
    """
    if name in SPACES:
        space = SPACES[name]
    else:
        known = f"`space` {name} is neither one of {', '.join(SPACES)} nor a JSON file of distributions"
        with refusing(known, "write it like docs/search.md shows"):
            content = parse_json(read_file(Path(name).expanduser()), dict[Name, Any])
        require(bool(content), f"`space` {name} names no path: write it like docs/search.md shows")
        space = {path: _parse(path, distribution) for path, distribution in content.items()}
    _check(space, base)
    return space


def _check(space: Space, base: SupervisedConfig) -> None:
    """Raise InputError unless each path exists and takes what its distribution gives."""
    known = flatten(base)
    for path, distribution in space.items():
        if path not in known or path == "seed":
            raise InputError(f"the space names {path!r}, no field of a trial{nearest(path, list(known))}")
        kind = type(known[path])
        whole = isinstance(known[path], int)
        remedy = "it is a whole number, use a choice of such" if whole else f"it is of type {kind.__name__}"
        for value in _extremes(distribution):
            fits = isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)
            fits = fits and (not whole or isinstance(distribution, Choice))
            require(fits, f"the space gives {path} the value {value!r}: {remedy}")
            replace(base, path, value)


def draw_trial(space: Space, base: SupervisedConfig, *, seed: int, number: int) -> SupervisedConfig:
    """The base config with what the space draws for a trial.

    Each value is a function of the search's seed, the trial's number and the path alone, so that more trials do not change
    the first ones. The trial's own seed is the base's plus the number.
    """
    config = replace(base, "seed", base.seed + number)
    for path, distribution in space.items():
        digest = hashlib.sha256(f"{seed}/{number}/{path}".encode()).digest()
        config = replace(config, path, distribution.at(int.from_bytes(digest[:6], "big") / 2**48))
    return config


def to_json(space: Space) -> dict[str, Any]:
    """The space as a JSON file holds it."""
    names = {kind: name for name, kind in KINDS.items()}
    return {path: {names[type(distribution)]: list(_extremes(distribution))} for path, distribution in space.items()}


def _parse(path: str, content: Any) -> Distribution:
    if not (isinstance(content, dict) and len(content) == 1 and isinstance(next(iter(content.values())), list)):
        raise InputError(f"the space's {path} is not like {{'uniform': [0, 1]}}: name one of {', '.join(KINDS)}")
    ((kind, values),) = content.items()
    if kind not in KINDS:
        raise InputError(f"the space's {path} is drawn from {kind!r}{nearest(kind, list(KINDS))}")
    if kind == "choice":
        require(bool(values), f"the space's {path} is a choice of nothing: name its values")
        return Choice(tuple(values))
    numbers = len(values) == 2 and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if not numbers or values[0] > values[1] or (kind == "log_uniform" and values[0] <= 0):
        raise InputError(
            f"the space's {path} is {kind} of {values}: give the least and the greatest value, in that order"
        )
    return KINDS[kind](*values)


def _extremes(distribution: Distribution) -> tuple[Any, ...]:
    """All values of a choice, else the least and the greatest."""
    return distribution.values if isinstance(distribution, Choice) else (distribution.low, distribution.high)


def _short(value: float) -> float:
    return float(f"{value:.4g}")  # as it is shown, so that a trial can be repeated from a table
