"""Versions in the registry as the gate sees them: their tags, their quality, and which one is the champion."""

import json
from dataclasses import dataclass, field

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion

from dcgan_dist.errors import InputError
from dcgan_dist.registry.model_uri import parse_version_uri
from dcgan_dist.registry.versions import find_version, if_there
from dcgan_dist.tracking.server import connect, refusals_as_input_errors

CHAMPION = "champion"
HISTORY = "champion_history"
"""Tag of a registered model: the versions that were champion before, oldest first, as JSON."""
REMEMBERED = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """A registered version."""

    name: str
    version: str
    run_id: str
    """Run that trained it; empty where it is unknown."""
    tags: dict[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """models:/NAME/VERSION."""
        return f"models:/{self.name}/{self.version}"


class ChampionRegistry:
    """The registry of one server or database, as the gate sees it."""

    def __init__(self, tracking_uri: str) -> None:
        """Connect.

        Raises:
            InputError: it does not exist, or gives no answer.
        """
        self._client: MlflowClient = connect(tracking_uri, must_exist=True)
        self._uri = tracking_uri

    def version(self, uri: str) -> Version:
        """The version that models:/NAME@ALIAS, models:/NAME/VERSION or models:/NAME/latest names.

        Raises:
            InputError: there is no such version, or the registry refuses.
        """
        with refusals_as_input_errors(self._uri):
            return _version(find_version(self._client, parse_version_uri(uri)))

    def champion(self, name: str) -> Version | None:
        """The version that @champion points at."""
        with refusals_as_input_errors(self._uri):
            champion = if_there(lambda: self._client.get_model_version_by_alias(name, CHAMPION))
            return _version(champion) if champion else None

    def tag(self, version: Version, tags: dict[str, str]) -> None:
        """Set or overwrite tags of a version."""
        with refusals_as_input_errors(self._uri):
            for key, value in tags.items():
                self._client.set_model_version_tag(version.name, version.version, key, value)

    def quality(self, version: Version, key: str) -> float | None:
        """A metric of the version's run at the images it had seen; None where it was not measured there.

        Where it was measured again after a restart, the latest point counts.
        """
        images_seen = version.tags.get("images_seen", "")
        if not version.run_id or not images_seen:
            return None
        with refusals_as_input_errors(self._uri):
            points = [p for p in self._client.get_metric_history(version.run_id, key) if str(p.step) == images_seen]
        return max(points, key=lambda point: point.timestamp).value if points else None

    def keep_text(self, run_id: str, text: str, name: str) -> None:
        """Keep a text as a file of this name among those of a run, whose status stays as it is."""
        with refusals_as_input_errors(self._uri):
            self._client.log_text(run_id, text, name)

    def make_champion(self, version: Version) -> None:
        """Point @champion at a version; the one before is remembered in a tag of the model."""
        before = self.champion(version.name)
        with refusals_as_input_errors(self._uri):
            if before is not None and before.version != version.version:
                # First: if the next call fails, the present champion is remembered twice, which does no harm.
                self._remember(version.name, [*self.former(version.name), before.version])
            self._client.set_registered_model_alias(version.name, CHAMPION, version.version)

    def restore(self, name: str) -> None:
        """Point @champion at the one before (`champion_before`), which must exist."""
        before = self.champion_before(name)
        assert before is not None
        former = self.former(name)
        last = len(former) - 1 - former[::-1].index(before.version)
        with refusals_as_input_errors(self._uri):
            self._client.set_registered_model_alias(name, CHAMPION, before.version)
            self._remember(name, former[:last])

    def champion_before(self, name: str) -> Version | None:
        """The last other champion that still exists; None where there is none."""
        now = self.champion(name)
        with refusals_as_input_errors(self._uri):
            for number in reversed(self.former(name)):
                version = if_there(lambda number=number: self._client.get_model_version(name, number))
                if version is not None and (now is None or number != now.version):
                    return _version(version)
        return None

    def former(self, name: str) -> list[str]:
        """Version numbers of former champions, oldest first."""
        with refusals_as_input_errors(self._uri):
            text = self._client.get_registered_model(name).tags.get(HISTORY, "[]")
        try:
            return [str(number) for number in json.loads(text)]
        except (ValueError, TypeError) as error:
            raise InputError(f"the tag {HISTORY} of {name} is no list of versions: correct or delete it") from error

    def _remember(self, name: str, former: list[str]) -> None:
        self._client.set_registered_model_tag(name, HISTORY, json.dumps(former[-REMEMBERED:]))


def _version(version: ModelVersion) -> Version:
    number, run_id = str(version.version), version.run_id or ""
    return Version(name=version.name, version=number, run_id=run_id, tags=dict(version.tags))
