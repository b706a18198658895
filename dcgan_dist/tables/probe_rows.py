"""Rows of linear SVMs on a discriminator's features: what the CIFAR-10 and the SVHN table have in common."""

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dcgan_dist.data.label_draws import draw_labels
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.files import content_hash
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.registry.load import UNTRAINED, describe_training, is_untrained, load_discriminator, untrained
from dcgan_dist.tables.extract import Extractor, Workers, extract_features, fit_to
from dcgan_dist.tables.feature_table import FeatureTable, Rows, read_or_removed, written_whole
from dcgan_dist.tables.features import feature_dimensions
from dcgan_dist.tables.job import Measured
from dcgan_dist.tables.paper_tables import Figures, Row
from dcgan_dist.tables.svm_c_grid import HeldOut, Positions, errors, fit_path
from dcgan_dist.tables.table_options import TRAIN, ProbeOptions, trains_first
from dcgan_dist.tables.work_seconds import Seconds, feature_seconds

FEATURES = "features"
NOT_PROTOCOL = (
    *("model", "data", "out", "epochs", "cpus", "tracking_uri", "experiment", "track", "dry_run"),
    *("controls", "kmeans", "centroids"),
)
"""Options that decide which rows there are and where things lie, not what is measured of a row's features."""


def load_probed(options: ProbeOptions) -> Discriminator:
    """The discriminator that `model` names, of train:PRESET one before training.

    Raises:
        InputError: there is none, or it gives no features.
    """
    model = options.model
    if trains_first(model):
        model = UNTRAINED + model.removeprefix(TRAIN)
    discriminator = load_discriminator(model, options.tracking_uri, seed=options.seed)
    feature_dimensions(discriminator.config)
    return discriminator


def feature_work(options: ProbeOptions, images: int, discriminator: Discriminator) -> str:
    """What a dry run says about the features of so many images."""
    dimensions = feature_dimensions(discriminator.config)
    size = images * dimensions * (2 if options.dtype == "float16" else 4) / 1e9
    return f"{images:,} x {dimensions} features of each discriminator, {size:.2f} GB"


def network_seconds(
    options: ProbeOptions, train: int, images: int, discriminator: Discriminator, networks: Sequence[str]
) -> Seconds:
    """What statistics of the training images and features of all take for each of these networks."""
    statistics, features = feature_seconds(discriminator, Workers(use_gpu=options.use_gpu).device)
    return {f"statistics and features of {name}": train * statistics + images * features for name in networks}


class Fitted(NamedTuple):
    """What a protocol measures on some features."""

    figures: Figures
    spread: Figures
    details: dict[str, Any]
    """C and what it was chosen by."""


class ProbeRows(ABC):
    """One protocol on one data set, for any features; a subclass sets the attributes and knows the protocol."""

    train: Manifest
    labels: NDArray[Any]
    """(n,) classes of the first images of `train`, those that are used."""
    test: Manifest | None
    """None: tested on images of `train`."""
    test_labels: NDArray[Any]
    """(n,) classes of the first images of `test`, those that are used."""
    draws: list[NDArray[np.int64]]
    """Positions in `train` of the images of each draw of labels."""

    def __init__(self, options: Any, manifest: Manifest) -> None:
        self.options, self.manifest = options, manifest
        self.workers = Workers(count=options.cpus, use_gpu=options.use_gpu, dtype=options.dtype)
        self.folder = Path(options.out) / FEATURES
        self.deviations: list[str] = []

    @abstractmethod
    def other_rows(self, discriminator: Discriminator) -> Iterator[Row]:
        """Rows that stand beside that of the discriminator."""

    @abstractmethod
    def fit(self, train: Rows, test: Rows | None, key: str) -> Fitted:
        """Choose C, fit, measure on features of the training and the test images; progress bars show the row's key."""

    def draw_labels(self, pool: NDArray[np.int64], per_class: int) -> list[NDArray[np.int64]]:
        """Positions of every draw: those that C is chosen by, then those that are measured."""
        options = self.options
        return [
            draw_labels(self.labels, pool, per_class=per_class, seed=options.seed, draw=number)
            for number in range(options.c_draws + options.draws)
        ]

    def errors(
        self,
        train: Rows,
        draws: Sequence[Positions],
        cs: Sequence[float],
        held_out: Callable[[int], Sequence[HeldOut]],
        name: str,
    ) -> NDArray[np.float64]:
        """Errors in percent of every draw of labelled images and C: on these images themselves, then on each held-out set.

        A draw is the positions of its images; `held_out` gives its sets by its place in `draws`. The result has the shape
        (draws, len(cs), 1 + number of held-out sets); the name is the progress bar's.
        """
        errors_by_draw = []
        for number, positions in enumerate(tqdm(draws, desc=name, unit="draw")):
            path = fit_path(train, self.labels, positions, cs, device=self.workers.device)
            sets = [HeldOut(train, positions, self.labels[positions]), *held_out(number)]
            errors_by_draw.append(np.stack([errors(path, images) for images in sets], axis=1))
        return np.stack(errors_by_draw)

    def row(self, name: str, key: str, train: Rows, test: Rows | None) -> Row:
        """The row of some features; MLflow and result.json know it by its key."""
        figures, spread, details = self._fitted(train, test, key)
        return Row(
            name=name,
            figures=figures,
            spread=spread,
            source="this run",
            deviations=tuple(self.deviations),
            details={"key": key, "dimensions": train.dimensions} | details,
        )

    def _fitted(self, train: Rows, test: Rows | None, key: str) -> Fitted:
        """`fit`, or what an earlier call found for the same features and the same protocol."""
        protocol = {name: value for name, value in dataclasses.asdict(self.options).items() if name not in NOT_PROTOCOL}
        features = [rows.folder.name if isinstance(rows, FeatureTable) else None for rows in (train, test)]
        identity = content_hash(["row", key, self.manifest.hash, features, protocol])
        path = self.folder / f"row-{identity[:16]}.json"
        if path.is_file():
            with read_or_removed(path):
                return Fitted(**json.loads(path.read_text(encoding="utf-8")))
        fitted = self.fit(train, test, key)
        with written_whole(path) as file:
            file.write(json.dumps(fitted._asdict()).encode())
        return fitted

    def measure(self, discriminator: Discriminator) -> Measured:
        """The row of the discriminator, with what it was trained on, and all others."""
        model = self.options.model
        training = describe_training(model)  # at once: a run that goes on may remove its checkpoint
        kind = "untrained" if is_untrained(model) else "DCGAN"
        ours = self.network_row(discriminator, f"{kind} discriminator + L2-SVM", "model")
        others = list(self.other_rows(discriminator))
        ours.details["trained_on"] = training
        ours = dataclasses.replace(ours, deviations=(*ours.deviations, f"trained on: {training}"))
        images = {"train": len(self.labels), "test": len(self.test_labels)}
        details = {
            "data": {"manifest_hash": self.manifest.hash, "images": images},
            "dimensions": feature_dimensions(discriminator.config),
        }
        return Measured(ours, others, details)

    def random_row(self, discriminator: Discriminator) -> Iterator[Row]:
        """The row of an untrained discriminator of the same shape, unless `model` is one."""
        if not is_untrained(self.options.model):
            network = untrained(Discriminator, discriminator.config, seed=self.options.seed)
            yield self.network_row(network, "random discriminator of the same shape", "random")

    def network_row(self, network: Discriminator, name: str, key: str) -> Row:
        """The row of a discriminator's features."""
        extractor = fit_to(network, self.train, self.folder, self.workers, name=key, images=len(self.labels))
        return self.row(name, key, *self.extract(extractor))

    def extract(self, extractor: Extractor) -> tuple[FeatureTable, FeatureTable | None]:
        """Features of the training images and of the test images."""
        train = extract_features(extractor, self.train, self.folder, self.workers, images=len(self.labels))
        if self.test is None:
            return train, None
        return train, extract_features(extractor, self.test, self.folder, self.workers, images=len(self.test_labels))
