import random

import numpy as np
import pytest
import torch
from PIL import Image

from frozen_det.datasets.samplers.seeding import seeded
from frozen_det.errors import InputError
from frozen_det.upstream.noisy_student.augmentation import GREY, NoisyTrain, PaperRandAugment, cut_out

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))


def turned_by(operation) -> float:
    """Degrees of a rotation, as timm hands them to its function."""
    seen = []
    operation.aug_fn = lambda image, *args, **kwargs: seen.append(args[0]) or image
    operation(NOISE)
    return abs(seen[0])


def rotation(augment):
    ops = getattr(augment, "ops", None) or [op for op in augment.operations if op is not None]
    return next(op for op in ops if op.name == "Rotate")


def test_magnitude_27_turns_by_81_degrees_where_timm_alone_stops_at_30():
    from timm.data.auto_augment import rand_augment_transform

    settings = dict(img_mean=GREY, translate_const=100)
    plain = rand_augment_transform("rand-m27-p1.0", dict(settings))
    assert turned_by(rotation(plain)) == turned_by(rotation(rand_augment_transform("rand-m10-p1.0", settings))) == 30
    raised = rotation(rand_augment_transform("rand-m27-mmax27-p1.0", dict(settings)))
    assert turned_by(raised) == pytest.approx(81)
    own = rotation(PaperRandAugment(27))
    assert turned_by(own) == pytest.approx(81) and own.prob == 1.0


def test_sixteen_operations_are_drawn_each_alike_and_always_applied():
    augment = PaperRandAugment(9)
    assert len(augment.operations) == 16 and augment.operations.count(None) == 1  # None is Cutout
    assert {op.prob for op in augment.operations if op is not None} == {1.0}
    assert len(PaperRandAugment(9, cutout=False).operations) == 15


def test_cutout_grows_with_the_magnitude_and_is_cut_at_the_border():
    with seeded(3):
        pixels = np.array(cut_out(NOISE, 6))
    grey = (pixels == GREY).all(2)
    rows, columns = np.flatnonzero(grey.any(1)), np.flatnonzero(grey.any(0))
    assert len(rows) <= 12 and len(columns) <= 12 and grey[np.ix_(rows, columns)].all()
    assert np.array_equal(np.array(cut_out(NOISE, 0)), np.array(NOISE))


@pytest.mark.parametrize(
    "schedule, at, low, high",
    [
        ("constant", None, 20, 20),
        ("random", None, 0, 20),
        ("rising", 0.25, 5, 5),
        ("random-rising", 0.25, 0, 5),
        ("rising", 0.0, 0, 0),
        ("random-rising", 1.0, 0, 20),
    ],
)
def test_the_four_schedules_of_the_magnitude(schedule, at, low, high):
    augment = PaperRandAugment(20, schedule=schedule)
    if at is not None:
        augment.set_progress(at)
    random.seed(0)
    drawn = [augment.draw_magnitude() for _ in range(400)]
    assert low - 1e-9 <= min(drawn) and max(drawn) <= high + 1e-9
    if low < high:
        assert np.mean(drawn) == pytest.approx(high / 2, rel=0.1)


def test_a_rising_schedule_wants_to_know_how_far_training_is():
    with pytest.raises(InputError, match="rising.*JointDataset"):
        PaperRandAugment(5, schedule="rising").draw_magnitude()


@pytest.mark.parametrize("geometry, size", [("imagenet", 24), ("small", 40), ("none", 24)])
def test_a_view_has_its_size_and_follows_from_the_seed(geometry, size):
    view = NoisyTrain(size, magnitude=9, geometry=geometry)
    pictures = []
    for seed in (1, 1, 2):
        with seeded(seed):
            pictures.append(view(NOISE))
    assert pictures[0].shape == (3, size, size) and pictures[0].dtype == torch.uint8
    assert torch.equal(pictures[0], pictures[1]) and not torch.equal(pictures[0], pictures[2])


def test_small_images_always_get_a_hole_of_half_their_side():
    view = NoisyTrain(40, magnitude=0, num_layers=0, geometry="small")
    with seeded(5):
        grey = (view(NOISE) == 128).all(0)
    assert 10 * 10 <= int(grey.sum()) <= 20 * 20 + 5


def test_without_magnitude_only_the_geometry_is_left():
    view = NoisyTrain(40, magnitude=None, geometry="none")
    assert torch.equal(view(NOISE), torch.from_numpy(np.array(NOISE).transpose(2, 0, 1)))


@pytest.mark.parametrize(
    "wrong, said",
    [(dict(schedule="up"), "schedule"), (dict(geometry="big"), "geometry"), (dict(magnitude=-1), "magnitude")],
)
def test_unknown_settings_are_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        NoisyTrain(32, **wrong)
