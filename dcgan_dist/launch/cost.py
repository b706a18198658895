"""What a run takes and costs: speed, hours, money by a dated price list, bytes."""

from __future__ import annotations

import datetime
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import yaml

from dcgan_dist.config import TrainConfig
from dcgan_dist.data.remote import DEFAULT_CACHE_BYTES
from dcgan_dist.data.uri import is_uri
from dcgan_dist.errors import InputError, nearest
from dcgan_dist.launch.progress import duration
from dcgan_dist.launch.run_plan import RunPlan


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """Of a machine with GPUs, in US dollars per hour."""

    gpus: int
    usd_per_hour: float
    gpu: str = ""
    kind: str = ""
    """on demand or spot."""
    region: str = ""
    read: datetime.date | None = None
    """The day on which the source read it; None for one that the user gave."""
    source: str = ""

    def money(self, gpus: int, hours: float) -> float:
        """Dollars for so many GPUs in use for so long: machines are rented whole."""
        return math.ceil(gpus / self.gpus) * self.usd_per_hour * hours


@cache
def known_prices() -> dict[str, Price]:
    """The rows of prices.yaml by name."""
    rows = yaml.safe_load(files("dcgan_dist.launch").joinpath("prices.yaml").read_text(encoding="utf-8"))
    return {name: Price(**row) for name, row in rows.items()}


def find_price(named: str) -> Price | None:
    """A row of the price list, or a number of US dollars per GPU and hour; None where nothing was named.

    Raises:
        InputError: neither a row nor a positive number.
    """
    if not named:
        return None
    if named in known_prices():
        return known_prices()[named]
    try:
        usd = float(named)
    except ValueError:
        raise InputError(
            f"`price` {named} is neither a number nor a known row{nearest(named, list(known_prices()))}"
        ) from None
    if not (0 < usd < math.inf):
        raise InputError(f"`price` {named} must be a positive number of US dollars per GPU hour")
    return Price(gpus=1, usd_per_hour=usd)


def money_line(named: str, gpus: int, gpu_hours: float) -> str:
    """What so many GPU hours on so many GPUs cost, with where the price comes from, in one line.

    Args:
        named: as `find_price` takes it.
        gpus: at the same time; 0: a run on CPUs.
        gpu_hours: of all of them together.
    """
    if not gpus:
        return "money: no price known for CPUs"
    price = find_price(named)
    if price is None:
        return f"money: no price named: `price` NAME or US dollars per GPU hour; known are {', '.join(known_prices())}"
    hours = gpu_hours / gpus
    cost = f"money: about {price.money(gpus, hours):,.2f} US dollars"
    if price.read is None:
        return f"{cost} at {price.usd_per_hour:g} per GPU hour, as given"
    machines = math.ceil(gpus / price.gpus)
    return (
        f"{cost}: {machines} x {price.usd_per_hour:g} per hour ({named}, {price.gpus} x {price.gpu}, {price.kind}, "
        f"{price.region}) as of {price.read}, {price.source}"
    )


def outlook(plan: RunPlan, images_per_second: float) -> list[str]:
    """Speed, time, GPU hours and money of a whole run at a speed of all its ranks together."""
    config = plan.config
    ranks = config.workers[1]
    epoch = plan.shard_plan.steps_per_epoch * config.data.batch_size / images_per_second
    hours = plan.images / images_per_second / 3600
    gpus = ranks if config.use_gpu else 0
    return [
        f"speed: about {images_per_second:,.0f} images/s on {ranks} ranks",
        f"time: about {duration(epoch)} per epoch, {duration(hours * 3600)} in all, without start-up",
        f"GPU hours: {gpus * hours:,.2f}",
        money_line(config.price, gpus, gpus * hours),
    ]


def cache_bytes(config: TrainConfig, location: str, shard_bytes: Sequence[int]) -> int:
    """Bytes of local caches on all nodes together: a bounded one for each process that reads shards behind a URI."""
    if not is_uri(location):
        return 0
    return config.workers[1] * max(1, config.data.loader_workers) * min(DEFAULT_CACHE_BYTES, sum(shard_bytes))
