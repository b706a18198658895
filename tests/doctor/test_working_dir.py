"""What `ray job submit --working-dir . --runtime-env cluster/runtime_env.yaml` would send, by Ray's own packing."""

import subprocess
import zipfile
from pathlib import Path

import yaml
from ray._private.runtime_env.packaging import create_package
from ray._private.runtime_env.working_dir import upload_working_dir_if_needed

MOST_BYTES = 20 << 20


def test_the_code_is_sent_and_repository_data_environment_and_secrets_stay_at_home(
    repository: Path, tmp_path: Path
) -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=repository, capture_output=True, text=True, check=True)
    folder = tmp_path / "checkout"
    for name in filter(None, tracked.stdout.split("\0")):
        if (repository / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((repository / name).read_bytes())
    stays = (
        "shards/a.tar",
        "runs/r/checkpoint",
        "demo/x",
        ".venv/lib/x.py",
        ".git/config",
        "cluster/secrets/ray_token",
    )
    for name in (*stays, "data/part.tar", "aws.rendered.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("must not travel")
    excludes = yaml.safe_load((folder / "cluster" / "runtime_env.yaml").read_text())["excludes"]
    package = tmp_path / "package.zip"

    def pack(path: str, excludes: list[str] | None, is_file: bool = False) -> None:
        create_package(path, package, include_gitignore=True, excludes=excludes or [])

    upload_working_dir_if_needed(
        {"working_dir": str(folder), "excludes": excludes},
        include_gitignore=True,
        scratch_dir=str(tmp_path),
        upload_fn=pack,  # pyright: ignore[reportArgumentType]  # Ray's default of None makes its type None
    )

    with zipfile.ZipFile(package) as sent:
        names = {name.partition("/")[2] or name for name in sent.namelist()} | set(sent.namelist())
        assert not [
            name for name in sent.namelist() if not name.endswith("/") and sent.read(name) == b"must not travel"
        ]
    code = {name for name in tracked.stdout.split("\0") if name.startswith(("jobs/", "dcgan_dist/"))}
    assert code - {"dcgan_dist/jobs"} <= names  # a link, of which the files that it leads to are sent
    assert package.stat().st_size < MOST_BYTES
