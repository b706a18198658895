"""What a run takes and costs: speed, hours, money by a dated price list, bytes."""

import datetime
import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from dcgan_dist.errors import InputError, nearest


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """Price of a machine with GPUs."""

    gpus: int
    usd_per_hour: float
    gpu: str = ""
    kind: str = ""
    """'on demand' or 'spot'."""
    region: str = ""
    read: datetime.date | None = None
    """The day on which the source read it; None for one that the user gave."""
    source: str = ""

    def money(self, gpus: int, hours: float) -> float:
        """US dollars for a number of GPUs over some hours: machines are rented whole."""
        return math.ceil(gpus / self.gpus) * self.usd_per_hour * hours


@cache
def known_prices() -> dict[str, Price]:
    """The rows of prices.yaml by name."""
    rows = yaml.safe_load(files("dcgan_dist.cli").joinpath("prices.yaml").read_text(encoding="utf-8"))
    return {name: Price(**row) for name, row in rows.items()}


def find_price(name: str) -> Price | None:
    """The price that a user named: a row of the price list, or US dollars per GPU and hour; None for an empty name.

    Raises:
        InputError: neither a row nor a positive number.
    """
    if not name:
        return None
    if name in known_prices():
        return known_prices()[name]
    try:
        usd = float(name)
    except ValueError:
        raise InputError(
            f"`price` {name} is neither a number nor a known row{nearest(name, list(known_prices()))}"
        ) from None
    if not (0 < usd < math.inf):
        raise InputError(f"`price` {name} must be a positive number of US dollars per GPU hour")
    return Price(gpus=1, usd_per_hour=usd)


def money_line(name: str, gpus: int, gpu_hours: float) -> str:
    """One line that says what a job costs and where the price comes from.

    Args:
        name: price as `find_price` takes it.
        gpus: number used at the same time; 0: a job on CPUs.
        gpu_hours: hours of all GPUs together.
    """
    if not gpus:
        return "money: no price known for CPUs"
    price = find_price(name)
    if price is None:
        return f"money: no price named: `price` NAME or US dollars per GPU hour; known are {', '.join(known_prices())}"
    hours = gpu_hours / gpus
    cost = f"money: about {price.money(gpus, hours):,.2f} US dollars"
    if price.read is None:
        return f"{cost} at {price.usd_per_hour:g} per GPU hour, as given"
    machines = math.ceil(gpus / price.gpus)
    return (
        f"{cost}: {machines} x {price.usd_per_hour:g} per hour ({name}, {price.gpus} x {price.gpu}, {price.kind}, "
        f"{price.region}) as of {price.read}, {price.source}"
    )
