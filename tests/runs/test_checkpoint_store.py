"""Checkpoints in the storage: which are kept, which is taken, and what a storage that refuses leaves behind."""

from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcgan_dist.config import replace
from dcgan_dist.presets import preset
from dcgan_dist.runs import checkpoint_store
from dcgan_dist.runs.checkpoint_store import CheckpointStore, StoredCheckpoint, expired
from dcgan_dist.runs.rank_precision import recorded_precision
from dcgan_dist.storage.filesystems import with_retries
from dcgan_dist.storage.run_folder import RunFolder
from dcgan_dist.training.players import build_players
from dcgan_dist.training.whole_checkpoint import Progress, State

CONFIG = replace(
    replace(replace(preset("demo32"), "model.generator_width", 8), "model.discriminator_width", 8),
    "keep_checkpoints",
    2,
)


@pytest.fixture(scope="module")
def state() -> State:
    return build_players(CONFIG).state()


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(RunFolder(str(tmp_path / "storage"), "run"))


def write(
    store: CheckpointStore, state: State, images_seen: int, tmp_path: Path, frechet: float | None = None
) -> StoredCheckpoint:
    return store.write(CONFIG, Progress(images_seen=images_seen, frechet=frechet), state, [], tmp_path)


kept_lists = st.lists(
    st.builds(
        lambda seen, frechet: StoredCheckpoint(
            path=f"/s/checkpoint_{seen:012}-abcdef", images_seen=seen, frechet=frechet
        ),
        st.integers(1, 1000),
        st.none() | st.floats(0, 100),
    ),
    unique_by=lambda one: one.images_seen,
    min_size=1,
    max_size=20,
)


@given(kept_lists, st.integers(1, 5), st.sampled_from([0, 100, 300]), st.integers(1, 100))
def test_the_newest_the_best_one_of_every_stretch_and_that_of_a_rollback_stay(
    kept: list[StoredCheckpoint], newest: int, every: int, interval: int
) -> None:
    def scheduled(images_seen: int) -> bool:
        return images_seen % interval == 0

    gone = expired(kept, newest=newest, every_images=every, scheduled=scheduled)
    stay = [one for one in kept if one not in gone]

    seen, left = ({one.images_seen for one in some if scheduled(one.images_seen)} for some in (kept, stay))
    assert max(seen, default=0) == max(left, default=0)

    assert set(sorted(kept, key=lambda one: one.images_seen)[-newest:]) <= set(stay)
    measured = [one.frechet for one in kept if one.frechet is not None]
    if measured:
        assert min(measured) in [one.frechet for one in stay]
    if every:
        stretches = {one.images_seen // every for one in kept} - {0}
        assert stretches <= {one.images_seen // every for one in stay}
    again = expired(stay, newest=newest, every_images=every, scheduled=scheduled)
    assert again == [], "keeping twice removes nothing more"


def test_a_run_that_went_back_keeps_nothing_of_the_way_it_left(
    store: CheckpointStore, state: State, tmp_path: Path
) -> None:
    for images_seen in (10, 20, 30):
        write(store, state, images_seen, tmp_path)

    store.remove_after(20)

    assert [Path(path).name[:23] for path in store.paths()] == ["checkpoint_000000000020", "checkpoint_000000000010"]


def test_tidying_leaves_the_newest_two_and_the_best(store: CheckpointStore, state: State, tmp_path: Path) -> None:
    for images_seen, frechet in ((10, 3.0), (20, 1.0), (30, 2.0), (40, 2.5), (50, 2.2)):
        write(store, state, images_seen, tmp_path, frechet)

    left = store.tidy(CONFIG)

    assert sorted(one.images_seen for one in left) == [20, 40, 50]
    assert len(store.paths()) == 3
    best = store.best()
    assert best is not None
    assert best.images_seen == 20


def test_damage_means_the_one_before_said_aloud_and_is_removed_later(
    store: CheckpointStore, state: State, tmp_path: Path
) -> None:
    first, second = write(store, state, 10, tmp_path), write(store, state, 20, tmp_path)
    (Path(second.path) / "generator.pt").unlink()
    said: list[str] = []

    taken = store.newest_whole(on_damage=lambda path, wrong: said.append(wrong))
    third = write(store, state, 20, tmp_path)
    store.tidy(CONFIG)

    assert taken == first.path
    assert said == ["generator.pt is missing"]
    assert set(store.paths()) == {first.path, third.path}


def test_drafts_of_killed_writers_are_removed(store: CheckpointStore, state: State, tmp_path: Path) -> None:
    whole = write(store, state, 10, tmp_path)
    for name in ("checkpoint_000000000020-abcdef.tmp", "checkpoint_000000000020-abcdef"):
        (Path(store.folder.path) / name).mkdir()

    store.remove_drafts()

    assert [str(path) for path in Path(store.folder.path).iterdir()] == [whole.path]


def test_a_full_storage_keeps_the_checkpoints_it_has(
    store: CheckpointStore, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write(store, state, 10, tmp_path)
    monkeypatch.setitem(cast(dict, with_retries.__kwdefaults__), "patience_minutes", 0.0)
    (Path(store.folder.path) / "in the way").write_text("")
    full = CheckpointStore(RunFolder(f"{store.folder.path}/in the way", "run"))

    with pytest.raises(OSError):
        write(full, state, 20, tmp_path)

    assert store.newest_whole() == whole.path


@pytest.mark.parametrize("content", ['{"checkpoint_results": [{"chec', "{}", None])
def test_rays_own_list_is_removed_and_a_torn_one_named(store: CheckpointStore, content: str | None) -> None:
    store.folder.write_json("run.json", {})
    path = Path(store.folder.path) / checkpoint_store.LIST_OF_RAY
    if content is not None:
        path.write_text(content)

    torn = store.remove_list_of_ray()

    assert (torn is not None) == (content is not None and content != "{}")
    assert not path.exists()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_newest_whole_checkpoint_tells_in_what_precision_a_run_without_its_record_was_computed(
    store: CheckpointStore, state: State, tmp_path: Path, precision: str
) -> None:
    assert store.config_of_newest() is None
    store.write(replace(CONFIG, "engine.precision", precision), Progress(images_seen=64), state, [], tmp_path)
    torn = Path(write(store, state, 128, tmp_path).path)
    max(torn.iterdir(), key=lambda file: file.stat().st_size).write_bytes(b"torn")

    config = store.config_of_newest()

    assert config is not None
    assert recorded_precision(config) == precision
