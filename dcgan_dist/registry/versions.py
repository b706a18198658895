"""Registered versions by name: which one an address means, and what its tags say."""

from collections.abc import Callable

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from dcgan_dist.errors import InputError
from dcgan_dist.registry.model_uri import RegisteredVersion, parse_version_uri
from dcgan_dist.tracking.server import connect, refusals_as_input_errors

NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
"""What MLflow answers for a name or alias that does not exist; the second is a database's word for an alias."""


def find_version(client: MlflowClient, named: RegisteredVersion) -> ModelVersion:
    """The version that a name and an alias or number mean.

    Raises:
        InputError: there is none; what there is is listed.
    """
    known = sorted(model.name for model in client.search_registered_models(max_results=1000))
    if named.name not in known:
        # A server with accounts leaves out what ours may not see.
        there = f"there are {', '.join(known)}" if known else "there are none, or none that your account may see"
        raise InputError(f"no model is registered as {named.name!r}: {there}")
    versions = {int(version.version): version for version in client.search_model_versions(f"name = '{named.name}'")}
    number = named.version
    if named.alias:
        aliases = client.get_registered_model(named.name).aliases
        if named.alias not in aliases:
            there = ", ".join(sorted(aliases)) or "none"
            raise InputError(f"{named.name} has no alias {named.alias!r}: there are {there}")
        number = aliases[named.alias]
    elif number == "latest":
        number = str(max(versions, default=0))
    if int(number) not in versions:
        there = ", ".join(map(str, sorted(versions))) or "none"
        raise InputError(f"{named.name} has no version {number}: there are {there}")
    return versions[int(number)]


def version_tags(uri: str, tracking_uri: str) -> dict[str, str]:
    """Tags of a registered version.

    Args:
        uri: models:/<name>@<alias> or models:/<name>/<version or latest>.
        tracking_uri: server or database that holds it.

    Raises:
        InputError: no such version (what there is is listed), or no answer.
    """
    client = connect(tracking_uri, must_exist=True)
    with refusals_as_input_errors(tracking_uri):
        return dict(find_version(client, parse_version_uri(uri)).tags)


def alias_tags(name: str, alias: str, tracking_uri: str) -> dict[str, str]:
    """Tags of the version that an alias points at; empty where there is no such name or alias.

    Raises:
        InputError: the server or database cannot be used.
    """
    client = connect(tracking_uri)
    with refusals_as_input_errors(tracking_uri):
        version = if_there(lambda: client.get_model_version_by_alias(name, alias))
    return dict(version.tags) if version else {}


def if_there(get: Callable[[], ModelVersion]) -> ModelVersion | None:
    """What a call to MLflow gives; None where there is no such name, alias or version."""
    try:
        return get()
    except MlflowException as error:
        if error.error_code in NOT_THERE:
            return None
        raise
