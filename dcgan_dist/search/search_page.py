"""The report of a search: its best trials first, then all of them in one picture, beside the paper's figure."""

from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from dcgan_dist.cli.html_page import (
    banner,
    beside,
    bullets,
    chart,
    facts,
    figure,
    folded,
    heading,
    page,
    paragraph,
    table,
)
from dcgan_dist.cli.progress import percent
from dcgan_dist.search.parallel_coordinates import draw_parallel_coordinates, save_parallel_coordinates
from dcgan_dist.search.plan import PAPER_ERROR_PERCENT
from dcgan_dist.search.summary import ERROR, TEST_ERROR, TOP

PAGE_NAME, PICTURE_NAME = "report.html", "search.png"
SCORE = "validation error %"


def search_page(result: dict[str, Any]) -> str:
    """HTML of what result.json holds."""
    ranked, best = ranked_trials(result), result["best"]
    columns = numeric_columns(ranked)
    failed = [trial for trial in result["trials"] if trial["status"] == "FAILED"]
    same = [path for path, value in best["config"].items() if all(trial["config"][path] == value for trial in ranked)]
    paths = [path for path in best["config"] if path not in same]
    headers = ["trial", "error %", *map(_name, paths)]
    rows = [[trial["trial"], round(trial[ERROR], 2), *(trial["config"][path] for path in paths)] for trial in ranked]
    constant = ", ".join(f"{_name(path)} {best['config'][path]}" for path in same)
    sections = [
        banner(*_outcome(result)),
        facts(_facts(result, ranked)),
        heading("Best trials"),
        table(headers, rows[:TOP], f"The same in all trials: {constant}." if same else ""),
        heading("All finished trials"),
        figure(
            chart(
                lambda axes: draw_parallel_coordinates(axes, columns, [trial[ERROR] for trial in ranked], SCORE),
                width=1 + 1.1 * len(columns),
                height=4,
            ),
            "A line per trial, an axis per setting. Thick line: the best; the fainter a line, the worse.",
        ),
        heading("Beside the paper"),
        beside(
            f"Section 5.2: {PAPER_ERROR_PERCENT} % validation error, best of 64 random trials on SVHN.", _ours(result)
        ),
        paragraph("In what ours differs:"),
        bullets(result["deviations"]),
        folded(f"All {len(rows):,} finished trials", table(headers, rows)),
    ]
    if failed:
        errors = (f"trial {trial['trial']}: {trial.get('error', '')}" for trial in failed)
        sections.append(folded(f"{len(failed):,} trials failed", bullets(errors)))
    return page(f"Search for settings: {result['row']['data']}", *sections)


def save_picture(result: dict[str, Any], path: Path) -> Path:
    """Finished trials as parallel coordinates, a PNG."""
    ranked = ranked_trials(result)
    return save_parallel_coordinates(
        numeric_columns(ranked),
        [trial[ERROR] for trial in ranked],
        path,
        score_name=SCORE,
        title=f"{result['run_name']}: {len(ranked)} finished trials on {result['row']['data']}, thick line: the best",
    )


def ranked_trials(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Finished trials, the one with the least validation error first."""
    finished = [trial for trial in result["trials"] if trial["status"] == "FINISHED"]
    return sorted(finished, key=lambda trial: (trial[ERROR], trial["trial"]))


def numeric_columns(trials: list[dict[str, Any]]) -> dict[str, list[float]]:
    """The settings that are numbers in all trials and not the same in all, by name."""
    return {
        _name(path): [float(trial["config"][path]) for trial in trials]
        for path in trials[0]["config"]
        if all(isinstance(trial["config"][path], int | float) for trial in trials)
        and (len(trials) == 1 or len({trial["config"][path] for trial in trials}) > 1)
    }


def _outcome(result: dict[str, Any]) -> tuple[str, str]:
    """The best error and how far it can be trusted, and the look of a banner."""
    error, images = result["best"][ERROR], result.get("validation_images")
    wrong = f" ({error * images / 100:.0f} of {images:,} images)" if images else ""
    chosen = f"chosen as the best of {len(result['trials'])}, so optimistic"
    test, fresh = result["row"][TEST_ERROR], result["row"][ERROR]
    judged = test or fresh
    again = f"on fresh labels {judged['mean']:.2f} % {'test' if test else 'validation'} error" if judged else ""
    untested = "" if test else "not tested on the test set"
    text = "; ".join(filter(None, [f"Best settings: validation error {error:.2f} %{wrong}, {chosen}", again, untested]))
    return f"{text}.", "good" if test else "unsure"


def _facts(result: dict[str, Any], ranked: list[dict[str, Any]]) -> list[tuple[str, str]]:
    fresh = [
        f"{name} error {figures['mean']:.2f} +- {figures['spread_1.96_std']:.2f} %, {figures['draws']} draws"
        for name, key in (("validation", ERROR), ("test", TEST_ERROR))
        if (figures := result["row"][key])
    ]
    counts = f"{result['finished']:,} finished, {result['failed']:,} failed, {result['stopped']:,} stopped early"
    model, best = result.get("model"), result["best"]
    settings = ", ".join(f"{_name(path)} {value}" for path, value in best["config"].items())
    return [
        ("Best settings", f"trial {best['trial']}: {settings}"),
        *([("How sure", _certainty(images, ranked))] if (images := result.get("validation_images")) else []),
        ("On fresh labels", "; ".join(fresh) or "not measured (no repeats)"),
        ("Trials", counts),
        ("Data", result["data"]),
        ("Comparable", "with the paper" if result["comparable"] else "not with the paper: other data or fewer labels"),
        *([("Registered as", model["uri"])] if model else []),
        ("Name", result["run_name"]),
    ]


def _certainty(images: int, ranked: list[dict[str, Any]]) -> str:
    """What so many validation images say of the best error, and how many other trials they cannot tell from it."""
    wrong = round(ranked[0][ERROR] * images / 100)
    interval = binomtest(wrong, images).proportion_ci(0.95, "exact")
    others = sum(trial[ERROR] <= 100 * interval.high for trial in ranked[1:])
    return f"{percent(interval.low, 1)} to {percent(interval.high, 1)} (95 % interval); {others:,} other trials lie within it and may be as good"


def _ours(result: dict[str, Any]) -> str:
    best = f"{result['best'][ERROR]:.2f} % validation error, best of {len(result['trials'])} trials"
    figures = result["row"][ERROR]
    return (
        f"{best}; {figures['mean']:.2f} % on average over {figures['draws']} fresh draws of labels."
        if figures
        else f"{best}."
    )


def _name(path: str) -> str:
    """A setting as people call it."""
    last = path.rpartition(".")[2]
    return {"lr": "learning rate", "discriminator_width": "width (maps)"}.get(last, last.replace("_", " "))
