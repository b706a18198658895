"""The CIFAR-10 table: accuracy of a linear machine on a discriminator's features, with all labels and with 400 per class."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dcgan_dist.data.label_draws import check_labels, draw_labels, validation_split
from dcgan_dist.data.shards.manifest import Manifest
from dcgan_dist.data.stream import read_images, read_labels
from dcgan_dist.errors import require
from dcgan_dist.prepare.sources.cifar10 import Cifar10Source
from dcgan_dist.registry.load import describe_training, is_untrained, load_discriminator, untrained_discriminator
from dcgan_dist.tables.extract import Extractor, extract_features, fit_to
from dcgan_dist.tables.feature_table import FeatureTable
from dcgan_dist.tables.features import feature_dimensions
from dcgan_dist.tables.job import FEATURES, ProbeOptions, TableJob, complete, count_images, describe_features, open_data
from dcgan_dist.tables.paper_tables import CIFAR10, Row
from dcgan_dist.tables.patch_features import PatchFeatures
from dcgan_dist.tables.probe_protocol import C_GRID, HeldOut, best_c, errors, errors_of_draws, fit_path, summarise

SAMPLES = {"train": 50_000, "test": 10_000}
PER_CLASS, LEAST_PER_CLASS = 400, 100
VALIDATION_SHARE = 0.2  # 10,000 of 50,000
SMALL = {"train": 6_000, "test": 4_000}
CENTROIDS = {"paper": 4800, "small": 400}
PATCH_IMAGES = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Cifar10Table(ProbeOptions):
    """The CIFAR-10 table."""

    c_draws: int = 1
    """Draws of 400 labels per class that C is chosen by."""
    draws: int = 10
    """Further draws that the accuracy with few labels is the mean of."""
    full: bool = True
    """Also learn from all labels: the longest part on a CPU."""
    c_values: tuple[float, ...] = C_GRID
    """Values of C that are compared, rising."""
    kmeans: bool = True
    """Also the row of one layer of K-means."""
    centroids: int = 0
    """Of that row; 0: 4800, as in the paper (small: 400)."""
    train_images: int = 0
    """First images of the train split that are used; 0: all (small: 6000)."""
    test_images: int = 0
    """First images of the test split that are used; 0: all (small: 4000)."""


def fill_cifar10_table(options: Cifar10Table) -> int:
    """Measure every row; returns the exit code.

    Raises:
        InputError: model or data cannot be used.
    """
    options = complete(options)
    require(options.c_draws >= 1 and options.draws >= 1, "`c_draws` and `draws` must be at least 1")
    rising = list(options.c_values) == sorted(set(options.c_values))
    require(rising and min(options.c_values, default=0) > 0, "`c_values` must be rising numbers above 0")
    model = load_discriminator(options.model, options.tracking_uri, seed=options.seed)
    dimensions = feature_dimensions(model.config)
    if options.dry_run:
        counts = count_images(options, lambda path: Cifar10Source(path=path))
        images = sum(min(counts.get(split, 0), _wanted(options, split) or counts.get(split, 0)) for split in SAMPLES)
        print(describe_features(options, counts, images, dimensions))
        return 0
    job = TableJob("cifar10", options, ["full", "few"])
    measure = _Measurement(options, open_data(options, lambda path: Cifar10Source(path=path)))
    kind = "untrained" if is_untrained(options.model) else "DCGAN"
    ours = measure.network(model, f"{kind} discriminator + L2-SVM", "model")
    others = []
    if options.controls and not is_untrained(options.model):
        network = untrained_discriminator(model.config, seed=options.seed)
        others.append(measure.network(network, "random discriminator of the same shape", "random"))
    if options.kmeans:
        others.append(measure.patches(options.centroids or CENTROIDS[options.protocol]))
    ours.details["trained_on"] = describe_training(options.model)
    deviations = (f"trained on: {ours.details['trained_on']}", *ours.deviations)
    ours = dataclasses.replace(ours, deviations=deviations)
    details = {"data": {"manifest_hash": measure.manifest.hash, "images": measure.counts}, "dimensions": dimensions}
    return job.finish(ours, others, CIFAR10, details)


def _wanted(options: Cifar10Table, split: str) -> int:
    """Images of a split that are used; 0: all."""
    asked = options.train_images if split == "train" else options.test_images
    return asked or (SMALL[split] if options.protocol == "small" else 0)


class _Measurement:
    """One protocol on one data set, for any features."""

    def __init__(self, options: Cifar10Table, manifest: Manifest) -> None:
        self.options, self.manifest = options, manifest
        self.deviations: list[str] = []
        if manifest.source.get("form") == "jpeg":
            self.deviations.append("JPEG copies of the images")
        self.train, self.labels = self._open("train")
        self.test, self.test_labels = self._open("test")
        self.counts = {"train": len(self.labels), "test": len(self.test_labels)}
        if self.counts != SAMPLES:
            self.deviations.append(f"{self.counts['train']:,} train and {self.counts['test']:,} test images")
        if options.c_values != C_GRID:
            self.deviations.append(f"C from {', '.join(f'{c:g}' for c in options.c_values)} only")
        self._draw_labels()

    def _open(self, split: str) -> tuple[Manifest, np.ndarray]:
        """A split with the labels of the images that are used."""
        part = self.manifest.split(split)
        labels = read_labels(part).numpy()
        wanted = _wanted(self.options, split)
        if self.options.protocol == "paper":
            counts = np.bincount(labels[labels >= 0], minlength=10)
            require(
                len(labels) == SAMPLES[split] and len(counts) == 10 and bool((counts == SAMPLES[split] // 10).all()),
                f"the {split} split has {len(labels):,} images, per class {counts.tolist()}, and CIFAR-10's has "
                f"{SAMPLES[split]:,}, {SAMPLES[split] // 10:,} per class: give the complete official files, or add "
                "`protocol=small`",
            )
        labels = labels[: wanted or None]
        check_labels(split, labels)
        return part, labels

    def _draw_labels(self) -> None:
        options = self.options
        count = round(VALIDATION_SHARE * len(self.labels))
        self.validation, self.pool = validation_split(len(self.labels), count, seed=options.seed)
        smallest = int(np.bincount(self.labels[self.pool], minlength=10).min())
        require(
            smallest >= LEAST_PER_CLASS,
            f"a class has {smallest} images outside the {count:,} validation images, and at least {LEAST_PER_CLASS} are "
            "needed: give more train images",
        )
        self.per_class = min(PER_CLASS, smallest)
        self.draws = [
            draw_labels(self.labels, self.pool, per_class=self.per_class, seed=options.seed, draw=number)
            for number in range(options.c_draws + options.draws)
        ]
        self.deviations.append(
            f"few: {self.per_class} labels per class, mean of {options.draws} draws, C by {options.c_draws} on {count:,} "
            "validation images"
        )

    def network(self, network, name: str, key: str) -> Row:
        """A row of a discriminator's features."""
        folder, workers = Path(self.options.out) / FEATURES, self.options.workers
        extractor = fit_to(network, self.train, folder, workers, name=key, images=len(self.labels))
        train, test = self._extract(extractor)
        return self._row(train, test, name, key)

    def patches(self, centroids: int) -> Row:
        """A row of one layer of K-means on patches."""
        images = read_images(
            self.train, np.arange(min(PATCH_IMAGES, len(self.labels))), image_size=self.manifest.image_size
        )
        use_gpu = self.options.use_gpu
        extractor = PatchFeatures.learn(images, centroids, seed=self.options.seed, use_gpu=use_gpu)
        train, test = self._extract(extractor)
        mean, scale = train.standardised()
        train, test = (dataclasses.replace(table, mean=mean, scale=scale) for table in (train, test))
        return self._row(train, test, f"1 layer K-means, {centroids} centroids", "kmeans")

    def _extract(self, extractor: Extractor) -> tuple[FeatureTable, FeatureTable]:
        folder, workers = Path(self.options.out) / FEATURES, self.options.workers
        return (
            extract_features(extractor, self.train, folder, workers, images=len(self.labels)),
            extract_features(extractor, self.test, folder, workers, images=len(self.test_labels)),
        )

    def _row(self, train: FeatureTable, test: FeatureTable, name: str, key: str) -> Row:
        options, device, labels, cs = self.options, self.options.workers.device, self.labels, self.options.c_values
        validation = HeldOut(train, self.validation, labels[self.validation])
        tested = HeldOut(test, None, self.test_labels)

        chosen, final = self.draws[: options.c_draws], self.draws[options.c_draws :]
        grid = errors_of_draws(train, labels, chosen, cs, lambda _: [validation], device=device, name=f"{key}: C grid")
        few_c = best_c(grid[:, :, 1], cs)
        found = errors_of_draws(train, labels, final, [few_c], lambda _: [tested], device=device, name=f"{key}: few")
        few = summarise(100 - found[:, 0, 1])
        figures: dict[str, float | None] = {"full": None, "few": few.mean}
        details = {"key": key, "few_c": few_c, "dimensions": train.dimensions}
        if options.full:
            path = fit_path(train, labels, self.pool, cs, device=device)
            by_c = errors(path, validation)
            full_c = best_c(by_c[None], cs)
            start = path[cs.index(full_c)]
            svm = fit_path(train, labels, np.arange(len(labels)), [full_c], device=device, start=start)
            figures["full"] = 100 - float(errors(svm, tested)[0])
            details |= {"full_c": full_c, "converged": svm[0].converged}
            details |= {"validation_error_by_c": dict(zip(map(str, cs), by_c.tolist(), strict=True))}
        return Row(
            name=name,
            figures=figures,
            spread={"few": few.spread},
            source="this run",
            deviations=tuple(self.deviations),
            details=details,
        )
