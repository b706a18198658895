"""A run worked out: steps, name, and what may change between two starts."""

import dataclasses
import json
from pathlib import Path

import pytest

from dcgan_dist.config import TrainConfig, flatten, from_dict, replace
from dcgan_dist.errors import InputError
from dcgan_dist.files import content_hash
from dcgan_dist.presets import PRESETS, preset
from dcgan_dist.runs.estimate import measurement_line
from dcgan_dist.runs.measurement_plan import MeasurementPlan
from dcgan_dist.runs.plan import (
    FREE_FIELDS,
    RunPlan,
    as_recorded,
    check_same_run,
    plan_run,
    record,
    run_intervals,
)
from tests.helpers.jobs import draw_rooms


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    out = draw_rooms(tmp_path_factory.mktemp("rooms"), 100, "--val-fraction", "0.2", "--shard-samples", "30")
    changed = replace(preset("demo32"), "shards", str(out))
    return replace(replace(changed, "data.batch_size", 16), "storage", "/storage")


@pytest.fixture(scope="module")
def plan(config: TrainConfig) -> RunPlan:
    return plan_run(config)


def test_training_and_held_out_images_are_apart(plan: RunPlan) -> None:
    assert plan.manifest.splits == ("train",)
    assert plan.held_out.splits == ("val",)
    assert plan.manifest.samples + plan.held_out.samples == 100


def test_images_are_rounded_up_to_whole_batches_and_win_over_epochs(config: TrainConfig) -> None:
    assert plan_run(replace(config, "images", 100)).images == 112
    assert plan_run(replace(config, "epochs", 2)).intervals.last == 2 * plan_run(config).shard_plan.steps_per_epoch


def test_epochs_one_and_five_and_the_last_step_are_saved(config: TrainConfig) -> None:
    intervals = run_intervals(replace(config, "epochs", 7), steps_per_epoch=13)

    assert [step for step in (13, 65, 91) if not intervals.saves(step)] == []


def test_name_is_preset_and_hash_and_ignores_what_does_not_change_the_result(
    config: TrainConfig, plan: RunPlan
) -> None:
    other = replace(replace(replace(config, "storage", "/elsewhere"), "num_workers", "2"), "epochs", 99)

    assert plan.name.startswith("demo32-")
    assert len(plan.name) == len("demo32-") + 8
    assert plan_run(other).name == plan.name
    assert plan_run(replace(config, "optimizer_d.lr", 1e-3)).name != plan.name
    assert plan_run(replace(config, "run_name", "mine")).name == "mine"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("seed", 1),
        ("optimizer_g.beta1", 0.9),
        ("data.window", 7),
        ("norm_group", "synchronised"),
        ("model.latent_dim", 9),
    ],
)
def test_any_field_that_matters_is_named_when_it_changed(
    config: TrainConfig, plan: RunPlan, field: str, value: object
) -> None:
    changed = plan_run(replace(replace(config, field, value), "run_name", plan.name))

    with pytest.raises(InputError, match=field):
        check_same_run(changed, record(plan))


def test_free_fields_exist_and_may_change(config: TrainConfig, plan: RunPlan) -> None:
    assert set(FREE_FIELDS) <= flatten(config).keys()
    check_same_run(plan_run(replace(config, "storage", "/elsewhere")), record(plan))


def test_a_field_that_a_record_does_not_know_was_at_its_default(config: TrainConfig, plan: RunPlan) -> None:
    old = json.loads(json.dumps(record(plan)))
    del old["identity"]["engine.joint_batch"], old["config"]["engine"]["joint_batch"]

    check_same_run(plan, old)
    with pytest.raises(InputError, match=r"engine\.joint_batch was False and is now True"):
        check_same_run(plan_run(replace(replace(config, "engine.joint_batch", True), "run_name", plan.name)), old)


def test_a_name_tells_what_differs_from_the_preset_and_nothing_else(config: TrainConfig, plan: RunPlan) -> None:
    usual = {name for name, value in flatten(PRESETS[config.preset]).items() if flatten(config)[name] == value}
    unusual = {name: value for name, value in plan.identity.items() if name not in usual}

    assert plan.name == f"{config.preset}-{content_hash(unusual)[:8]}"
    assert plan_run(replace(config, "engine.joint_batch", True)).name != plan.name


def test_other_shards_under_the_same_name_are_refused(
    ray_cluster: str, config: TrainConfig, plan: RunPlan, tmp_path: Path
) -> None:
    shards = draw_rooms(tmp_path, 90)
    other = plan_run(replace(replace(config, "shards", str(shards)), "run_name", plan.name))

    with pytest.raises(InputError, match="manifest hash"):
        check_same_run(other, record(plan))


def test_every_preset_survives_a_round_trip_through_json() -> None:
    for config in PRESETS.values():
        assert from_dict(TrainConfig, json.loads(json.dumps(dataclasses.asdict(config)))) == config


def test_a_run_that_is_made_longer_is_measured_as_before(config: TrainConfig) -> None:
    first, longer = (plan_run(replace(config, "images", images)) for images in (640, 10**6))
    recorded = json.loads(json.dumps(record(first)))

    assert longer.measurements != first.measurements
    assert as_recorded(longer, recorded).measurements == first.measurements
    assert "quality.share" in measurement_line(first)
    for field in ("samples", "held_out", "every"):
        with pytest.raises(InputError, match="MeasurementPlan"):
            as_recorded(first, {"measurements": recorded["measurements"] | {field: -1}})
    # Versions without a bound recorded nothing, and measured every checkpoint in full.
    del recorded["measurements"]
    assert as_recorded(first, recorded).measurements == MeasurementPlan(samples=1000, held_out=23)


def test_a_run_computes_as_it_was_begun_wherever_it_goes_on(plan: RunPlan) -> None:
    begun = dataclasses.replace(plan, precision="bfloat16")
    recorded = json.loads(json.dumps(record(begun)))

    assert as_recorded(plan, recorded).rank_config.engine.precision == "bfloat16"
    assert (begun.name, begun.identity) == (plan.name, plan.identity)  # the machine changes no name
    del recorded["precision"]  # of a version that decided nothing
    assert as_recorded(plan, recorded).precision == "float32"  # which was that of CPUs
    of_gpu = recorded | {"config": recorded["config"] | {"use_gpu": True}}
    assert as_recorded(plan, of_gpu).precision == "bfloat16"
    with pytest.raises(InputError, match="computed in 'int8', which is unknown"):
        as_recorded(plan, recorded | {"precision": "int8"})
