"""The report of a search: its best trials first, then all of them in one picture, beside the paper's figure."""

from pathlib import Path
from typing import Any

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
    names = [_short(path) for path in best["config"]]
    rows = [[trial["trial"], f"{trial[ERROR]:.2f}", *map(str, trial["config"].values())] for trial in ranked]
    sections = [
        banner(
            f"Best of {len(result['trials'])} trials: {best[ERROR]:.2f} % validation error (trial {best['trial']}).",
            "good",
        ),
        facts(_facts(result)),
        heading("Best trials"),
        table(["trial", "error %", *names], rows[:TOP]),
        heading("All finished trials"),
        figure(
            chart(
                lambda axes: draw_parallel_coordinates(axes, columns, [trial[ERROR] for trial in ranked], SCORE),
                width=1 + 1.1 * len(columns),
                height=4,
            ),
            "A line per trial, an axis per setting; the best one in red, then the darker the better.",
        ),
        heading("Beside the paper"),
        beside(
            f"Section 5.2: {PAPER_ERROR_PERCENT} % validation error, best of 64 random trials on SVHN.", _ours(result)
        ),
        paragraph("In what ours differs:"),
        bullets(result["deviations"]),
        folded(f"All {len(rows):,} finished trials", table(["trial", "error %", *names], rows)),
    ]
    if failed:
        errors = (f"trial {trial['trial']}: {trial.get('error', '')}" for trial in failed)
        sections.append(folded(f"{len(failed):,} trials failed", bullets(errors)))
    return page(f"Search for settings ({result['run_name']})", *sections)


def save_picture(result: dict[str, Any], path: Path) -> Path:
    """Finished trials as parallel coordinates, a PNG."""
    ranked = ranked_trials(result)
    return save_parallel_coordinates(
        numeric_columns(ranked),
        [trial[ERROR] for trial in ranked],
        path,
        score_name=SCORE,
        title=f"{result['run_name']}: {len(ranked)} finished trials on {result['row']['data']}, best in red",
    )


def ranked_trials(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Finished trials, the one with the least validation error first."""
    finished = [trial for trial in result["trials"] if trial["status"] == "FINISHED"]
    return sorted(finished, key=lambda trial: (trial[ERROR], trial["trial"]))


def numeric_columns(trials: list[dict[str, Any]]) -> dict[str, list[float]]:
    """The settings that are numbers in all trials, by their last name."""
    return {
        _short(path): [float(trial["config"][path]) for trial in trials]
        for path in trials[0]["config"]
        if all(isinstance(trial["config"][path], int | float) for trial in trials)
    }


def _facts(result: dict[str, Any]) -> list[tuple[str, str]]:
    fresh = [
        f"{name} error {figures['mean']:.2f} +- {figures['spread_1.96_std']:.2f} %, {figures['draws']} draws"
        for name, key in (("validation", ERROR), ("test", TEST_ERROR))
        if (figures := result["row"][key])
    ]
    counts = f"{result['finished']:,} finished, {result['failed']:,} failed, {result['stopped']:,} stopped early"
    model = result.get("model")
    return [
        ("Data", result["data"]),
        ("Trials", counts),
        ("On fresh labels", "; ".join(fresh) or "not measured (no repeats)"),
        ("Comparable", "with the paper" if result["comparable"] else "not with the paper: other data or fewer labels"),
        *([("Registered as", model["uri"])] if model else []),
    ]


def _ours(result: dict[str, Any]) -> str:
    best = f"{result['best'][ERROR]:.2f} % validation error, best of {len(result['trials'])} trials"
    figures = result["row"][ERROR]
    return (
        f"{best}; {figures['mean']:.2f} % on average over {figures['draws']} fresh draws of labels."
        if figures
        else f"{best}."
    )


def _short(path: str) -> str:
    return path.rpartition(".")[2]
