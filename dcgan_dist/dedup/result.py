"""What a de-duplication leaves behind besides its lists: result.json, a few lines for its user, a run on the tracking server."""

import dataclasses
import json
import logging
from typing import Any

import numpy as np

from dcgan_dist.cli.progress import percent
from dcgan_dist.cli.result_file import RESULT_NAME, write_result
from dcgan_dist.cli.unreadable_csv import UNREADABLE_NAME
from dcgan_dist.data.shards.keep_list import KeepList
from dcgan_dist.dedup.encode_corpus import EncodedCorpus
from dcgan_dist.dedup.groups import diameters, members
from dcgan_dist.dedup.options import DedupOptions
from dcgan_dist.dedup.pairs_csv import PAIRS_NAME
from dcgan_dist.dedup.representatives import Representatives, number_removed, ranked
from dcgan_dist.dedup.verify_pairs import VerifiedPairs
from dcgan_dist.similarity.entropy import code_entropy
from dcgan_dist.tracking.environment import environment_tags
from dcgan_dist.tracking.runs import TrackedRun

CURVE_POINTS = 9
"""Radii at which the removed images are counted."""
EXPERIMENT = "deduplication"
KEEP_NAME, REPORT_NAME, PICTURE_NAME = "keep_list.json", "report.html", "removed.jpg"
LARGEST_FILE = 256 << 20
"""Bytes of a file that MLflow keeps too: at three million images pairs.csv is 1.5 GB, and copying it takes longer than the choice."""

_log = logging.getLogger(__name__)


def summary(
    options: DedupOptions,
    encoded: EncodedCorpus,
    verified: VerifiedPairs,
    chosen: Representatives,
    lists: list[KeepList],
) -> dict[str, Any]:
    """What result.json holds, but for the run and the seconds."""
    corpus, codes, usable = encoded.corpus, encoded.images.codes, encoded.images.usable
    groups, clusters = members(chosen.components), members(chosen.leaders)
    widths = diameters(codes, groups)
    duplicates, protected = verified.duplicates, corpus.protected
    entropy = code_entropy(codes[usable]) if usable.sum() >= 4 else None
    radii = np.unique(np.linspace(0, encoded.radius, CURVE_POINTS).round().astype(int)).tolist()
    nearness = ranked(encoded.keys, encoded.originals, duplicates)
    removed = [
        *(number_removed(nearness, protected, duplicates.distances <= radius) for radius in radii[:-1]),
        int(chosen.near_duplicates.sum()),
    ]
    return {
        "job": "dedup",
        "images": len(corpus),
        "thinned_images": int((~protected).sum()),
        "protected_images": int(protected.sum()),
        "kept": int((chosen.stays & ~protected).sum()),
        "near_duplicates": int(chosen.near_duplicates.sum()),
        "unreadable": int((encoded.originals.unreadable & ~protected).sum()),
        "unreadable_protected": int((encoded.originals.unreadable & protected).sum()),
        "codes": options.codes,
        "code_bits": encoded.coder.code_bits,
        "coder": encoded.coder_hash,
        "radius": encoded.radius,
        "threshold": verified.threshold,
        "candidate_pairs": len(verified.pairs.first),
        "duplicate_pairs": len(duplicates.first),
        "duplicate_pairs_with_protected": int((protected[duplicates.first] | protected[duplicates.second]).sum()),
        "clusters": len(clusters),
        "largest_cluster": int(clusters.sizes.max(initial=1)),
        "components": len(groups),
        "largest_component": int(groups.sizes.max(initial=1)),
        "chains": int((widths > encoded.radius).sum()),
        "largest_diameter": int(widths.max(initial=0)),
        "removed_by_radius": list(zip(radii, removed, strict=True)),
        "entropy": dataclasses.asdict(entropy)
        if entropy
        else {"collision_entropy_bits": 0.0, "degrees_of_freedom": 0.0},
        "false_discovery": {name: false_discovery(verified, name) for name in verified.flips},
        "manifests": {part.label: part.manifest.hash for part in corpus.parts if not part.protected},
        "keep_list": str(options.folder / KEEP_NAME),
        "keep_list_hashes": [keep_list.hash for keep_list in lists],
        "pairs": str(options.folder / PAIRS_NAME),
        "report": str(options.folder / REPORT_NAME),
    }


def false_discovery(verified: VerifiedPairs, flip: str) -> dict[str, float]:
    """What a flip test says of the accepted pairs."""
    test, hits = verified.flips[flip], int(verified.flips_accepted[flip].sum())
    accepted = max(1, int(verified.accepted.sum()))
    expected, most = test.expected(hits), test.expected(hits, confidence=0.95)
    return {
        "queries": test.queries,
        "accepted": hits,
        "expected_pairs": expected,
        "share": min(1.0, expected / accepted),
        "bound": min(1.0, most / accepted),
    }


def finish(options: DedupOptions, result: dict[str, Any]) -> dict[str, Any]:
    """Write the result, log it and record it on the tracking server; an unchanged result is not recorded again.

    Returns:
        The result with its run, as it is written.

    Raises:
        InputError: the tracking server cannot be used; the result is written all the same.
    """
    same = ("keep_list_hashes", "candidate_pairs", "coder", "radius", "manifests")
    try:
        before = json.loads((options.folder / RESULT_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        before = {}
    result = json.loads(json.dumps(result))
    unchanged = all(before.get(name) == result[name] for name in same)
    recorded = unchanged and "run_id" in before and before.get("tracking_uri") == options.tracking_uri
    run = {"run_id": before["run_id"], "tracking_uri": before["tracking_uri"]} if recorded else {}
    write_result(options.folder, result | run)
    _log.info("%s", _figures(result))
    if not recorded:
        run = {"run_id": record(options, result), "tracking_uri": options.tracking_uri}
        write_result(options.folder, result | run)
    return result | run


def _figures(result: dict[str, Any]) -> str:
    """The result in a few lines for people."""
    entropy, bound = result["entropy"], max(test["bound"] for test in result["false_discovery"].values())
    lines = [
        f"{result['near_duplicates']:,} of {result['thinned_images']:,} images are near duplicates, {result['kept']:,} are kept; "
        f"{result['duplicate_pairs']:,} of {result['candidate_pairs']:,} candidate pairs are duplicates, "
        f"at most {percent(bound)} of them false (95 % bound)",
        f"radius {result['radius']} of {result['code_bits']} bits; collision entropy at least {entropy['collision_entropy_bits']:.1f} bits, "
        f"{entropy['degrees_of_freedom']:.0f} degrees of freedom; coder {result['coder'][:12]}",
    ]
    if result["unreadable"]:
        lines.append(
            f"{result['unreadable']:,} images could not be read and are left out; {UNREADABLE_NAME} names them"
        )
    if result["unreadable_protected"]:
        lines.append(
            f"{result['unreadable_protected']:,} protected images could not be read: nothing was compared with them, and what "
            f"they show may stay; {UNREADABLE_NAME} names them"
        )
    return "\n".join([*lines, f"keep list {result['keep_list']}", f"report {result['report']}"])


def record(options: DedupOptions, result: dict[str, Any]) -> str:
    """A finished run with figures and files on the tracking server; returns its id."""
    params = {name: result[name] for name in ("codes", "radius", "coder", "threshold")}
    tags = environment_tags() | {"out": str(options.folder)}
    run = TrackedRun.create(options.tracking_uri, EXPERIMENT, options.folder.name, params, tags)
    figures = {name: value for name, value in result.items() if isinstance(value, int)}
    for flip, test in result["false_discovery"].items():
        figures |= {f"false_discovery/{flip}/{name}": value for name, value in test.items()}
    figures |= {f"entropy/{name}": value for name, value in result["entropy"].items()}
    run.log_metrics({name: float(value) for name, value in figures.items()}, images_seen=result["images"])
    for path in (options.folder / name for name in (REPORT_NAME, KEEP_NAME, PAIRS_NAME)):
        if path.stat().st_size <= LARGEST_FILE:
            run.log_artifact(path)
        else:
            _log.info(
                "%s is %.1f GB and stays there alone: MLflow's tag `out` says where", path, path.stat().st_size / 1e9
            )
    run.log_dict(result, RESULT_NAME)
    run.finish("FINISHED")
    return run.run_id
