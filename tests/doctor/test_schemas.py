"""Every file of cluster/ has the shape that its tool asks for, by that tool's own schema, without a network."""

import configparser
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator, Draft202012Validator, ValidationError
from ray.autoscaler._private.util import prepare_config, validate_config
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from dcgan_dist.doctor.cluster_files import kind_of
from tests.doctor.samples import FILES, rendered, source

SCHEMAS = Path(__file__).with_name("schemas")
KUBERNETES = json.loads((SCHEMAS / "kubernetes-1.37.json").read_text())
KUBERAY = yaml.safe_load((SCHEMAS / "kuberay-1.7.yaml").read_text())


def validate_kubernetes(document: dict[str, Any]) -> None:
    """A document of Kubernetes or of KubeRay; raises ValidationError."""
    resource = Resource.from_contents({"$defs": KUBERNETES["$defs"]}, default_specification=DRAFT202012)
    registry = Registry().with_resource("k8s", resource)
    if document["apiVersion"] == "ray.io/v1":
        assert set(document) == {"apiVersion", "kind", "metadata", "spec"}
        local = {"$defs": KUBERAY["$defs"], **KUBERAY[document["kind"]]}
        local = json.loads(json.dumps(local).replace('"k8s:', '"k8s#/$defs/'))
        Draft202012Validator(local, registry=registry).validate(document["spec"])
        metadata = {"$ref": "k8s#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
        Draft202012Validator(metadata, registry=registry).validate(document["metadata"])
    else:
        schema = {"$ref": f"k8s#/$defs/{KUBERNETES['kinds'][document['kind']]}"}
        Draft202012Validator(schema, registry=registry).validate(document)


def validate_ray(document: dict[str, Any]) -> None:
    """A config of Ray's launcher, as `ray up` looks at it before it calls a cloud; raises ValidationError or ValueError."""
    validate_config(prepare_config(copy.deepcopy(document)))


def validate_compose(document: dict[str, Any]) -> None:
    Draft7Validator(json.loads((SCHEMAS / "compose-1.29.json").read_text())).validate(document)


def validate_sky(document: dict[str, Any]) -> None:
    schema = json.loads((SCHEMAS / "skypilot-0.14.json").read_text())
    Draft202012Validator(schema["task"]).validate(document)
    Draft7Validator(schema["resources"]).validate(document["resources"])


def validate_aws(document: dict[str, Any]) -> None:
    """A stack: every resource by its type, with what is found out at run time taken as text."""

    def known(value: Any) -> Any:
        if isinstance(value, dict):
            return "a reference" if set(value) in ({"Ref"}, {"Fn::GetAtt"}) else {k: known(v) for k, v in value.items()}
        return [known(one) for one in value] if isinstance(value, list) else value

    types = json.loads((SCHEMAS / "cloudformation-1.58.json").read_text())
    assert set(document) <= {"AWSTemplateFormatVersion", "Description", "Resources", "Outputs"}
    for resource in document["Resources"].values():
        assert set(resource) <= {"Type", "Properties"}
        Draft7Validator(types[resource["Type"]]).validate(known(resource["Properties"]))


def validate_gcp_role(document: dict[str, Any]) -> None:
    """No schema of this can be had: the keys of its documentation, and permissions of three words."""
    assert set(document) == {"title", "description", "stage", "includedPermissions"}
    assert all(len(one.split(".")) == 3 for one in document["includedPermissions"])


VALIDATE: dict[str, Callable[[dict[str, Any]], None]] = {
    "kubernetes": validate_kubernetes,
    "ray": validate_ray,
    "compose": validate_compose,
    "sky": validate_sky,
    "aws": validate_aws,
    "gcp-role": validate_gcp_role,
}


def documents() -> list[Any]:
    """Every YAML document of cluster/ with the kind of its file."""
    return [
        pytest.param(kind_of(document), document, id=f"{name}-{number}")
        for name in FILES
        for number, document in enumerate(rendered(name).documents)
        if name != "runtime_env.yaml"
    ]


@pytest.mark.parametrize(("kind", "document"), documents())
def test_every_document_fits_the_schema_of_its_tool(kind: str, document: dict[str, Any]) -> None:
    VALIDATE[kind](document)


def test_the_runtime_environment_is_one_that_ray_takes() -> None:
    from ray.runtime_env import RuntimeEnv

    (document,) = rendered("runtime_env.yaml").documents

    environment = RuntimeEnv(**document)
    assert environment["env_vars"]["RAY_USAGE_STATS_ENABLED"] == "0"
    assert environment["pip"]["packages"] == ["dcgan_dist[all] @ file://${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}"]


def changed(name: str, path: str, value: Any, number: int = 0) -> dict[str, Any]:
    """A document with one thing changed; a path's last part may be new."""
    document = copy.deepcopy(rendered(name).documents[number])
    *way, last = path.split("/")
    inner: Any = document
    for key in way:
        inner = inner[int(key)] if isinstance(inner, list) else inner[key]
    if isinstance(inner, list):
        inner[int(last)] = value
    else:
        inner[last] = value
    return document


WRONG = [
    ("aws.yaml", "max_worker", 3),  # a misspelt key
    ("aws.yaml", "head_node_type", "nobody"),
    ("aws.yaml", "available_node_types/gpu_spot/min_workers", 17),  # more than the most
    ("gcp.yaml", "idle_timeout_minutes", "ten"),
    ("aws_base.yaml", "Resources/Nodes/Properties/Ingress", []),
    ("aws_base.yaml", "Resources/HeadProfile/Properties/Roles", "head"),
    ("compose.yaml", "services/head/memory_limit", "8gb"),
    ("compose.yaml", "services/head/ports", "8265"),
    ("sky.yaml", "resources/accelerator", "L4"),
    ("sky.yaml", "resources/infra", "nowhere"),
    ("kuberay/raycluster.yaml", "spec/enableAutoscaling", True),
    ("kuberay/raycluster.yaml", "spec/authOptions/mode", "password"),
    ("kuberay/raycluster.yaml", "spec/workerGroupSpecs/0/minReplicas", "none"),
    ("kuberay/raycluster.yaml", "spec/workerGroupSpecs/0/template/spec/containers/0/image", 3),
    ("kuberay/raycluster.yaml", "spec/headGroupSpec/rayStartParams/num-cpus", 0),  # a number, not a text
    ("kuberay/rayjob.yaml", "spec/shutdownAfterJobFinishes", True),  # beside rules of deletion
    ("kuberay/rayjob.yaml", "spec/deletionStrategy/deletionRules/0/condition/jobDeploymentStatus", "Failed"),
    ("kuberay/rayjob.yaml", "spec/backoffLimit", -1),
    ("kuberay/rayjob.yaml", "spec/submissionMode", "SidecarMode"),  # beside a submitter's pod
    ("kuberay/network_policies.yaml", "spec/podSelectors", {}),
    ("kuberay/namespace.yaml", "metadata/label", {}),
]


@pytest.mark.parametrize(("name", "path", "value"), WRONG)
def test_what_does_not_fit_is_refused(name: str, path: str, value: Any) -> None:
    document = changed(name, path, value)

    with pytest.raises((ValidationError, ValueError)):
        VALIDATE[kind_of(document)](document)


def test_the_job_s_own_cluster_is_the_cluster_that_stays() -> None:
    (cluster,), (job,) = rendered("kuberay/raycluster.yaml").documents, rendered("kuberay/rayjob.yaml").documents

    assert job["spec"]["rayClusterSpec"] == cluster["spec"]


def test_accounts_of_mlflow_s_server_are_the_same_in_kubernetes_and_on_one_host() -> None:
    own, mapped = configparser.ConfigParser(), configparser.ConfigParser()
    own.read_string(source("mlflow_auth.ini").text)
    mapped.read_string(source("kuberay/mlflow.yaml").documents[0]["data"]["mlflow_auth.ini"])

    assert mapped == own
    assert own["mlflow"]["default_permission"] == "NO_PERMISSIONS"


def test_only_the_head_has_an_account_at_mlflow() -> None:
    (cluster,) = rendered("kuberay/raycluster.yaml").documents
    services = rendered("compose.yaml").documents[0]["services"]

    assert "mlflow-client" in str(cluster["spec"]["headGroupSpec"])
    assert "mlflow-client" not in str(cluster["spec"]["workerGroupSpecs"])
    assert "mlflow_client" in services["head"]["secrets"]
    assert all("mlflow_client" not in str(services[name]) for name in ("worker", "worker_gpu"))


def test_a_file_of_a_secret_is_read_by_one_user() -> None:
    """Files of mode 600 cannot be shared by containers that run as different users."""
    users: dict[str, set[str]] = {}
    for service in rendered("compose.yaml").documents[0]["services"].values():
        for name in service["secrets"]:
            users.setdefault(name, set()).add(service["user"])

    assert {name: len(who) for name, who in users.items()} == dict.fromkeys(users, 1)
    assert set(users) == set(rendered("compose.yaml").documents[0]["secrets"])


def test_what_comes_with_an_instance_needs_no_tag_which_ray_gives_to_instances_only() -> None:
    policies = rendered("aws_base.yaml").documents[0]["Resources"]["HeadRole"]["Properties"]["Policies"]
    statements = next(one for one in policies if one["PolicyName"] == "workers")["PolicyDocument"]["Statement"]
    starting = [one for one in statements if "ec2:RunInstances" in one["Action"]]

    def kinds(statement: dict[str, Any]) -> set[str]:
        resources = statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        return {resource.rpartition(":")[2].partition("/")[0] for resource in resources}

    assert [kinds(one) for one in starting if "Condition" in one] == [{"instance"}]
    (free,) = [kinds(one) for one in starting if "Condition" not in one]
    assert {"volume", "network-interface", "spot-instances-request", "subnet", "image"} <= free
    (passing,) = [one for one in statements if one["Action"] == ["iam:PassRole"]]
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}}


@pytest.mark.parametrize("name", ["aws.yaml", "gcp.yaml"])
def test_heads_do_not_work_and_spot_comes_before_on_demand(name: str) -> None:
    config = prepare_config(copy.deepcopy(rendered(name).documents[0]))
    types = config["available_node_types"]

    assert types["head"]["resources"] == {"CPU": 0}
    assert types["gpu_spot"]["priority"] > types["gpu_ondemand"]["priority"]
    assert {name: (one["min_workers"], one["max_workers"]) for name, one in types.items()} == {
        "head": (0, 0),
        "gpu_spot": (0, 16),
        "gpu_ondemand": (0, 4),
    }
    assert config["idle_timeout_minutes"] == 10
    # What Ray's defaults would have added.
    assert "0.0.0.0" not in str(config)
    assert "nightly" not in str(config)
    assert "pip install" not in str(config)


def test_every_pod_of_the_namespace_is_denied_all_that_is_not_allowed() -> None:
    policies = rendered("kuberay/network_policies.yaml").documents

    deny = next(one["spec"] for one in policies if one["metadata"]["name"] == "deny-all")
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert {one["metadata"]["namespace"] for one in policies} == {"dcgan"}
