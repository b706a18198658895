"""What a run costs, against sums done by hand, and the probe on a real Ray."""

import datetime
import re
from pathlib import Path

import pytest
import torch

from dcgan_dist.cli.prices import Price, find_price, known_prices, money_line
from dcgan_dist.config import replace
from dcgan_dist.errors import InputError
from dcgan_dist.presets import preset
from dcgan_dist.runs.estimate import cache_bytes, outlook
from dcgan_dist.runs.job import parse_training
from dcgan_dist.runs.plan import plan_run
from dcgan_dist.runs.probe import one_rank, probe_rank, ranks_on_node
from tests.helpers.jobs import draw_rooms, load_job


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 drawn rooms of 32 px."""
    return draw_rooms(tmp_path_factory.mktemp("cost") / "rooms", 96)


def flags(shards: Path, storage: Path, *more: str) -> list[str]:
    return ["--preset", "demo32", "--shards", str(shards), "--storage", str(storage), "--data.batch-size", "16", *more]


def test_every_known_price_has_its_day_and_its_source() -> None:
    for name, price in known_prices().items():
        assert price.usd_per_hour > 0, name
        assert price.gpus >= 1, name
        assert isinstance(price.read, datetime.date), name
        assert price.read <= datetime.date.today(), name
        assert price.source, name
        assert price.kind in ("on demand", "spot"), name


@pytest.mark.parametrize(("gpus", "hours", "dollars"), [(1, 2.0, 20.0), (4, 2.0, 20.0), (5, 2.0, 40.0), (8, 0.5, 10.0)])
def test_machines_are_paid_whole(gpus: int, hours: float, dollars: float) -> None:
    assert Price(gpus=4, usd_per_hour=10.0).money(gpus, hours) == pytest.approx(dollars)


def test_a_price_of_the_user_s_own_is_per_gpu_and_hour() -> None:
    assert "about 30.00 US dollars at 2.5 per GPU hour, as given" in money_line("2.5", gpus=4, gpu_hours=12.0)


def test_no_price_is_made_up() -> None:
    assert "no price named" in money_line("", gpus=4, gpu_hours=12.0)
    assert "no price known for CPUs" in money_line("2.5", gpus=0, gpu_hours=0.0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("aws/p5.48xlarg", "did you mean 'aws/p5.48xlarge'"),
        ("-1", "positive"),
        ("nan", "positive"),
        ("inf", "positive"),
    ],
)
def test_what_is_no_price_is_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        find_price(name)


def test_speed_becomes_hours_and_money(shards: Path, tmp_path: Path) -> None:
    more = ("--use-gpu", "--num-workers", "2", "--images", "3600", "--price", "1.5", "--quality.samples", "0")
    plan = plan_run(parse_training(flags(shards, tmp_path, *more), default_preset="demo32", description=""))

    lines = outlook(plan, images_per_second=0.5)

    assert plan.images == 3600
    epoch = plan.shard_plan.steps_per_epoch * 16 / 0.5
    assert lines[0] == "speed: about 0 images/s on 2 ranks"
    assert f"about 0:{epoch // 60:02.0f}:{epoch % 60:02.0f} per epoch, 2:00:00 in all" in lines[1]
    assert lines[2] == "GPU hours: 4.00"  # 2 GPUs for 2 hours
    assert "about 6.00 US dollars" in lines[3]


def test_caches_are_bounded_for_each_process_that_reads() -> None:
    config = replace(replace(preset("lsun64"), "num_workers", "4"), "data.loader_workers", 2)

    assert cache_bytes(config, "/shared/lsun", [1000]) == 0
    assert cache_bytes(config, "s3://bucket/lsun", [1000, 500]) == 8 * 1500
    assert cache_bytes(config, "s3://bucket/lsun", [1 << 40]) == 8 * (8 << 30)


def test_the_probe_has_the_rows_of_the_largest_rank() -> None:
    config = replace(replace(preset("lsun64"), "data.batch_size", 100), "num_workers", "3")

    assert (one_rank(config).data.batch_size, one_rank(config).workers) == (34, (1, 1))


def test_cores_are_shared_only_on_nodes_that_can_hold_a_rank() -> None:
    head = {"Alive": True, "Resources": {"memory": 8e9}}  # leads, and never works
    small = {"Alive": True, "Resources": {"CPU": 4.0}}
    large = {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 1.0}}
    lost = {"Alive": False, "Resources": {"CPU": 8.0, "GPU": 1.0}}

    assert ranks_on_node(4, {"CPU": 1.0, "GPU": 1.0}, [head, small, large, large, lost]) == 2
    assert ranks_on_node(4, {"CPU": 1.0}, [head, small, large, lost]) == 2
    assert ranks_on_node(5, {"CPU": 1.0}, [large, large]) == 3
    assert ranks_on_node(4, {"CPU": 1.0}, [head]) == 4  # it left since


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU")
def test_a_probe_of_a_gpu_that_torch_does_not_see_is_refused(shards: Path, tmp_path: Path) -> None:
    """As on a node that Ray was told has a GPU; a speed of its CPU would be taken for the GPU's."""
    config = parse_training(flags(shards, tmp_path, "--use-gpu"), default_preset="demo32", description="")

    with pytest.raises(InputError, match="`use_gpu`, but torch sees no GPU on the node of the probe"):
        probe_rank(plan_run(one_rank(config)), 1)


def test_a_plan_says_what_it_starts_measures_it_and_writes_nothing(
    ray_cluster: str, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert load_job("train_lsun")(flags(shards, tmp_path / "runs", "--num-workers", "2", "--plan")) == 0

    shown = capsys.readouterr().out
    assert shown.index("starting: 20 steps of one rank on 1 CPU") < shown.index("probe:")
    milliseconds = re.search(r"probe: ([\d.]+) ms per step of 8 images on one rank \(CPU\)", shown)
    assert milliseconds
    speed = re.search(r"speed: about ([\d,]+) images/s on 2 ranks", shown[shown.index("probe:") :])
    assert speed
    assert float(speed[1].replace(",", "")) == pytest.approx(16 / float(milliseconds[1]) * 1e3, rel=0.05)
    assert "no price known for CPUs" in shown
    assert shown.rstrip().endswith("nothing was written")
    assert not list(tmp_path.iterdir())


def test_a_dry_run_tells_gpu_hours_money_and_bytes(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("--use-gpu", "--num-workers", "4", "--epochs", "100000000", "--price", "gcp/a3-highgpu-1g", "--dry-run")
    assert load_job("train_lsun")(flags(shards, tmp_path / "runs", *more)) == 0

    shown = capsys.readouterr().out
    hours = float(re.search(r"GPU hours: ([\d.,]+)", shown)[1].replace(",", ""))  # pyright: ignore[reportOptionalSubscript]
    money = float(re.search(r"money: about ([\d.,]+)", shown)[1].replace(",", ""))  # pyright: ignore[reportOptionalSubscript]
    assert money == pytest.approx(hours * 10.9791, abs=0.15)
    assert money > 1
    for text in ("MiB each", "cache: at most", "as of 2026-09-26"):
        assert text in shown
    assert not list(tmp_path.iterdir())


def test_a_search_tells_them_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search = load_job("search_svhn")
    base = ["--data", "digits", "--storage", str(tmp_path / "runs"), "--dry-run"]

    assert search([*base, "--gpus-per-trial", "0.25", "--price", "3600000"]) == 0

    shown = capsys.readouterr().out
    assert re.search(
        r"GPU hours: at most [\d.,]+; money: about [1-9][\d.,]* US dollars at 3.6e\+06 per GPU hour", shown
    )
    assert search(base) == 0
    assert "no price known for CPUs" in capsys.readouterr().out
    with pytest.raises(InputError, match="neither a number nor a known row"):
        search([*base, "--price", "cheap"])
