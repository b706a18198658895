"""What an address of a model means, and what is none."""

import pytest

from dcgan_dist.errors import InputError
from dcgan_dist.registry.model_uri import (
    LoggedModelUri,
    ModelOfRun,
    RegisteredVersion,
    in_registry,
    parse_model_uri,
    parse_version_uri,
)


@pytest.mark.parametrize(
    ("uri", "named"),
    [
        ("models:/dcgan-lsun-generator@champion", RegisteredVersion(name="dcgan-lsun-generator", alias="champion")),
        ("models:/dcgan-lsun-generator/12", RegisteredVersion(name="dcgan-lsun-generator", version="12")),
        ("models:/dcgan-lsun-generator/latest", RegisteredVersion(name="dcgan-lsun-generator", version="latest")),
        ("models:/m-" + "0a" * 16, LoggedModelUri(model_id="m-" + "0a" * 16)),
        ("runs:/12ab/generator", ModelOfRun(run_id="12ab", name="generator")),
    ],
)
def test_an_address_names_one_thing(uri: str, named: object) -> None:
    assert parse_model_uri(uri) == named
    assert in_registry(uri)


@pytest.mark.parametrize(
    "uri", ["", "models:/", "models:/a", "models:/a/b", "models:/a@", "runs:/a", "runs/last/x", "a"]
)
def test_what_is_no_address_is_said(uri: str) -> None:
    with pytest.raises(InputError, match="names no model: write models:/NAME@ALIAS"):
        parse_model_uri(uri)


@pytest.mark.parametrize("uri", ["models:/m-" + "0a" * 16, "runs:/12ab/generator"])
def test_an_address_of_no_registered_version_is_said(uri: str) -> None:
    with pytest.raises(InputError, match="names no registered version"):
        parse_version_uri(uri)
