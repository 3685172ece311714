"""Movements by known amounts, flip rates by hand, corruptions that are seeded, published folders as they unpack."""

import numpy as np
import pytest
import torch
from PIL import Image

from frozen_det.errors import InputError
from frozen_det.robustness.corruptions import corrupted, flip_rate, moved, study_corruptions
from frozen_det.robustness.shifted_sets import read_shifted

from .study_networks import Brightness, classifier, flat, images_of


def dot(y, x, size=32):
    pixels = torch.zeros(1, 3, size, size)
    pixels[..., y : y + 2, x : x + 2] = 1
    return pixels


def centre_of(pixels):
    mass = pixels[0, 0] / pixels[0, 0].sum()
    places = torch.arange(len(mass)) + 0.5
    return float((mass.sum(1) * places).sum()), float((mass.sum(0) * places).sum())


def test_a_shift_moves_by_a_quarter_of_the_side():
    assert centre_of(moved(dot(10, 10), "shifts", 1.0)) == pytest.approx((11, 19), abs=1e-3)
    assert centre_of(moved(dot(10, 10), "shifts", 0.125)) == pytest.approx((11, 12), abs=1e-3)


def test_a_scale_grows_from_the_centre():
    y, x = centre_of(moved(dot(15, 23), "scales", 1.0))
    assert (y, x) == pytest.approx((16, 16 + 8 * 1.24), abs=0.05)


def test_a_rotation_keeps_the_distance_from_the_centre():
    y, x = centre_of(moved(dot(15, 23), "rotations", 1.0))
    assert np.hypot(y - 16, x - 16) == pytest.approx(8, abs=0.1)
    assert abs(np.rad2deg(np.arctan2(y - 16, x - 16))) == pytest.approx(24, abs=1)


@pytest.mark.parametrize("movement", ["shifts", "scales", "rotations"])
def test_nothing_moves_at_the_start(movement):
    pixels = torch.rand(2, 3, 9, 9)
    assert (moved(pixels, movement, 0.0) - pixels).abs().max() < 1e-5


def test_the_flip_rate_counts_neighbouring_frames():
    assert flip_rate(np.array([[1, 1, 1], [1, 2, 1], [1, 1, 2]])).tolist() == [0, 1, 0.5]
    with pytest.raises(InputError, match="two frames"):
        flip_rate(np.ones((3, 1)))


def test_images_of_one_level_never_flip_and_missing_corruptions_are_a_choice():
    found = study_corruptions(
        classifier(Brightness()), images_of(flat([0.2, 0.8]), [0, 1]), num_corrupted=0, log=lambda line: None
    )
    assert {name: one.value for name, one in found.numbers.items()} == {
        "flip rate, shifts": 0,
        "flip rate, scales": 0,
        "flip rate, rotations": 0,
    }


def test_corruptions_follow_from_the_seed_and_leave_the_generator_alone():
    pytest.importorskip("imagecorruptions")
    pixels = np.full((2, 3, 32, 32), 120, np.uint8)
    state = np.random.get_state()[1].copy()
    first, again = (corrupted(pixels, "gaussian_noise", 3, [1, 2]) for _ in range(2))
    assert (first == again).all() and (first[0] != first[1]).any() and first.dtype == np.uint8
    assert (np.random.get_state()[1] == state).all()
    with pytest.raises(InputError, match="32 px"):
        corrupted(pixels[..., :16], "fog", 1, [1, 2])


def write(path, level=255):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (level,) * 3).save(path)


def test_published_folders_are_read_as_they_unpack(tmp_path):
    names = ("n01", "n02", "n03")
    write(tmp_path / "a/n02/x.png")
    write(tmp_path / "c/fog/1/n03/x.jpg")
    write(tmp_path / "c/fog/2/n01/x.jpg")
    write(tmp_path / "v2/2/x.jpeg")
    a = read_shifted("a", tmp_path / "a", names)[0]
    assert (a.labels, a.subset) == ((1,), (1,))
    assert [(one.name, one.labels) for one in read_shifted("c", tmp_path / "c", names)] == [
        ("c/fog/1", (2,)),
        ("c/fog/2", (0,)),
    ]
    assert read_shifted("v2", tmp_path / "v2", names)[0].labels == (2,)
    with pytest.raises(InputError, match="named after classes"):
        read_shifted("a", tmp_path / "v2", names)
    with pytest.raises(InputError, match="KIND=DIR"):
        read_shifted("r", tmp_path, names)


def test_imagenets_ids_are_in_the_usual_order():
    from frozen_det.robustness.shifted_sets import imagenet_ids

    pytest.importorskip("timm")
    ids = imagenet_ids()
    assert len(ids) == 1000 and ids[0] == "n01440764" and list(ids) == sorted(ids)


def test_accuracy_on_a_subset_lets_its_classes_alone_compete(tmp_path):
    write(tmp_path / "n01/dark.png", 255)  # light, but only class 0 is in the set
    images = images_of(flat([0.2, 0.8]), [0, 1])
    images.classes = ("n01", "n02")
    images.fit = lambda image: torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())
    found = study_corruptions(classifier(Brightness()), images, 0, [f"a={tmp_path}"], log=lambda line: None)
    assert found.numbers["a"].value == 100
