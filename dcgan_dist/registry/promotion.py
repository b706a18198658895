"""The gate between @candidate and @champion."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dcgan_dist.errors import require
from dcgan_dist.registry.champion import ChampionRegistry, Version

GENERATOR = "-generator"
"""How the names of the registered models end that can be promoted."""
QUALITY = ("quality/fid", "quality/frechet_random")
"""Signals, lower is better; the first that both versions have is compared."""
VERDICT = "memorization"
"""Tag that the memorization check sets: pass, fail or inconclusive."""
CHECKED_DATA = "memorization_manifest"
"""Tag: hash of the manifest it compared with; empty where the training images had none."""


_ANSWERS = {True: "yes", False: "NO ", None: "-  "}


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One condition of the gate."""

    name: str
    passed: bool | None
    """None: it could not be asked, and keeps no version back."""
    words: str

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
    verdict = candidate.tags.get(VERDICT, "")
    words = (
        f"the verdict is {verdict}"
        if verdict
        else "not checked: run the job `check_memorization` with it as `model` first"
    )
    reasons = candidate.tags.get(f"{VERDICT}_reasons", "")
    return Check(name="no copies", passed=verdict == "pass", words=f"{words} ({reasons})" if reasons else words)


def _quality(registry: ChampionRegistry, candidate: Version, champion: Version | None) -> Check:
    def check(passed: bool, words: str) -> Check:
        return Check(name="quality", passed=passed, words=words)

    own = {key: registry.quality(candidate, key) for key in QUALITY}
    measured = ", ".join(f"{key} {value:.4g}" for key, value in own.items() if value is not None) or "not measured"
    if champion is None:
        return check(True, f"{measured}; there is no champion to compare with")
    if champion.version == candidate.version:
        return check(True, f"{measured}; it is the champion")
    for key, value in own.items():
        other = registry.quality(champion, key)
        if value is not None and other is not None:
            relation = "not worse than" if value <= other else "worse than"
            return check(value <= other, f"{key} {value:.4g}, {relation} the champion's {other:.4g} ({champion.uri})")
    return check(False, f"{measured}; the champion {champion.uri} has none of these: they cannot be compared")


def _manifest(candidate: Version) -> Check:
    value = candidate.tags.get("manifest_hash", "")
    known = re.fullmatch(r"[0-9a-f]{64}", value) is not None
    return Check(name="data", passed=known, words=f"trained on manifest {value}" if known else "no manifest recorded")


def _checked_data(candidate: Version) -> Check:
    checked, trained = candidate.tags.get(CHECKED_DATA, ""), candidate.tags.get("manifest_hash", "")
    if not checked:
        return Check(
            name="checked data",
            passed=None,
            words="not compared: the training images of the memorization check had no manifest",
        )
    same = checked == trained
    words = "compared with the images it was trained on" if same else f"compared with other images, manifest {checked}"
    return Check(name="checked data", passed=same, words=words)
