"""What a search ended with: figures over fresh draws of labels, the network in the registry, result.json."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dcgan_dist.config import SupervisedConfig, flatten, from_dict
from dcgan_dist.errors import InputError
from dcgan_dist.models.classifier import Classifier
from dcgan_dist.registry.model_card import classifier_card
from dcgan_dist.registry.registry import register_network
from dcgan_dist.registry.versions import alias_tags, version_tags
from dcgan_dist.runs.checkpoint_store import CheckpointStore
from dcgan_dist.search.plan import PAPER_ERROR_PERCENT, SearchPlan
from dcgan_dist.search.summary import ERROR, TEST_ERROR, deviations, save_picture, spread
from dcgan_dist.search.trial_runs import TrialRuns, repeat_folder
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.training.checkpoint import load_state

ALIAS = "candidate"
Outcomes = Mapping[int, dict[str, Any]]


def best_configuration(model: str, tracking_uri: str) -> SupervisedConfig:
    """The configuration of a registered supervised network, for example of models:/dcgan-svhn-supervised@candidate.

    Raises:
        InputError: no such model, or one that no search has registered.
    """
    tags = version_tags(model, tracking_uri)
    if "config" not in tags:
        raise InputError(f"{model} was not registered by a search: it has no tag config")
    return from_dict(SupervisedConfig, json.loads(tags["config"]))


def record_result(
    plan: SearchPlan,
    folder: RunFolder,
    run: TrackedRun,
    runs: TrialRuns,
    outcomes: Outcomes,
    best: int,
    repeats: Outcomes,
    seconds: float,
) -> dict[str, Any]:
    """Register the best network, draw the picture, write result.json, and record all of it with the search's run.

    Raises:
        RuntimeError: no repeat came to its end.
    """
    finished = {draw: one for draw, one in repeats.items() if one["status"] == "FINISHED"}
    if plan.config.repeats and not finished:
        raise RuntimeError(f"no repeat of trial {best} finished, the first says: {repeats[1].get('error')}")
    row = _row(plan, finished)
    model = _register(plan, folder, run, runs, best, finished, row) if plan.config.register_as else None
    with tempfile.TemporaryDirectory() as scratch:
        picture = save_picture(plan, outcomes, Path(scratch) / "search.png")
        folder.write_bytes(picture.name, picture.read_bytes())
        run.log_artifact(picture)

    result = _content(plan, folder, run, runs, outcomes, best, repeats) | {
        "row": row,
        "model": model,
        "seconds_of_this_start": round(seconds, 1),
    }
    for draw, one in finished.items():
        run.log_metrics({f"repeats/{key}": one[key] for key in (ERROR, TEST_ERROR) if one.get(key) is not None}, draw)
    means = {f"{key}/{name}": value for key in (ERROR, TEST_ERROR) for name, value in (row.get(key) or {}).items()}
    run.log_metrics(means, len(outcomes))
    run.set_tags(
        {"best.trial": str(best)} | {f"best.{path}": str(value) for path, value in result["best"]["config"].items()}
    )
    run.log_dict(result, "result.json")
    folder.write_json("result.json", result)
    return result


def _content(
    plan: SearchPlan,
    folder: RunFolder,
    run: TrackedRun,
    runs: TrialRuns,
    outcomes: Outcomes,
    best: int,
    repeats: Outcomes,
) -> dict[str, Any]:
    """What result.json says of a search, apart from the row of the table and the registered model."""
    counts = [one["status"] for one in outcomes.values()]
    run_ids = runs.run_ids()
    return {
        "job": "search",
        "status": "FINISHED",
        "run_name": plan.name,
        "run_id": run.run_id,
        "tracking": run.description,
        "data": plan.data.describe(),
        "data_hash": plan.data.hash,
        "finished": counts.count("FINISHED"),
        "failed": counts.count("FAILED"),
        "stopped": counts.count("STOPPED"),
        "best": {
            "trial": best,
            ERROR: outcomes[best][ERROR],
            "run_id": run_ids.get(best),
            "config": {path: flatten(plan.trials[best])[path] for path in plan.space},
        },
        "row": None,
        "paper_row": {
            "what": "supervised CNN of the same architecture, random search over 64 trials",
            ERROR: PAPER_ERROR_PERCENT,
        },
        "comparable": not plan.data.deviations,
        "deviations": deviations(plan),
        "model": None,
        "trials": [_of_trial(plan, number, outcomes[number], run_ids) for number in sorted(outcomes)],
        "repeats": [{"draw": draw} | _figures(repeats[draw]) for draw in sorted(repeats)],
        "picture": f"{folder.path}/search.png",
        "seconds_of_this_start": 0.0,
        "config": dataclasses.asdict(plan.config),
    }


def _row(plan: SearchPlan, finished: Outcomes) -> dict[str, Any]:
    """Our row of the paper's table."""
    row: dict[str, Any] = {
        "what": f"supervised CNN of the discriminator's architecture, best of {plan.config.trials} random trials",
        "data": plan.data.dataset,
        "labels": plan.data.labels,
    }
    for key in (ERROR, TEST_ERROR):
        values = [one[key] for one in finished.values() if one.get(key) is not None]
        row[key] = spread(values) if values else None
    return row


def _register(
    plan: SearchPlan,
    folder: RunFolder,
    run: TrackedRun,
    runs: TrialRuns,
    best: int,
    finished: Outcomes,
    row: dict[str, Any],
) -> dict[str, Any]:
    """The repeat with the least validation error, as a version that belongs to the best trial's run.

    The alias moves to it, unless it would leave a network that was found on the complete SVHN for one that was not.
    """
    name = plan.config.register_as
    draw = min(finished, key=lambda number: (finished[number][ERROR], number))
    config = plan.repeat(plan.trials[best], draw)
    network = _network(folder, repeat_folder(best, draw), config)
    holder = alias_tags(name, ALIAS, run.tracking_uri)
    alias = ALIAS if not plan.data.deviations or holder.get("protocol") != "paper" else ""
    figures = {
        f"{key}, {statistic} of {row[key]['draws']} draws": row[key][statistic]
        for key in (ERROR, TEST_ERROR)
        if row[key]
        for statistic in ("mean", "std")
    }
    own = {key: finished[draw][key] for key in (ERROR, TEST_ERROR) if finished[draw].get(key) is not None}
    card = classifier_card(
        name=name,
        data=plan.data.describe(),
        config=config,
        search=f"best of {plan.config.trials} random trials (trial {best}); this is its training on draw {draw}, the one with "
        f"the least validation error of {len(finished)}",
        quality=figures | {f"{key}, this network": value for key, value in own.items()},
        deviations=deviations(plan),
    )
    tags = {
        "dataset": plan.data.dataset,
        "protocol": plan.data.protocol,
        "search_run_id": run.run_id,
        "trial": str(best),
        "draw": str(draw),
        "config": json.dumps(dataclasses.asdict(plan.trials[best])),
        **{key: str(value) for key, value in own.items()},
        **{path: str(flatten(plan.trials[best])[path]) for path in plan.space},
    }
    of_trial = runs.attach(best) or run
    try:
        version = register_network(
            of_trial, network, name, card=card, tags=tags, alias=alias, images_seen=finished[draw]["images_seen"]
        )
    finally:
        if of_trial is not run:
            of_trial.finish("FINISHED")
    return {"name": name, "version": version.version, "uri": version.uri, "alias": alias, "draw": draw}


def _network(folder: RunFolder, name: str, config: SupervisedConfig) -> Classifier:
    store = CheckpointStore(RunFolder(folder.storage, f"{folder.name}/{name}"))
    path = store.newest_whole()
    if path is None:
        raise RuntimeError(f"the network of {name} is gone or damaged: remove {store.folder.path} and start again")
    with tempfile.TemporaryDirectory() as scratch:
        _, state = load_state(store.folder.fetch(path, Path(scratch)))
    network = Classifier(config.classifier)
    network.load_state_dict(state["network"])
    return network.eval()


def _of_trial(plan: SearchPlan, number: int, outcome: dict[str, Any], run_ids: Mapping[int, str]) -> dict[str, Any]:
    values = flatten(plan.trials[number])
    config = {path: values[path] for path in plan.space}
    return {"trial": number, "run_id": run_ids.get(number), "config": config} | _figures(outcome)


def _figures(outcome: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in outcome.items() if name != "metrics"}
