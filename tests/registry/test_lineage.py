"""Where a model comes from, by every name it has, and the grids of its run."""

from pathlib import Path

import pytest
from PIL import Image

from dcgan_dist.errors import InputError
from dcgan_dist.registry.lineage import find_lineage, sample_grids
from dcgan_dist.tracking.runs import TrackedRun


@pytest.fixture
def run(database: str) -> TrackedRun:
    return TrackedRun.create(database, "lineage", "a run", {}, {})


def test_a_model_named_by_its_own_id_leads_to_its_run(run: TrackedRun) -> None:
    logged = run.client.create_logged_model(run.experiment_id, name="generator", source_run_id=run.run_id)

    for uri in (f"models:/{logged.model_id}", f"runs:/{run.run_id}/generator"):
        assert find_lineage(uri, run.tracking_uri).run_id == run.run_id


def test_what_names_no_model_has_no_lineage(run: TrackedRun) -> None:
    for uri, said in (
        ("models:/nowhere/latest", "no model is registered as 'nowhere'"),
        ("models:/nowhere@candidate", "no model is registered as 'nowhere'"),
        ("models:/m-" + "0" * 32, "is not in the registry"),
        ("models:/", "names no model"),
    ):
        with pytest.raises(InputError, match=said):
            find_lineage(uri, run.tracking_uri)


def test_a_run_that_saw_no_image_has_no_grid_at_an_epoch(run: TrackedRun, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "000000000000.png")
    run.log_artifact(tmp_path / "000000000000.png", "grids")
    run.log_metrics({"progress/epoch": 0.0}, 0)

    assert sample_grids(run.run_id, run.tracking_uri, (1, 5)) == []
