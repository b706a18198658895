"""Smiles and poses: on drawn faces, where the truth is known, and on real ones."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from dcgan_dist.errors import InputError
from dcgan_dist.explore.grey_faces import Frame, at_resolution, cut, edge_histograms, find_frame, to_grey
from dcgan_dist.explore.job import proportion
from dcgan_dist.explore.pose import fit_pose
from dcgan_dist.explore.smiles import read_labelled, train_pair

Faces = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Grey images, whether each smiles, and how far each is turned."""


def drawn_face(smile: float, turn: float, rng: np.random.Generator, side: int = 64) -> np.ndarray:
    """A grey face with its mouth bent by smile and all features moved to the left by turn, in [-1, 1] each."""
    scale = 4
    canvas = np.full((side * scale, side * scale), 90, np.uint8)
    unit = side * scale

    def at(x: float, y: float) -> tuple[int, int]:
        return round(x * unit), round(y * unit)

    cv2.ellipse(canvas, at(0.5 + 0.06 * turn, 0.5), at(0.36, 0.46), 0, 0, 360, 190, -1)
    shift = -0.06 * turn
    for eye in (0.35, 0.65):
        cv2.circle(canvas, at(eye, 0.38), round(0.045 * unit), 40, -1)
    cv2.line(canvas, at(0.5, 0.42), at(0.5 + 1.5 * shift, 0.6), 130, round(0.03 * unit))
    x = np.linspace(-0.15, 0.15, 30)
    y = 0.75 + 0.06 * smile * (1 - (x / 0.15) ** 2) - 0.03 * smile
    points = np.array([at(0.5 + 1.2 * shift + a, b) for a, b in zip(x, y, strict=True)], np.int32)
    cv2.polylines(canvas, [points], False, 60, round(0.03 * unit))
    small = cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    return np.clip(small + rng.normal(0, 6, small.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def faces() -> Faces:
    rng = np.random.default_rng(0)
    smiles, turns = rng.choice([-1.0, 1.0], 300), rng.uniform(-1, 1, 300)
    return np.stack([drawn_face(s, t, rng) for s, t in zip(smiles, turns, strict=True)]), smiles > 0, turns


def as_images(grey: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(grey)[:, None].expand(-1, 3, -1, -1)


def test_a_frame_is_found_where_the_faces_were_put(faces: Faces) -> None:
    mean = faces[0].mean(0)
    around = np.full((64, 64), 120, np.float32)
    around[20:50, 12:42] = cv2.resize(mean.astype(np.float32), (30, 30), interpolation=cv2.INTER_AREA)

    frame = find_frame(mean, around)

    assert frame[:3] == (12, 20, 30)
    assert frame.correlation > 0.99
    assert cut(around.astype(np.uint8)[None], frame).shape == (1, 64, 64)


def test_smiles_are_told_apart_also_where_the_face_is_a_small_part_of_the_image(faces: Faces) -> None:
    grey, smiling, _ = faces
    images = np.full((300, 64, 64), 120, np.uint8)
    images[:, 20:56, 12:48] = np.stack([cv2.resize(f, (36, 36), interpolation=cv2.INTER_AREA) for f in grey])

    proposer, judge = train_pair(grey, smiling, images.mean(0), seed=0)

    assert proposer.accuracy > 0.95
    assert judge.accuracy > 0.95
    assert proposer.tested_on + judge.tested_on == 300
    assert not np.array_equal(proposer.model.coef_, judge.model.coef_)
    right = (judge.scores(as_images(images)) > 0) == smiling
    assert right.mean() > 0.95
    assert judge.rate(as_images(images[smiling]))[1] == smiling.sum()


def test_the_turn_of_drawn_faces_is_found_without_labels_and_changes_its_sign_in_the_mirror(faces: Faces) -> None:
    grey, _, turns = faces

    pose = fit_pose(as_images(grey))

    scores = pose.scores(as_images(grey))
    assert abs(np.corrcoef(scores, turns)[0, 1]) > 0.9
    np.testing.assert_allclose(pose.scores(as_images(grey).flip(3)), -scores, rtol=1e-4, atol=1e-4)


def test_too_few_faces_have_no_pose_axis() -> None:
    with pytest.raises(ValueError, match="at least 50"):
        fit_pose(torch.zeros(10, 3, 64, 64))


def test_grey_is_luma_and_lower_resolution_is_softer(faces: Faces) -> None:
    red = torch.tensor([1.0, -1.0, -1.0])[None, :, None, None].expand(1, 3, 8, 8)

    assert to_grey(red)[0, 0, 0] == round(0.299 * 255)
    assert to_grey(torch.full((1, 1, 8, 8), 77, dtype=torch.uint8))[0, 0, 0] == 77
    soft = at_resolution(faces[0][:20], 24)
    assert np.abs(np.diff(soft.astype(float))).mean() < np.abs(np.diff(faces[0][:20].astype(float))).mean()
    assert edge_histograms(faces[0][:2]).shape == (2, 1764)
    assert cut(faces[0][:2], Frame(0, 0, 64, 1.0)).shape == (2, 64, 64)


def test_proportions_have_wilson_s_interval() -> None:
    # Published example: 81 of 263 is 0.2553 to 0.3662 (Newcombe, Statistics in Medicine 17, 1998).
    figures = proportion(81, 263)

    assert (round(figures["low"], 4), round(figures["high"], 4)) == (0.2553, 0.3662)
    assert proportion(0, 10)["low"] == 0
    assert proportion(10, 10)["high"] == 1


def test_smiles_of_real_faces_are_told_apart(real_data: Path) -> None:
    grey, labels = read_labelled(str(real_data / "faces" / "smiles_lfw_gray64.tar"), "smile", "neutral")

    proposer, judge = train_pair(grey, labels, grey.mean(0), seed=0)

    assert proposer.frame[:3] == (0, 0, 64)
    assert min(proposer.accuracy, judge.accuracy) > 0.83


def test_a_face_has_the_label_of_the_folder_that_it_lies_in_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    for kind in ("smile", "neutral"):
        (tmp_path / "smile" / kind).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "smile" / kind / "1.png"), np.full((64, 64), 100, np.uint8))

    assert sorted(read_labelled(str(tmp_path), "smile", "neutral")[1].tolist()) == [False, True]
    (tmp_path / "smile" / "neutral" / "2.png").write_bytes(b"torn")
    with pytest.raises(InputError, match=r"`labelled` .*2\.png cannot be read"):
        read_labelled(str(tmp_path), "smile", "neutral")
