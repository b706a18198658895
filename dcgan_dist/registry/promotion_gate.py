"""The gate between @candidate and @champion."""

import re
from typing import NamedTuple

from dcgan_dist.errors import require
from dcgan_dist.registry.champion import ChampionRegistry, Version

GENERATOR = "-generator"
"""How the names of the registered models end that can be promoted."""
QUALITY = ("quality/fid", "quality/frechet_random")
"""Signals, lower is better; the first that both versions have is compared."""
VERDICT = "memorization"
"""Tag that the memorization check sets: pass, fail or inconclusive."""
MEASURED = "quality_measured"
"""Tag: on how many samples and held-out images the quality was measured; with fewer it looks worse."""
CHECKED_DATA = "memorization_manifest"
"""Tag: hash of the manifest it compared with; empty where the training images had none."""


_ANSWERS = {True: "yes", False: "NO ", None: "-  "}


class Check(NamedTuple):
    """One condition of the gate."""

    name: str
    passed: bool | None
    """None: it could not be asked, and keeps no version back."""
    words: str
    """Why: a phrase."""

    def __str__(self) -> str:
        return f"{_ANSWERS[self.passed]}  {self.name}: {self.words}"


def gate(registry: ChampionRegistry, candidate: Version) -> list[Check]:
    """Every condition under which a version may become the champion.

    Raises:
        InputError: the version is no generator's, for which there is no check of copies.
    """
    require(
        candidate.name.endswith(GENERATOR),
        f"{candidate.uri} is no generator: only models called NAME{GENERATOR} can be promoted, as no other can be checked "
        "for copies",
    )
    champion = registry.champion(candidate.name)
    return [
        _memorization(candidate),
        _quality(registry, candidate, champion),
        _manifest(candidate),
        _checked_data(candidate),
    ]


def _memorization(candidate: Version) -> Check:
    verdict, reasons = candidate.tags.get(VERDICT, ""), candidate.tags.get(f"{VERDICT}_reasons", "")
    missing = "not checked: run the job `check_memorization` with it as `model` first"
    text = f"the verdict is {verdict}" if verdict else missing
    return Check("no copies", verdict == "pass", f"{text} ({reasons})" if reasons else text)


def _quality(registry: ChampionRegistry, candidate: Version, champion: Version | None) -> Check:
    quality = {key: registry.quality(candidate, key) for key in QUALITY}
    measured = ", ".join(f"{key} {value:.4g}" for key, value in quality.items() if value is not None) or "not measured"
    if champion is None:
        return Check("quality", True, f"{measured}; there is no champion to compare with")
    if champion.version == candidate.version:
        return Check("quality", True, f"{measured}; it is the champion")
    measured_on = [version.tags.get(MEASURED, "") for version in (candidate, champion)]
    if all(measured_on) and len(set(measured_on)) > 1:
        text = f"measured on {measured_on[0]}, the champion ({champion.uri}) on {measured_on[1]}: train with `quality.share=1`"
        return Check("quality", False, text)
    for key, value in quality.items():
        other = registry.quality(champion, key)
        if value is not None and other is not None:
            relation = "not worse than" if value <= other else "worse than"
            text = f"{key} {value:.4g}, {relation} the champion's {other:.4g} ({champion.uri})"
            return Check("quality", value <= other, text)
    text = f"{measured}; the champion {champion.uri} has none of these: they cannot be compared"
    return Check("quality", False, text)


def _manifest(candidate: Version) -> Check:
    value = candidate.tags.get("manifest_hash", "")
    known = re.fullmatch(r"[0-9a-f]{64}", value) is not None
    return Check("data", known, f"trained on manifest {value}" if known else "no manifest recorded")


def _checked_data(candidate: Version) -> Check:
    checked, trained = candidate.tags.get(CHECKED_DATA, ""), candidate.tags.get("manifest_hash", "")
    if not checked:
        text = "not compared: the training images of the memorization check had no manifest"
        return Check("checked data", None, text)
    if checked != trained:
        return Check("checked data", False, f"compared with other images, manifest {checked}")
    return Check("checked data", True, "compared with the images it was trained on")
