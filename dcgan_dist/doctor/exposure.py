"""Ways into a cluster's machines: ports and networks that are open to the internet, containers that run as root."""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dcgan_dist.doctor.cluster_files import ClusterFile, containers, kind_of, nodes, pods, services, texts

Found = Iterator[str]

NARROWEST_OPEN_PREFIX = 8  # 10.0.0.0/8 is one organisation's; anything wider is the internet or a part of it


def open_to_the_world(file: ClusterFile) -> Found:
    """Ports and networks that are open to the internet."""
    for document in file.documents:
        for path, text in texts(document):
            yield from (f"{'.'.join(path)} lets in {cidr}" for cidr in _open_networks(text))
        yield from PORTS.get(kind_of(document), lambda _: iter(()))(document)
    if not file.documents:
        yield from (f"{line.strip()!r} names an open network" for line in file.lines if list(_open_networks(line)))


def _open_networks(text: str) -> Iterator[str]:
    for word in re.findall(r"[0-9a-fA-F.:]+/[0-9]{1,3}", text):
        try:
            network = ipaddress.ip_network(word, strict=False)
        except ValueError:
            continue
        if network.prefixlen < NARROWEST_OPEN_PREFIX:
            yield word


def _kubernetes_ports(document: Mapping[str, Any]) -> Found:
    if document["kind"] in ("Ingress", "Gateway", "HTTPRoute"):
        yield f"{document['kind']} opens a way in from outside"
    for path, value in nodes(document):
        key = path[-1] if path else ""
        here = ".".join(path)
        if key in ("type", "serviceType") and value in ("LoadBalancer", "NodePort"):
            yield f"{here} {value} opens a port outside the cluster"
        if key in ("hostNetwork", "hostPID", "hostIPC", "enableIngress") and value:
            yield f"{here} is on"
        if key == "hostPort":
            yield f"{here} opens a port of the machine"
        if key in ("ingress", "egress") and document["kind"] == "NetworkPolicy":
            side = {"ingress": "from", "egress": "to"}[key]
            yield from (f"{here} has a rule for everybody" for rule in list(value or []) if side not in (rule or {}))


def _compose_ports(document: Mapping[str, Any]) -> Found:
    for name, service in document["services"].items():
        for port in service.get("ports") or []:
            host = port.get("host_ip", "") if isinstance(port, dict) else str(port)
            if not re.match(r"127\.0\.0\.1(:|$)", host):
                yield f"service {name} publishes {port} beyond 127.0.0.1"
        if service.get("network_mode") == "host":
            yield f"service {name} uses the host's network"


def _machine_ports(document: Mapping[str, Any]) -> Found:
    """Programs on machines with addresses of their own, and what Ray's launcher adds where a file is silent."""
    for path, text in texts(document):
        if re.search(r"--(dashboard-)?host[= ](?!127\.0\.0\.1\b|localhost\b)", text) or "0.0.0.0" in text:
            yield f"{'.'.join(path)} listens beyond 127.0.0.1"
    provider = (document.get("provider") or {}).get("type")
    needed = {"aws": ("SecurityGroupIds", "IamInstanceProfile"), "gcp": ("networkInterfaces", "serviceAccounts")}
    for name, node in (document.get("available_node_types") or {}).items():
        for key in needed.get(provider or "", ()):
            if not node.get("node_config", {}).get(key):
                yield f"node type {name} has no {key}: Ray would choose one that is open or may do everything"
    for path, value in nodes(document.get("resources") or {}):
        if path and path[-1] == "ports" and value:
            yield f"resources.{'.'.join(path)} opens {value}"


PORTS: dict[str, Callable[[Mapping[str, Any]], Found]] = {
    "kubernetes": _kubernetes_ports,
    "compose": _compose_ports,
    "ray": _machine_ports,
    "sky": _machine_ports,
}


def root(file: ClusterFile) -> Found:
    """Containers that run as root, or may become it."""
    if file.is_dockerfile:
        users = [line.split()[1] for line in file.lines if line.upper().startswith("USER ")]
        if not users or users[-1].split(":")[0] in ("0", "root"):
            yield "the image runs as root: end with USER 1000:1000"
    for document in file.documents:
        for path, text in texts(document):
            if path[0] == "docker" and re.search(r"--privileged|--user[= ](0|root)\b|--cap-add|docker\.sock", text):
                yield f"{'.'.join(path)} {text!r} makes the container as mighty as its machine"
        for name, service in services(document):
            if str(service.get("user", "root")).split(":")[0] in ("0", "root") or service.get("privileged"):
                yield f"service {name} runs as root: give it a user"
            if "ALL" not in (service.get("cap_drop") or []) or service.get("cap_add"):
                yield f"service {name} keeps capabilities: cap_drop: [ALL]"
            if "no-new-privileges:true" not in (service.get("security_opt") or []):
                yield f"service {name} may gain privileges: security_opt: [no-new-privileges:true]"
        if kind_of(document) == "kubernetes":
            for path, pod in pods(document):
                yield from _pod_root(".".join(path), pod)


def _pod_root(here: str, pod: Mapping[str, Any]) -> Found:
    whole = pod.get("securityContext") or {}
    if whole.get("runAsNonRoot") is not True or whole.get("runAsUser") == 0:
        yield f"{here} may run as root: securityContext.runAsNonRoot: true"
    if any("hostPath" in volume for volume in pod.get("volumes") or []):
        yield f"{here} mounts a folder of the machine"
    for container in containers(pod):
        context, name = container.get("securityContext") or {}, f"{here} {container.get('name')}"
        capabilities = context.get("capabilities") or {}
        if context.get("runAsUser") == 0 or context.get("runAsNonRoot") is False or context.get("privileged"):
            yield f"{name} runs as root"
        if context.get("allowPrivilegeEscalation") is not False or "ALL" not in capabilities.get("drop", []):
            yield f"{name} may become root: allowPrivilegeEscalation: false, capabilities.drop: [ALL]"
        if capabilities.get("add"):
            yield f"{name} adds capabilities"
