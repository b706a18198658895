"""Policy rules for files of a cluster, as pure functions of a file: each yields a message for every violation."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dcgan_dist.doctor.cluster_files import ClusterFile, containers, kind_of, nodes, placeholders, pods, services, texts
from dcgan_dist.doctor.exposure import Found, open_to_the_world, root
from dcgan_dist.tracking.address import SECRET_NAME

Rule = Callable[[ClusterFile], Found]

DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
OWN_IMAGE = re.compile(r"^[a-z0-9_./-]+:[0-9]+(\.[0-9]+)*$")  # built from here: its version is the package's
REFERENCE = re.compile(r"^(/|~/|\./)[^\s]+$")  # a file, not its content
SECRET_TEXT = re.compile(
    r"AKIA[0-9A-Z]{16}|-----BEGIN [A-Z ]*PRIVATE KEY|://[^/\s:@$]+:[^/\s@$]+@|\bgh[pousr]_[A-Za-z0-9]{30}|\b[0-9a-f]{64}\b(?<!@)"
)
TOO_MUCH = re.compile(r"FullAccess|AdministratorAccess|cluster-admin|roles/(owner|editor)|\w+\.(admin|Admin)$")
READING = re.compile(r"^[a-z0-9]+:(Describe|List|Get)[A-Za-z]+$")


@dataclass(frozen=True)
class Violation:
    """One place where a file breaks a rule."""

    rule: str
    file: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}: {self.what} ({self.rule})"


def violations(file: ClusterFile, *, rendered: bool) -> list[Violation]:
    """All that is wrong with a file.

    Args:
        file: to look at.
        rendered: its placeholders should have been filled in.
    """
    rules = {**RULES, **({"unfilled": unfilled} if rendered else {})}
    return [Violation(name, file.name, what) for name, rule in rules.items() for what in rule(file)]


def unfilled(file: ClusterFile) -> Found:
    """Placeholders that stayed, and the empty places that envsubst leaves where a variable is not set."""
    yield from (f"${{{name}}} is not filled in" for name in sorted(placeholders(file.text)))
    for document in file.documents:
        for path, value in nodes(document):
            if value in (None, "") and "secrets" not in path:  # SkyPilot names secrets with no value
                yield f"{'.'.join(path)} is empty: was its variable set?"


def wildcard_rights(file: ClusterFile) -> Found:
    """Rights to do anything, or with anything."""
    for document in file.documents:
        for path, value in nodes(document):
            here = ".".join(path)
            if isinstance(value, str) and TOO_MUCH.search(value):
                yield f"{here} gives {value}"
            if path and path[-1] in ("NotAction", "NotResource", "NotPrincipal"):
                yield f"{here} allows all that it does not name"
            if path and path[-1] in ("Principal", "AWS") and value == "*":
                yield f"{here} is everybody"
            if isinstance(value, dict) and value.get("Effect") == "Allow":
                yield from _statement(here, value)
            listed = path[-1:] and path[-1] in ("verbs", "resources", "apiGroups", "includedPermissions")
            if listed and isinstance(value, list):
                yield from (f"{here} holds {right}" for right in value if "*" in str(right))


def _statement(here: str, statement: Mapping[str, Any]) -> Found:
    actions, resources = _list(statement.get("Action")), _list(statement.get("Resource"))
    yield from (f"{here} allows {action}" for action in actions if "*" in action)
    if "*" in resources and not all(READING.match(action) for action in actions):
        yield f"{here} allows {', '.join(actions)} with every resource"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def moving_images(file: ClusterFile) -> Found:
    """Images whose content may be another tomorrow."""
    images: list[tuple[str, str]] = []
    for document in file.documents:
        built = {name for name, service in services(document) if service.get("build")}
        for path, text in texts(document):
            built_here = path[0] == "services" and path[1] in built and OWN_IMAGE.match(text)
            if path[-1] in ("image", "image_id") and not path[0].startswith("x-") and not built_here:
                images.append((".".join(path), text))
            if path[-1] in ("sourceImage", "ImageId") and ("/family/" in text or "resolve:ssm" in text):
                yield f"{'.'.join(path)} names a family of images, whose newest changes: name one image"
    if file.is_dockerfile:
        froms = [line.split()[1] for line in file.lines if line.upper().startswith("FROM ")]
        images += [("FROM", re.sub(r"^\$([A-Z_]+)$", r"${\1}", image)) for image in froms]
        defaults = [line.strip() for line in file.lines if re.match(r"ARG \w*IMAGE=", line)]
        yield from (f"{line} has a default, which nobody checks again" for line in defaults)
    for where, image in images:
        # A placeholder is judged when it has been filled in.
        if not placeholders(image) and not DIGEST.search(image):
            yield f"{where} {image!r} is not named by its digest"
    for line in file.lines:
        if re.search(r"[\w}]:latest\b", line):
            yield f"{line.strip()!r} takes the latest"


def secrets(file: ClusterFile) -> Found:
    """Secrets in clear; to name where one is kept is right."""
    text = re.sub(r"@sha256:[0-9a-f]{64}", "", file.text)
    yield from (f"{match[0][:4]}... looks like a secret" for match in SECRET_TEXT.finditer(text))
    for document in file.documents:
        if document.get("kind") == "Secret" and (document.get("data") or document.get("stringData")):
            yield "a Secret with its content: make it with kubectl create secret"
        for path, value in nodes(document):
            here = ".".join(path)
            if isinstance(value, dict) and SECRET_NAME.search(str(value.get("name", ""))) and value.get("value"):
                yield f"{here} gives {value['name']} a value: valueFrom.secretKeyRef"
            if isinstance(value, str) and value and _gives_secret(path, value):
                yield f"{here} holds a secret: name the file or the Secret that has it"
    for line in [] if file.documents else file.lines:
        if (match := re.match(r"\s*(?:ENV|ARG)?\s*([\w.-]+)\s*=\s*(\S+)", line)) and SECRET_NAME.search(match[1]):
            yield f"{match[1]} has a value in the file"


def _gives_secret(path: tuple[str, ...], value: str) -> bool:
    key = path[-1]
    named = SECRET_NAME.search(key) and not re.search(r"(?i)(name|path|file|tokens|mode)$", key)
    references = {"secretKeyRef", "secrets", "secretName", "file_mounts", "MetadataOptions"}
    return bool(named) and references.isdisjoint(path) and not placeholders(value) and not REFERENCE.match(value)


def limits(file: ClusterFile) -> Found:
    """Containers that may take all of a machine, and clusters that never shrink."""
    for document in file.documents:
        for name, service in services(document):
            if not (service.get("mem_limit") and service.get("cpus")):
                yield f"service {name} has no mem_limit and cpus"
        if kind_of(document) == "kubernetes":
            for path, pod in pods(document):
                for container in containers(pod):
                    missing = {"cpu", "memory"} - {*((container.get("resources") or {}).get("limits") or {})}
                    where = f"{'.'.join(path)} {container.get('name')}"
                    yield from (f"{where} has no limit of {resource}" for resource in sorted(missing))
        if kind_of(document) == "ray" and not document.get("idle_timeout_minutes"):
            yield "idle_timeout_minutes is missing: idle machines would stay"


def authentication(file: ClusterFile) -> Found:
    """An unauthenticated Ray, and an MLflow without accounts."""
    for document in file.documents:
        kind = kind_of(document)
        for path, text in texts(document):
            if kind == "ray" and "ray start" in text and "RAY_AUTH_MODE=token" not in text:
                yield f"{'.'.join(path)} starts Ray without RAY_AUTH_MODE=token"
            if path[-1] == "RAY_AUTH_MODE" and text != "token":
                yield f"{'.'.join(path)} is {text!r}"
        for path, value in nodes(document):
            head = isinstance(value, dict) and "headGroupSpec" in value
            if head and (value.get("authOptions") or {}).get("mode") != "token":
                yield f"{'.'.join(path)} has no authOptions: {{mode: token}}"
        for name, service in services(document):
            command = " ".join(service.get("command") or [])
            if "ray start" in command and (service.get("environment") or {}).get("RAY_AUTH_MODE") != "token":
                yield f"service {name} starts Ray without RAY_AUTH_MODE: token"
            if "mlflow server" in command and "--app-name=basic-auth" not in command:
                yield f"service {name} starts MLflow without accounts: --app-name=basic-auth"
        starts = kind == "sky" and "ray start" in document["run"]
        if starts and document.get("envs", {}).get("RAY_AUTH_MODE") != "token":
            yield "run starts Ray without envs: {RAY_AUTH_MODE: token}"
        for path, pod in pods(document) if kind == "kubernetes" else ():
            for container in containers(pod):
                command = [*(container.get("command") or []), *(container.get("args") or [])]
                if "mlflow" in command and "--app-name=basic-auth" not in command:
                    yield f"{'.'.join(path)} starts MLflow without accounts: --app-name=basic-auth"
    for setting, value in re.findall(r"^\s*(default_permission|admin_password)\s*=\s*(\S+)", file.text, re.MULTILINE):
        if setting == "admin_password" or value != "NO_PERMISSIONS":
            yield f"{setting} = {value if setting != 'admin_password' else '...'}"


RULES: dict[str, Rule] = {
    "open to the world": open_to_the_world,
    "wildcard rights": wildcard_rights,
    "moving image": moving_images,
    "root": root,
    "secret in clear": secrets,
    "no limit": limits,
    "no authentication": authentication,
}
