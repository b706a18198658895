"""Texts of a search: what it will do, how a trial went, what came out."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from dcgan_dist.cli.prices import find_price, money_line
from dcgan_dist.cli.progress import duration
from dcgan_dist.config import flatten
from dcgan_dist.models.flops import FLOPS_PER_SECOND, classifier_flops
from dcgan_dist.search.plan import PAPER_ERROR_PERCENT, SearchPlan
from dcgan_dist.search.trial_draws import to_json

Outcomes = Mapping[int, dict[str, Any]]
ERROR, TEST_ERROR = "validation_error_percent", "test_error_percent"
TOP = 10
COLUMNS = 100
"""Length of a line about one training, at most."""


def describe(plan: SearchPlan) -> str:
    """The text of --dry-run."""
    config, costs = plan.config, plan.flops
    unit = "GPU" if config.gpus_per_trial else "CPU core"
    rate = FLOPS_PER_SECOND[unit] * (config.gpus_per_trial or config.cpus_per_trial)
    lines = [
        "config",
        *(f"  {name} = {value!r}" for name, value in flatten(config).items()),
        "space",
        *(f"  {path}: {distribution}" for path, distribution in to_json(plan.space).items()),
        "data",
        f"  {plan.data.describe()}",
        *(f"  deviation from the paper: {deviation}" for deviation in plan.data.deviations),
        "trials",
        *(f"  {number:3} {_values(plan, number)}" for number in range(min(TOP, config.trials))),
        *([f"  ... and {config.trials - TOP} more"] if config.trials > TOP else []),
        "search",
        f"  name {plan.name}, {config.trials} trials, then the best on {config.repeats} fresh draws of labels",
        f"  arithmetic: {sum(costs) / 1e12:,.1f} TFLOP in all trials, {max(costs) / 1e12:,.1f} in the largest; "
        f"{classifier_flops(config.trial.classifier) / 1e6:,.0f} MFLOP per image forward at the base width",
        f"  time: about {duration(sum(costs) / rate)} for one trial at a time on {rate / 1e12:g} TFLOP/s, so much less as "
        "trials run side by side; then at most "
        f"{duration(config.repeats * max(costs) / rate)} for the repeats",
        f"  {_gpu_line(plan, rate)}",
    ]
    return "\n".join(lines)


def describe_probe(plan: SearchPlan, seconds_per_step: float, places: int) -> str:
    """What a measured step says about the whole search, spread by arithmetic over trials of other sizes."""
    first = plan.trials[0]
    rate = 3 * classifier_flops(first.classifier) * first.batch_size / seconds_per_step
    seconds = max(sum(plan.flops) / places, max(plan.flops)) / rate
    return (
        f"probe: {seconds_per_step * 1e3:.1f} ms per step of {first.batch_size} images in trial 0, "
        f"{rate / 1e9:.1f} GFLOP/s\n"
        f"{plan.config.trials} trials, {places} at a time: about {duration(seconds)}; the {plan.config.repeats} repeats at most "
        f"{duration(max(-(-plan.config.repeats // places), 1) * max(plan.flops) / rate)}\n{_gpu_line(plan, rate)}"
    )


def _gpu_line(plan: SearchPlan, rate: float) -> str:
    """GPU hours and money of all trials and repeats at so many operations per second in each."""
    config = plan.config
    hours = (sum(plan.flops) + config.repeats * max(plan.flops)) / rate / 3600 * config.gpus_per_trial
    price = find_price(config.price)
    # Trials fill machines: what is paid for is the share of one that they use.
    gpus = (price.gpus if price else 1) if config.gpus_per_trial else 0
    return f"GPU hours: at most {hours:,.2f}; {money_line(config.price, gpus, hours)}"


def best_of(outcomes: Outcomes) -> int | None:
    """The finished trial with the least validation error, the first of equals; None if none finished."""
    return min(finished_by_error(outcomes), default=(0.0, None))[1]


def trial_line(plan: SearchPlan, outcomes: Outcomes, number: int, seconds_left: float) -> str:
    """One line about a trial that has just ended."""
    outcome, best = outcomes[number], best_of(outcomes)
    if outcome["status"] == "FAILED":
        result = f"failed: {outcome['error']}"
    else:
        figure = outcome.get(ERROR)
        result = f"error {figure:5.2f} %" if figure is not None else "no measurement"
        result += ", stopped" if outcome["status"] == "STOPPED" else ""
    leading = f"best {outcomes[best][ERROR]:.2f} % (trial {best})" if best is not None else "none finished"
    start = f"{len(outcomes):3}/{len(plan.trials)} | trial {number:3} | "
    end = f" | {outcome.get('seconds', 0):.0f} s | {leading} | ETA {duration(seconds_left)}"
    return f"{start}{result[: COLUMNS - len(start) - len(end)]}{end}"


def repeat_line(outcomes: Outcomes, draw: int, draws: int) -> str:
    """One line about a repeat that has just ended."""
    outcome = outcomes[draw]
    named = {"validation error": outcome.get(ERROR), "test error": outcome.get(TEST_ERROR)}
    figures = [f"{name} {value:.2f} %" for name, value in named.items() if value is not None]
    return f"{len(outcomes):3}/{draws} | draw {draw:3} | {', '.join(figures) or outcome['error']}"[:COLUMNS]


def top_table(plan: SearchPlan, outcomes: Outcomes) -> str:
    """The ten best trials, one per line."""
    names = [path.rpartition(".")[2] for path in plan.space]
    rows = [["trial", "error %", *names]]
    for error, number in sorted(finished_by_error(outcomes))[:TOP]:
        values = flatten(plan.trials[number])
        rows.append([str(number), f"{error:.2f}", *(str(values[path]) for path in plan.space)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


def finished_by_error(outcomes: Outcomes) -> list[tuple[float, int]]:
    """Validation error and number of each finished trial."""
    return [(outcome[ERROR], number) for number, outcome in outcomes.items() if outcome["status"] == "FINISHED"]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation between draws, and 1.96 times that, as the paper's script reports its figure."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {
        "mean": round(statistics.fmean(values), 3),
        "std": round(deviation, 3),
        "spread_1.96_std": round(1.96 * deviation, 3),
        "draws": len(values),
    }


def deviations(plan: SearchPlan) -> list[str]:
    """In what our figure was not made like the paper's."""
    return [
        *plan.data.deviations,
        "ranges of the search are ours: the paper states none",
        *(["asynchronous successive halving, not plain random search"] if plan.config.asha else []),
        *([f"{plan.config.trials} trials, not 64"] if plan.config.trials != 64 else []),
    ]


def summary(result: dict[str, Any]) -> str:
    """The end of a search in a few lines, from its result."""
    best, row = result["best"], result["row"]
    lines = [
        f"search {result['run_name']}: {result['finished']} of {len(result['trials'])} trials finished, "
        f"{result['failed']} failed, {result['stopped']} stopped early; last start took "
        f"{duration(result['seconds_of_this_start'])}",
        f"  best        trial {best['trial']}, validation error {best[ERROR]:.2f} % on the labels it was chosen with",
    ]
    for name in ("validation", "test"):
        if figures := row.get(f"{name}_error_percent"):
            lines.append(
                f"  {name:11} {figures['mean']:.2f} +- {figures['spread_1.96_std']:.2f} % (mean and 1.96 std over "
                f"{figures['draws']} fresh draws of {row['labels']:,} labels)"
            )
    lines.append(f"  paper       {PAPER_ERROR_PERCENT} % validation error, 64 trials on SVHN")
    lines += [f"  deviation   {deviation}" for deviation in result["deviations"]]
    lines.append(f"  tracked as  {result['tracking']}")
    if model := result.get("model"):
        alias = "@candidate" if model["alias"] else "no alias moved: it belongs to a search on the complete SVHN"
        lines.append(f"  registered  {model['uri']} ({model['name']}, {alias})")
    return "\n".join(lines)


def _values(plan: SearchPlan, number: int) -> str:
    values = flatten(plan.trials[number])
    return ", ".join(f"{path.rpartition('.')[2]} {values[path]}" for path in plan.space)
