"""The files of cluster/, and values such as a user would fill into their placeholders."""

from collections.abc import Mapping
from pathlib import Path

from dcgan_dist.doctor.cluster_files import PLACEHOLDER, ClusterFile, placeholders
from dcgan_dist.errors import InputError

CLUSTER = Path(__file__).parents[2] / "cluster"
FILES = sorted(
    str(path.relative_to(CLUSTER))
    for path in CLUSTER.rglob("*")
    if path.is_file() and "secrets" not in path.parts and ".rendered." not in path.name
)
DIGEST = "sha256:" + "0123456789abcdef" * 4
VALUES = {
    "AWS_ACCOUNT": "123456789012",
    "AWS_HEAD_PROFILE_ARN": "arn:aws:iam::123456789012:instance-profile/head",
    "AWS_IMAGE_ID": "ami-0123456789abcdef0",
    "AWS_REGION": "eu-central-1",
    "AWS_SECURITY_GROUP": "sg-0123456789abcdef0",
    "AWS_SUBNET_A": "subnet-0123456789abcdef0",
    "AWS_SUBNET_B": "subnet-0123456789abcdef1",
    "AWS_VPC": "vpc-0123456789abcdef0",
    "AWS_WORKER_PROFILE_ARN": "arn:aws:iam::123456789012:instance-profile/worker",
    "AWS_ZONES": "eu-central-1a,eu-central-1b",
    "BUCKET": "a-bucket",
    "CUDA_IMAGE": f"nvidia/cuda:13.0.0-runtime-ubuntu24.04@{DIGEST}",
    "DCGAN_IMAGE": f"registry.example.org/dcgan_dist:0.1.0@{DIGEST}",
    "GCP_HEAD_ACCOUNT": "head@a-project.iam.gserviceaccount.com",
    "GCP_IMAGE": "projects/deeplearning-platform-release/global/images/an-image-v20260101",
    "GCP_PROJECT": "a-project",
    "GCP_REGION": "europe-west4",
    "GCP_SUBNETWORK": "projects/a-project/regions/europe-west4/subnetworks/dcgan",
    "GCP_WORKER_ACCOUNT": "worker@a-project.iam.gserviceaccount.com",
    "GCP_ZONES": "europe-west4-a,europe-west4-b",
    "KUBERAY_NAMESPACE": "ray-system",
    "KUBERNETES_API_CIDR": "10.0.0.1/32",
    "MLFLOW_URI": "https://mlflow.example.org",
    "OBJECT_STORE_IMAGE": f"chrislusf/seaweedfs:3.99@{DIGEST}",
    "POSTGRES_IMAGE": f"postgres:17.6@{DIGEST}",
    "REDIS_IMAGE": f"redis:7.4.5@{DIGEST}",
    "SSH_CIDR": "198.51.100.7/32",
}


def render(text: str, values: Mapping[str, str]) -> str:
    """The text with placeholders filled in, as envsubst does it; all names that lack a value are refused."""
    if missing := sorted(name for name in placeholders(text) if not values.get(name)):
        raise InputError(f"{', '.join(missing)} have no value: set them in the environment")
    return PLACEHOLDER.sub(lambda found: values[found[1]], text)


def source(name: str) -> ClusterFile:
    """A file as it lies in the repository."""
    return ClusterFile(name, (CLUSTER / name).read_text())


def rendered(name: str) -> ClusterFile:
    """A file with its placeholders filled in."""
    return ClusterFile(name, render(source(name).text, VALUES))
