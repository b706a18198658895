"""The CIFAR-10 table: accuracy of a linear SVM on a discriminator's features, with all labels and with 400 per class."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from dcgan_dist.data.label_draws import check_labels, validation_split
from dcgan_dist.data.shards.schema import Manifest
from dcgan_dist.data.stream import read_images, read_labels, refuse_bad_sample
from dcgan_dist.errors import require
from dcgan_dist.files import content_hash
from dcgan_dist.models.discriminator import Discriminator
from dcgan_dist.prepare.sources.cifar10 import Cifar10Source
from dcgan_dist.registry.load import is_untrained
from dcgan_dist.tables.extract import Workers, check_fits
from dcgan_dist.tables.feature_table import Rows, read_or_removed, written_whole
from dcgan_dist.tables.features import feature_dimensions
from dcgan_dist.tables.job import Table
from dcgan_dist.tables.paper_tables import CIFAR10, Figures, Row
from dcgan_dist.tables.patch_features import PatchFeatures
from dcgan_dist.tables.probe_rows import Fitted, ProbeRows, feature_work, load_probed, network_seconds
from dcgan_dist.tables.svm_c_grid import HeldOut, best_c, errors, fit_path, summarise
from dcgan_dist.tables.table_options import C_GRID, Cifar10TableOptions
from dcgan_dist.tables.train_first import best_checkpoint
from dcgan_dist.tables.work_seconds import Seconds, few_seconds, full_seconds, patch_seconds

SAMPLES = {"train": 50_000, "test": 10_000}
PER_CLASS, LEAST_PER_CLASS = 400, 100
VALIDATION_SHARE = 0.2  # 10,000 of 50,000
SMALL = {"train": 6_000, "test": 4_000}
CENTROIDS = {"paper": 4800, "small": 400}
PATCH_IMAGES = 10_000


def _wanted(options: Cifar10TableOptions, split: str) -> int:
    """Images of a split that are used; 0: all."""
    asked = options.train_images if split == "train" else options.test_images
    return asked or (SMALL[split] if options.protocol == "small" else 0)


class Cifar10Rows(ProbeRows):
    """The protocol of the CIFAR-10 table."""

    options: Cifar10TableOptions

    def __init__(self, options: Cifar10TableOptions, manifest: Manifest) -> None:
        super().__init__(options, manifest)
        if manifest.source.get("form") == "jpeg":
            self.deviations.append("JPEG copies of the images")
        self.train, self.labels = self._open("train")
        self.test, self.test_labels = self._open("test")
        if {"train": len(self.labels), "test": len(self.test_labels)} != SAMPLES:
            self.deviations.append(f"{len(self.labels):,} train and {len(self.test_labels):,} test images")
        if options.c_values != C_GRID:
            self.deviations.append(f"C from {', '.join(f'{c:g}' for c in options.c_values)} only")
        self._draw_labels()

    def _open(self, split: str) -> tuple[Manifest, np.ndarray]:
        """A split with the labels of the images that are used."""
        manifest = self.manifest.split(split)
        labels = read_labels(manifest).numpy()
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
        return manifest, labels

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
        per_class = min(PER_CLASS, smallest)
        self.draws = self.draw_labels(self.pool, per_class)
        self.deviations.append(
            f"few: {per_class} labels per class, mean of {options.draws} draws, C by {options.c_draws} on {count:,} "
            "validation images"
        )

    def other_rows(self, discriminator: Discriminator) -> Iterator[Row]:
        if self.options.controls:
            yield from self.random_row(discriminator)
        if self.options.kmeans:
            yield self._patch_row(self.options.centroids or CENTROIDS[self.options.protocol])

    def _patch_row(self, centroids: int) -> Row:
        """The row of one layer of K-means on patches."""
        train, test = self.extract(self._patch_features(centroids))
        assert test is not None
        statistics = train.mean_and_scale()
        train, test = (table.standardised(*statistics) for table in (train, test))
        return self.row(f"1 layer K-means, {centroids} centroids", "kmeans", train, test)

    def _patch_features(self, centroids: int) -> PatchFeatures:
        """Learnt once; what was learnt lies in the folder of the features."""
        options, count = self.options, min(PATCH_IMAGES, len(self.labels))
        identity = content_hash(["centroids", self.train.hash, count, centroids, options.seed])
        path = self.folder / f"centroids-{identity[:16]}.npz"
        if not path.is_file():
            images = read_images(
                self.train, np.arange(count), image_size=self.train.image_size, on_bad_sample=refuse_bad_sample
            )
            learnt = PatchFeatures.learn(images, centroids, seed=options.seed, use_gpu=options.use_gpu)
            with written_whole(path) as file:
                np.savez(file, mean=learnt.mean, whitening=learnt.whitening, centroids=learnt.centroids)
        with read_or_removed(path), np.load(path, allow_pickle=False) as arrays:
            return PatchFeatures(**{name: torch.from_numpy(arrays[name]) for name in arrays.files})

    def fit(self, train: Rows, test: Rows | None, key: str) -> Fitted:
        assert test is not None
        options, device, labels, cs = self.options, self.workers.device, self.labels, self.options.c_values
        validation = HeldOut(train, self.validation, labels[self.validation])
        tested = HeldOut(test, None, self.test_labels)

        chosen, final = self.draws[: options.c_draws], self.draws[options.c_draws :]
        few_c = best_c(self.errors(train, chosen, cs, lambda _: [validation], f"{key}: C grid")[:, :, 1], cs)
        few_errors = self.errors(train, final, [few_c], lambda _: [tested], f"{key}: few")
        few, spread = summarise(100 - few_errors[:, 0, 1])
        figures: Figures = {"full": None, "few": few}
        details: dict[str, Any] = {"few_c": few_c}
        if options.full:
            path = fit_path(train, labels, self.pool, cs, device=device)
            by_c = errors(path, validation)
            full_c = best_c(by_c[None], cs)
            start = path[cs.index(full_c)]
            svm = fit_path(train, labels, np.arange(len(labels)), [full_c], device=device, start=start)
            figures["full"] = 100 - float(errors(svm, tested)[0])
            details |= {"full_c": full_c, "converged": svm[0].converged}
            details |= {"passes": [each.passes for each in (*path, *svm)]}
            details |= {"validation_error_by_c": dict(zip(map(str, cs), by_c.tolist(), strict=True))}
        return Fitted(figures, {"few": spread}, details)


def _used(options: Cifar10TableOptions, counts: dict[str, int]) -> dict[str, int]:
    """Images of each split that are used."""
    return {split: min(counts.get(split, 0), _wanted(options, split) or counts.get(split, 0)) for split in SAMPLES}


def _work(options: Cifar10TableOptions, counts: dict[str, int], discriminator: Discriminator) -> str:
    return feature_work(options, sum(_used(options, counts).values()), discriminator)


def _seconds(options: Cifar10TableOptions, counts: dict[str, int], discriminator: Discriminator) -> Seconds:
    """Features of every row, then its linear SVMs."""
    used, cs, device = _used(options, counts), options.c_values, Workers(use_gpu=options.use_gpu).device
    networks = ["the model", *(["a random one"] if options.controls and not is_untrained(options.model) else [])]
    seconds = network_seconds(options, used["train"], sum(used.values()), discriminator, networks)
    rows = {name: feature_dimensions(discriminator.config) for name in networks}
    if options.kmeans:
        centroids = options.centroids or CENTROIDS[options.protocol]
        learning, each = patch_seconds(centroids, device)
        seconds[f"features of K-means, {centroids} centroids"] = learning + each * sum(used.values())
        rows["K-means"] = 4 * centroids
    labelled = min(PER_CLASS * 10, round((1 - VALIDATION_SHARE) * used["train"]))
    for name, dimensions in rows.items():
        few = (labelled, used["test"], dimensions)
        seconds[f"linear SVMs of {name}, few labels"] = options.c_draws * few_seconds(*few, cs, device)
        seconds[f"linear SVMs of {name}, few labels"] += options.draws * few_seconds(*few, cs[:1], device)
        if options.full:
            seconds[f"linear SVMs of {name}, all labels"] = full_seconds(used["train"], dimensions, cs, device)
    return seconds


def _check(options: Cifar10TableOptions, discriminator: Discriminator, manifest: Manifest) -> None:
    check_fits(discriminator.config, manifest)
    Cifar10Rows(options, manifest)


CIFAR10_TABLE = Table(
    name="cifar10",
    source=lambda options: Cifar10Source(path=options.data),
    paper=CIFAR10,
    columns=lambda _: ("full", "few"),
    load=load_probed,
    work=_work,
    seconds=_seconds,
    check=_check,
    samples=SAMPLES,
    measure=lambda options, discriminator, manifest: Cifar10Rows(options, manifest).measure(discriminator),
    checkpoint=best_checkpoint,
)
