"""What a search ended with: figures over fresh draws of labels, the network in the registry, result.json."""

import dataclasses
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcgan_dist.cli.html_page import save_page
from dcgan_dist.config import SupervisedConfig, flatten, from_dict
from dcgan_dist.errors import InputError
from dcgan_dist.models.classifier import Classifier
from dcgan_dist.registry.model_card import classifier_card
from dcgan_dist.registry.registry import register_network
from dcgan_dist.registry.versions import alias_tags, version_tags
from dcgan_dist.runs.checkpoint_store import CheckpointStore
from dcgan_dist.search.plan import PAPER_ERROR_PERCENT, SearchPlan
from dcgan_dist.search.search_page import PAGE_NAME, PICTURE_NAME, save_picture, search_page
from dcgan_dist.search.summary import ERROR, TEST_ERROR, Outcomes, deviations, spread
from dcgan_dist.search.trial_runs import TrialRuns, repeat_folder
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.tracking.runs import TrackedRun
from dcgan_dist.training.whole_checkpoint import load_state
from dcgan_dist.untrusted import parse_json, refusing

ALIAS = "candidate"


def best_configuration(model: str, tracking_uri: str) -> SupervisedConfig:
    """The configuration of a registered supervised network, for example of models:/dcgan-svhn-supervised@candidate.

    Raises:
        InputError: no such model, or one that no search has registered.
    """
    tags = version_tags(model, tracking_uri)
    if "config" not in tags:
        raise InputError(f"{model} was not registered by a search: it has no tag config")
    with refusing(f"the tag config of {model} is damaged", "name another model"):
        return from_dict(SupervisedConfig, parse_json(tags["config"], dict[str, Any]))


@dataclass(frozen=True, kw_only=True)
class CompletedSearch:
    """A search whose trainings have all ended."""

    plan: SearchPlan
    folder: RunFolder
    run: TrackedRun
    """MLflow run of the whole search."""
    runs: TrialRuns
    outcomes: Outcomes
    """Outcome of every trial."""
    best: int
    """Number of the best trial."""
    repeats: Outcomes
    """Outcomes of the best trial on fresh draws of labels, by draw."""

    @property
    def finished(self) -> Outcomes:
        """The repeats that came to their end."""
        return {draw: outcome for draw, outcome in self.repeats.items() if outcome["status"] == "FINISHED"}

    def searched_values(self, number: int) -> dict[str, Any]:
        """What the space drew for a trial, by dotted path."""
        values = flatten(self.plan.trials[number])
        return {path: values[path] for path in self.plan.space}

    def record(self, seconds: float) -> dict[str, Any]:
        """Register the best network, write page, picture and result.json, and record all of it with the search's run.

        Raises:
            RuntimeError: no repeat came to its end.
        """
        plan, folder, run = self.plan, self.folder, self.run
        if plan.config.repeats and not self.finished:
            raise RuntimeError(
                f"no repeat of trial {self.best} finished, the first says: {self.repeats[1].get('error')}"
            )
        row = self._row()
        model = self._register(row) if plan.config.register_as else None
        result = self._content(row, model, seconds)
        with tempfile.TemporaryDirectory() as scratch:
            picture = save_picture(result, Path(scratch) / PICTURE_NAME)
            report = save_page(search_page(result), Path(scratch) / PAGE_NAME)
            for path in (picture, report):
                folder.write_bytes(path.name, path.read_bytes())
                run.log_artifact(path)
        for draw, outcome in self.finished.items():
            run.log_metrics({f"repeats/{key}": error for key, error in _errors(outcome).items()}, draw)
        means = {f"{key}/{name}": value for key in (ERROR, TEST_ERROR) for name, value in (row[key] or {}).items()}
        run.log_metrics(means, len(self.outcomes))
        values = {f"best.{path}": str(value) for path, value in self.searched_values(self.best).items()}
        run.set_tags({"best.trial": str(self.best)} | values)
        run.log_dict(result, "result.json")
        folder.write_json("result.json", result)
        return result

    def _row(self) -> dict[str, Any]:
        """Our row of the paper's table."""
        trials, data = self.plan.config.trials, self.plan.data
        row: dict[str, Any] = {
            "what": f"supervised CNN of the discriminator's architecture, best of {trials} random trials",
            "data": data.dataset,
            "labels": data.labels,
        }
        errors = [_errors(outcome) for outcome in self.finished.values()]
        for key in (ERROR, TEST_ERROR):
            values = [by_name[key] for by_name in errors if key in by_name]
            row[key] = spread(values) if values else None
        return row

    def _content(self, row: dict[str, Any], model: dict[str, Any] | None, seconds: float) -> dict[str, Any]:
        """What result.json says."""
        plan, best = self.plan, self.best
        statuses, run_ids = [outcome["status"] for outcome in self.outcomes.values()], self.runs.run_ids()
        return {
            "job": "search",
            "status": "FINISHED",
            "run_name": plan.name,
            "run_id": self.run.run_id,
            "tracking": self.run.description,
            "data": plan.data.describe(),
            "data_hash": plan.data.hash,
            "validation_images": plan.data.validation_images,
            "finished": statuses.count("FINISHED"),
            "failed": statuses.count("FAILED"),
            "stopped": statuses.count("STOPPED"),
            "best": {
                "trial": best,
                ERROR: self.outcomes[best][ERROR],
                "run_id": run_ids.get(best),
                "config": self.searched_values(best),
            },
            "row": row,
            "paper_row": {
                "what": "supervised CNN of the same architecture, random search over 64 trials",
                ERROR: PAPER_ERROR_PERCENT,
            },
            "comparable": not plan.data.deviations,
            "deviations": deviations(plan),
            "model": model,
            "trials": [
                {"trial": number, "run_id": run_ids.get(number), "config": self.searched_values(number)}
                | _without_metrics(outcome)
                for number, outcome in sorted(self.outcomes.items())
            ],
            "repeats": [{"draw": draw} | _without_metrics(outcome) for draw, outcome in sorted(self.repeats.items())],
            "picture": f"{self.folder.path}/{PICTURE_NAME}",
            "seconds_of_this_start": round(seconds, 1),
            "config": dataclasses.asdict(plan.config),
        }

    def _register(self, row: dict[str, Any]) -> dict[str, Any]:
        """The repeat with the least validation error, as a version that belongs to the best trial's run.

        The alias moves to it, unless it would leave a network that was found on the complete SVHN for one that was not.
        """
        plan, best, finished, name = self.plan, self.best, self.finished, self.plan.config.register_as
        draw = min(finished, key=lambda number: (finished[number][ERROR], number))
        config = plan.repeat(plan.trials[best], draw)
        network = _network(self.folder, repeat_folder(best, draw), config)
        holder = alias_tags(name, ALIAS, self.run.tracking_uri)
        alias = ALIAS if not plan.data.deviations or holder.get("protocol") != "paper" else ""
        quality = {
            f"{key}, {statistic} of {row[key]['draws']} draws": row[key][statistic]
            for key in (ERROR, TEST_ERROR)
            if row[key]
            for statistic in ("mean", "std")
        }
        errors = _errors(finished[draw])
        card = classifier_card(
            name=name,
            data=plan.data.describe(),
            config=config,
            search=f"best of {plan.config.trials} random trials (trial {best}); this is its training on draw {draw}, the one "
            f"with the least validation error of {len(finished)}",
            quality=quality | {f"{key}, this network": error for key, error in errors.items()},
            deviations=deviations(plan),
        )
        tags = {
            "dataset": plan.data.dataset,
            "protocol": plan.data.protocol,
            "search_run_id": self.run.run_id,
            "trial": str(best),
            "draw": str(draw),
            "config": json.dumps(dataclasses.asdict(plan.trials[best])),
            **{name: str(value) for name, value in (errors | self.searched_values(best)).items()},
        }
        trial_run, images_seen = self.runs.attach(best) or self.run, finished[draw]["images_seen"]
        try:
            version = register_network(
                trial_run, network, name, card=card, tags=tags, alias=alias, images_seen=images_seen
            )
        finally:
            if trial_run is not self.run:
                trial_run.finish("FINISHED")
        return {"name": name, "version": version.version, "uri": version.uri, "alias": alias, "draw": draw}


def _network(folder: RunFolder, name: str, config: SupervisedConfig) -> Classifier:
    """The network that a repeat left in its folder."""
    store = CheckpointStore(RunFolder(folder.storage, f"{folder.name}/{name}"))
    path = store.newest_whole()
    if path is None:
        raise RuntimeError(f"the network of {name} is gone or damaged: remove {store.folder.path} and start again")
    with tempfile.TemporaryDirectory() as scratch:
        _, state = load_state(store.folder.fetch(path, Path(scratch)))
    network = Classifier(config.classifier)
    network.load_state_dict(state["network"])
    return network.eval()


def _errors(outcome: dict[str, Any]) -> dict[str, float]:
    """The errors that were measured, by name."""
    return {key: outcome[key] for key in (ERROR, TEST_ERROR) if outcome.get(key) is not None}


def _without_metrics(outcome: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in outcome.items() if name != "metrics"}
