"""No file of cluster/ opens a door, and the policy that says so catches each kind of door that somebody might open."""

import shutil
import subprocess

import pytest

from dcgan_dist.doctor.cluster_files import ClusterFile, placeholders
from dcgan_dist.doctor.policy import RULES, violations
from dcgan_dist.errors import InputError
from tests.doctor.samples import DIGEST, FILES, VALUES, render, rendered, source


@pytest.mark.parametrize("name", FILES)
def test_no_file_breaks_the_policy_as_it_lies_here_nor_when_it_is_filled_in(name: str) -> None:
    assert violations(source(name), rendered=False) == []
    assert violations(rendered(name), rendered=True) == []


# File, what stands there, what somebody writes instead, the rule that has to catch it. One of each kind for every format.
SEEDED = [
    ("aws_base.yaml", "198.51.100.7/32", "0.0.0.0/0", "open to the world"),
    ("aws_base.yaml", "198.51.100.7/32", "128.0.0.0/1", "open to the world"),
    ("aws_base.yaml", "CidrIp: ", "CidrIpv6: '::/0', CidrIp: ", "open to the world"),
    ("aws.yaml", "--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0", "open to the world"),
    ("aws.yaml", "--dashboard-host=127.0.0.1", "--dashboard-host 10.0.0.3", "open to the world"),
    ("aws.yaml", "SecurityGroupIds:", "Ignored:", "open to the world"),
    ("aws.yaml", "IamInstanceProfile: {", "Ignored: {", "open to the world"),
    ("gcp.yaml", "networkInterfaces:", "ignored:", "open to the world"),
    ("gcp.yaml", "serviceAccounts:", "ignored:", "open to the world"),
    ("sky.yaml", "use_spot: true", "ports: 8265", "open to the world"),
    ("sky.yaml", "--dashboard-host=127.0.0.1", "--dashboard-host=0.0.0.0", "open to the world"),
    ("compose.yaml", "127.0.0.1:8265:8265", "8265:8265", "open to the world"),
    ("compose.yaml", "127.0.0.1:5000:5000", "0.0.0.0:5000:5000", "open to the world"),
    ("compose.yaml", "networks: [inside]", "network_mode: host", "open to the world"),
    ("kuberay/mlflow.yaml", "type: ClusterIP", "type: LoadBalancer", "open to the world"),
    ("kuberay/mlflow.yaml", "containerPort: 5000", "containerPort: 5000, hostPort: 5000", "open to the world"),
    ("kuberay/postgres.yaml", "type: ClusterIP", "type: NodePort", "open to the world"),
    ("kuberay/postgres.yaml", "kind: Service", "kind: Ingress", "open to the world"),
    ("kuberay/raycluster.yaml", "serviceType: ClusterIP", "serviceType: LoadBalancer", "open to the world"),
    ("kuberay/raycluster.yaml", "enableIngress: false", "enableIngress: true", "open to the world"),
    ("kuberay/raycluster.yaml", "automountServiceAccountToken: false", "hostNetwork: true", "open to the world"),
    ("kuberay/network_policies.yaml", "10.0.0.1/32", "0.0.0.0/0", "open to the world"),
    ("kuberay/network_policies.yaml", "    - from:", "    - ports: []\n    - from:", "open to the world"),
    ("aws_base.yaml", '"s3:ListBucket"', '"s3:*"', "wildcard rights"),
    ("aws_base.yaml", '"ec2:TerminateInstances"', '"*"', "wildcard rights"),
    ("aws_base.yaml", "- ec2:DescribeVpcs", "- ec2:TerminateInstances", "wildcard rights"),
    ("aws_base.yaml", 'Action: ["iam:PassRole"]', "NotAction: [iam:CreateUser]", "wildcard rights"),
    ("aws_base.yaml", "{Service: ec2.amazonaws.com}", '"*"', "wildcard rights"),
    ("aws_base.yaml", "RoleName: dcgan-head", "ManagedPolicyArns: ['arn:aws:iam::aws:policy/AmazonEC2FullAccess']", "wildcard rights"),
    ("gcp_head_role.yaml", "compute.zones.get", "compute.*", "wildcard rights"),
    ("gcp_head_role.yaml", "compute.zones.get", "roles/compute.admin", "wildcard rights"),
    ("kuberay/namespace.yaml", "kind: ServiceAccount", "kind: Role\nrules: [{verbs: ['*']}]", "wildcard rights"),
    ("kuberay/namespace.yaml", "kind: ServiceAccount", "kind: RoleBinding\nroleRef: {name: cluster-admin}", "wildcard rights"),
    ("aws.yaml", VALUES["DCGAN_IMAGE"], "registry.example.org/dcgan_dist:0.1.0", "moving image"),
    ("aws.yaml", "ami-0123456789abcdef0", "resolve:ssm:/aws/newest", "moving image"),
    ("gcp.yaml", "global/images/an-image-v20260101", "global/images/family/common-gpu", "moving image"),
    ("gcp.yaml", VALUES["DCGAN_IMAGE"], "dcgan_dist:latest", "moving image"),
    ("sky.yaml", f"@{DIGEST}", "", "moving image"),
    ("compose.yaml", f"postgres:17.6@{DIGEST}", "postgres", "moving image"),
    ("compose.yaml", "image: dcgan_dist:0.1.0", "image: dcgan_dist:latest", "moving image"),
    ("kuberay/raycluster.yaml", f"@{DIGEST}", "", "moving image"),
    ("kuberay/redis.yaml", f"redis:7.4.5@{DIGEST}", "redis:7", "moving image"),
    ("Dockerfile", f"FROM {VALUES['CUDA_IMAGE']}", "FROM nvidia/cuda:13.0.0-runtime-ubuntu24.04", "moving image"),
    ("Dockerfile", "ARG CUDA_IMAGE", "ARG CUDA_IMAGE=nvidia/cuda", "moving image"),
    ("Dockerfile", "USER 1000:1000", "", "root"),
    ("Dockerfile", "ENTRYPOINT", "USER root\nENTRYPOINT", "root"),
    ("aws.yaml", "--shm-size=16g", "--privileged", "root"),
    ("gcp.yaml", "--shm-size=16g", "--user root", "root"),
    ("compose.yaml", 'user: "999:999"', 'user: "0"', "root"),
    ("compose.yaml", 'user: "999:999"', "hostname: db", "root"),
    ("compose.yaml", "cap_drop: [ALL]", "cap_drop: [NET_RAW]", "root"),
    ("compose.yaml", "no-new-privileges:true", "seccomp:unconfined", "root"),
    ("compose.yaml", "init: true", "privileged: true", "root"),
    ("kuberay/mlflow.yaml", "runAsNonRoot: true", "runAsNonRoot: false", "root"),
    ("kuberay/mlflow.yaml", "runAsUser: 1000", "runAsUser: 0", "root"),
    ("kuberay/mlflow.yaml", "allowPrivilegeEscalation: false", "privileged: true", "root"),
    ("kuberay/mlflow.yaml", "{drop: [ALL]}", "{drop: [ALL], add: [SYS_ADMIN]}", "root"),
    ("kuberay/mlflow.yaml", "emptyDir: {sizeLimit: 10Gi}", "hostPath: {path: /}", "root"),
    ("kuberay/rayjob.yaml", "runAsNonRoot: true", "runAsGroup: 1000", "root"),
    ("kuberay/raycluster.yaml", "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: true", "root"),
    ("aws.yaml", "ssh_user: ubuntu", "ssh_user: ubuntu\n  api_token: abcdef", "secret in clear"),
    ("aws.yaml", "RAY_AUTH_MODE=token", f"RAY_AUTH_MODE=token RAY_AUTH_TOKEN={'a1' * 32}", "secret in clear"),
    ("gcp.yaml", "ssh_user: ubuntu", "key: AKIAABCDEFGHIJKLMNOP", "secret in clear"),
    ("sky.yaml", "RAY_AUTH_MODE: token", "RAY_AUTH_MODE: token, RAY_AUTH_TOKEN: letmein", "secret in clear"),
    ("sky.yaml", "https://mlflow", "https://me:letmein@mlflow", "secret in clear"),
    ("compose.yaml", "POSTGRES_PASSWORD_FILE: /run/secrets/postgres_password", "POSTGRES_PASSWORD: x", "secret in clear"),
    ("compose.yaml", "//mlflow@postgres", "//mlflow:letmein@postgres", "secret in clear"),
    ("kuberay/mlflow.yaml", "PGPASSWORD, valueFrom: {secretKeyRef: {name: postgres, key: password}}", "PGPASSWORD, value: x", "secret in clear"),
    ("kuberay/redis.yaml", "kind: Service", "kind: Secret\nstringData: {password: letmein}", "secret in clear"),
    ("kuberay/raycluster.yaml", "redisPassword: {valueFrom: {secretKeyRef: {name: redis, key: password}}}", "redisPassword: letmein", "secret in clear"),
    ("runtime_env.yaml", "PYTHONPATH:", "MLFLOW_TRACKING_PASSWORD: letmein\n  PYTHONPATH:", "secret in clear"),
    ("mlflow_auth.ini", "[mlflow]", "[mlflow]\nadmin_password = letmein", "secret in clear"),
    ("Dockerfile", "USER 1000:1000", "ENV MLFLOW_TRACKING_PASSWORD=letmein\nUSER 1000:1000", "secret in clear"),
    ("compose.yaml", "mem_limit: 2gb", "", "no limit"),
    ("kuberay/postgres.yaml", 'limits: {cpu: "2", memory: 2Gi}', 'limits: {cpu: "2"}', "no limit"),
    ("kuberay/rayjob.yaml", 'limits: {cpu: "1", memory: 1Gi}', "limits: {}", "no limit"),
    ("aws.yaml", "idle_timeout_minutes: 10", "", "no limit"),
    ("aws.yaml", "RAY_AUTH_MODE=token ", "", "no authentication"),
    ("gcp.yaml", "RAY_AUTH_MODE=token ", "RAY_AUTH_MODE=disabled ", "no authentication"),
    ("sky.yaml", "RAY_AUTH_MODE: token, ", "", "no authentication"),
    ("compose.yaml", "RAY_AUTH_MODE: token", "RAY_AUTH_MODE: disabled", "no authentication"),
    ("compose.yaml", "RAY_AUTH_MODE: token", "OTHER: x", "no authentication"),
    ("compose.yaml", "--app-name=basic-auth ", "", "no authentication"),
    ("kuberay/raycluster.yaml", "mode: token, ", "", "no authentication"),
    ("kuberay/rayjob.yaml", "mode: token, ", "mode: disabled, ", "no authentication"),
    ("kuberay/mlflow.yaml", "            - --app-name=basic-auth\n", "", "no authentication"),
    ("kuberay/mlflow.yaml", "NO_PERMISSIONS", "READ", "no authentication"),
    ("mlflow_auth.ini", "NO_PERMISSIONS", "EDIT", "no authentication"),
    ("aws.yaml", "sg-0123456789abcdef0", "", "unfilled"),
    ("aws_base.yaml", '"198.51.100.7/32"', "", "unfilled"),
    ("kuberay/mlflow.yaml", "a-bucket", "${BUCKET}", "unfilled"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "before", "after", "rule"), SEEDED)
def test_the_policy_catches_what_is_seeded(name: str, before: str, after: str, rule: str) -> None:
    clean = rendered(name)
    text = clean.text.replace(before, after)
    assert text != clean.text, f"{before!r} does not stand in {name}"

    found = violations(ClusterFile(name, text), rendered=True)

    assert rule in {one.rule for one in found}, found


def test_every_rule_is_proven_by_a_seed() -> None:
    assert {rule for *_, rule in SEEDED} == {*RULES, "unfilled"}


def test_secrets_that_are_found_are_not_repeated() -> None:
    text = rendered("sky.yaml").text.replace("https://mlflow", "https://me:letmein@mlflow")

    assert "letmein" not in str([str(one) for one in violations(ClusterFile("sky.yaml", text), rendered=True)])


def test_unfilled_placeholders_are_refused_by_name() -> None:
    with pytest.raises(InputError, match=r"SSH_CIDR have no value"):
        render(source("aws_base.yaml").text, VALUES | {"SSH_CIDR": ""})
    with pytest.raises(InputError, match=r"AWS_VPC, SSH_CIDR have no value"):
        render(source("aws_base.yaml").text, {k: v for k, v in VALUES.items() if k not in ("AWS_VPC", "SSH_CIDR")})


def test_every_value_of_the_samples_is_asked_for_by_some_file() -> None:
    assert set(VALUES) == set().union(*(placeholders(source(name).text) for name in FILES))


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("compose.yaml", "runtime_env.yaml")])
def test_envsubst_fills_files_in_as_render_does(name: str) -> None:
    """With the names that it is told: `$RAY_HEAD_IP` and the like are filled in on the machines."""
    envsubst = shutil.which("envsubst")
    if envsubst is None:
        pytest.skip("envsubst (gettext) is not installed")
    text = source(name).text
    names = " ".join(f"${{{one}}}" for one in sorted(placeholders(text)))

    done = subprocess.run([envsubst, names], input=text, env=VALUES, capture_output=True, text=True, check=True)

    assert done.stdout == rendered(name).text


def test_a_variable_that_envsubst_did_not_know_is_noticed() -> None:
    text = render(source("aws.yaml").text, VALUES | {"AWS_SECURITY_GROUP": "left out"}).replace("left out", "")

    assert [one.rule for one in violations(ClusterFile("aws.yaml", text), rendered=True)] == ["unfilled"] * 3


def test_a_file_that_is_no_yaml_is_said_to_be_none() -> None:
    with pytest.raises(InputError, match=r"broken\.yaml is not YAML"):
        violations(ClusterFile("broken.yaml", "a: [b"), rendered=True)
