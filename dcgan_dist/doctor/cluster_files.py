"""Files that describe a cluster: their placeholders, and what stands in them."""

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from dcgan_dist.errors import InputError
from dcgan_dist.untrusted import refusing

PLACEHOLDER = re.compile(r"\$\{(?!RAY_RUNTIME_ENV_)([A-Z][A-Z0-9_]*)(?::\?[^}]*)?\}")
"""`${NAME}`, or compose's `${NAME:?what to do}`; commands of the files write `$NAME` for what a machine fills in itself, and
Ray fills in `${RAY_RUNTIME_ENV_...}`."""
MOST_FILE_BYTES = 1 << 20
MOST_VALUES = 1_000_000

Keys = tuple[str, ...]


def placeholders(text: str) -> set[str]:
    """Names that have to be filled in."""
    return set(PLACEHOLDER.findall(text))


@dataclass(frozen=True)
class ClusterFile:
    """One file, read but not run."""

    name: str
    """For messages; its ending says whether it is YAML, its beginning whether it is a Dockerfile."""
    text: str

    @property
    def is_dockerfile(self) -> bool:
        """Whether it builds an image."""
        return self.name.rpartition("/")[2].startswith("Dockerfile")

    @cached_property
    def documents(self) -> list[dict[str, Any]]:
        """What stands in it; empty where it is no YAML.

        Raises:
            InputError: it is damaged, or larger than any such file.
        """
        if not self.name.endswith((".yaml", ".yml", ".json")):
            return []
        if len(self.text) > MOST_FILE_BYTES:
            raise InputError(f"{self.name} is larger than {MOST_FILE_BYTES} bytes, which no file of a cluster is")
        with refusing(f"{self.name} is not YAML", "correct or leave it out"):
            documents = list(yaml.safe_load_all(self.text))
            if sum(1 for _ in itertools.islice(nodes(documents), MOST_VALUES + 1)) > MOST_VALUES:
                raise ValueError(f"its aliases make more than {MOST_VALUES:,} values of it")
        return [document for document in documents if isinstance(document, dict)]

    @property
    def lines(self) -> list[str]:
        """Without comments; for files that are no YAML."""
        return [line for line in self.text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def nodes(value: Any, path: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """Everything inside a document, itself first, with the keys that lead to it."""
    yield path, value
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from nodes(inner, (*path, str(key)))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from nodes(inner, (*path, str(number)))


def texts(value: Any) -> Iterator[tuple[Keys, str]]:
    """Every text inside a document, with the keys that lead to it."""
    return ((path, one) for path, one in nodes(value) if isinstance(one, str))


def kind_of(document: Mapping[str, Any]) -> str:
    """Whose format a document has: kubernetes, compose, ray, sky, aws, gcp-role or other."""
    if "kind" in document and "apiVersion" in document:
        return "kubernetes"
    if "available_node_types" in document:
        return "ray"
    if "AWSTemplateFormatVersion" in document:
        return "aws"
    if "includedPermissions" in document:
        return "gcp-role"
    if "services" in document:
        return "compose"
    return "sky" if "run" in document and "resources" in document else "other"


def pods(document: Mapping[str, Any]) -> Iterator[tuple[Keys, dict[str, Any]]]:
    """Every pod's spec of a Kubernetes document, wherever it stands."""
    for path, one in nodes(document):
        if isinstance(one, dict) and isinstance(one.get("containers"), list):
            yield path, one


def containers(pod: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """All containers of a pod, those of its start too."""
    for name in ("initContainers", "containers"):
        yield from pod.get(name) or []


def services(document: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and content of every service of a compose file; none of other documents."""
    if kind_of(document) == "compose":
        yield from document["services"].items()
