"""Finding and leaving out maps, and the detector that tells whether it worked, on things that are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from dcgan_dist.explore.boxes import Box
from dcgan_dist.explore.drawing import activations, draw
from dcgan_dist.explore.map_removal import fit_map_weights, hidden_convolutions, random_maps, without_maps
from dcgan_dist.explore.window_detector import Detector, measure_detector, overlap, train_detector
from dcgan_dist.models.generator import Generator
from dcgan_dist.models.latents import draw_latents, seeded
from dcgan_dist.prepare.sources.room_drawing import draw_room
from dcgan_dist.presets import preset


def test_layers_that_can_be_edited_have_the_shapes_of_the_paper() -> None:
    layers = hidden_convolutions(Generator(preset("lsun64").model))

    assert layers == {"convolution0": (512, 8), "convolution1": (256, 16), "convolution2": (128, 32)}
    config = preset("imagenet32").model
    outputs = Generator(config).layer_outputs(draw_latents(config, 2, seeded(0)))
    for name, (maps, side) in hidden_convolutions(Generator(config)).items():
        assert outputs[name].shape[1:] == (maps, side, side)


def test_dropping_no_map_changes_nothing_and_dropping_all_removes_the_layer_s_influence(generator: Generator) -> None:
    z = draw_latents(generator.config, 6, seeded(1))
    plain = draw(generator, z)

    for layer, (maps, _) in hidden_convolutions(generator).items():
        none, every = np.zeros(maps, bool), np.ones(maps, bool)
        assert torch.equal(draw(generator, z, edit=without_maps(layer, none)), plain)
        gone = draw(generator, z, edit=without_maps(layer, every))
        assert torch.equal(gone, gone[:1].expand_as(gone)), "without a layer all images are one"
        assert not torch.equal(gone, plain)


def test_the_maps_that_light_up_inside_boxes_are_found() -> None:
    draws = seeded(2)
    inside = torch.rand(60, 8, 8, generator=draws) < 0.2
    outputs = torch.rand(60, 6, 8, 8, generator=draws)
    outputs[:, 1] += 2 * inside
    outputs[:, 4] += 1 * inside
    outputs[:, 2] += 2 * ~inside

    fitted = fit_map_weights(outputs, inside, "convolution0", seed=0, inverse_regularisation=1.0)

    assert fitted.drop[[1, 4]].all()
    assert not fitted.drop[2]
    assert fitted.weights.argmax() == 1
    assert fitted.accuracy > 0.99
    # 12 of 60 images are held out, with as many places outside as inside.
    assert fitted.held_out_places == pytest.approx(12 * 64 * 0.2 * 2, rel=0.2)


def test_maps_that_know_nothing_have_an_accuracy_of_one_half() -> None:
    draws = seeded(3)
    inside = torch.rand(80, 8, 8, generator=draws) < 0.3

    fitted = fit_map_weights(torch.rand(80, 4, 8, 8, generator=draws), inside, "convolution0", seed=0)

    assert 0.42 < fitted.accuracy < 0.58


def test_too_few_images_with_boxes_are_refused() -> None:
    inside = torch.zeros(20, 4, 4, dtype=torch.bool)
    inside[:4, 0, 0] = True

    with pytest.raises(ValueError, match="4 images have places inside"):
        fit_map_weights(torch.rand(20, 3, 4, 4), inside, "convolution0", seed=0)


def test_the_control_drops_as_many_maps() -> None:
    drop = np.arange(64) < 20

    control = random_maps(drop, seed=1)

    assert control.sum() == 20
    assert not np.array_equal(control, drop)


def test_activations_are_those_of_the_layer(generator: Generator) -> None:
    z = draw_latents(generator.config, 70, seeded(4))

    got = activations(generator, z, "convolution1")

    with torch.no_grad():
        torch.testing.assert_close(got, generator.layer_outputs(z)["convolution1"], rtol=1e-4, atol=1e-5)
    assert (got >= 0).all()


@pytest.fixture(scope="module")
def rooms() -> tuple[torch.Tensor, list[Box]]:
    images, boxes = [], []
    for number in range(700):
        image, truth = draw_room(5, number, 32)
        images.append(torch.from_numpy(np.array(image)).permute(2, 0, 1))
        if box := truth.get("window_box"):
            boxes.append(Box(number, *box))
    return torch.stack(images).float() / 127.5 - 1, boxes


def test_a_detector_learns_where_windows_are_from_rooms_in_seconds(rooms: tuple[torch.Tensor, list[Box]]) -> None:
    images, boxes = rooms
    detector = train_detector(images[:500], [box for box in boxes if box.image < 500], steps=200, batch_size=48)
    rest = [replace(box, image=box.image - 500) for box in boxes if box.image >= 500]

    quality = measure_detector(detector, images[500:], rest)

    assert quality["images"] == 200
    assert quality["found_of_those_with"] > 0.75
    assert quality["found_of_those_without"] < 0.2
    assert quality["overlap"] > 0.3
    flat = torch.zeros(10, 3, 32, 32)
    assert detector.rate(flat) == (0, 10)


def test_detectors_of_one_seed_are_equal_and_leave_other_random_state_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()

    detector, other = Detector(seed=3), Detector(seed=3)

    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(detector.parameters(), other.parameters(), strict=True))


def test_overlap_is_intersection_over_union() -> None:
    box = Box(image=0, left=0, top=0, right=0.5, bottom=0.5)

    assert overlap(box, box) == 1
    assert overlap(box, Box(image=0, left=0.25, top=0, right=0.75, bottom=0.5)) == pytest.approx(1 / 3)
    assert overlap(box, Box(image=0, left=0.6, top=0.6, right=0.9, bottom=0.9)) == 0
