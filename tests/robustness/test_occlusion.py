"""Holes and pairs whose answers can be counted."""

import numpy as np
import pytest
import torch

from frozen_det.errors import InputError
from frozen_det.robustness.occlusion import (
    centred_box,
    draw_partners,
    mix_pair,
    occlude,
    study_between,
    study_occlusion,
)

from .study_networks import Brightness, classifier, flat, images_of


def test_the_hole_sits_in_the_middle():
    assert centred_box((8, 16), 0.5) == (4, 2, 12, 6)
    assert centred_box((8, 8), 0) == (4, 4, 4, 4) and centred_box((7, 7), 1) == (0, 0, 7, 7)


def test_centre_and_boundary_hide_opposite_parts():
    pixels, fill = torch.ones(1, 3, 8, 8), torch.zeros(1, 3, 1, 1)
    centre, boundary = (occlude(pixels, 0.5, where, fill) for where in ("centre", "boundary"))
    assert centre.sum() == 3 * (64 - 16) and boundary.sum() == 3 * 16
    assert torch.equal(centre + boundary, pixels)
    assert torch.equal(occlude(pixels, 0, "centre", fill), pixels)
    assert torch.equal(occlude(pixels, 1, "boundary", fill), pixels)


def test_the_mean_fill_is_a_zero_of_the_networks_input():
    seen = classifier(Brightness(), mean=(51, 102, 153), std=(10, 10, 10))
    hidden = occlude(torch.rand(1, 3, 4, 4), 1.0, "centre", seen.mean)
    assert ((hidden - seen.mean) / seen.std).abs().max() < 1e-5


def test_accuracy_over_holes_by_hand():
    # White image, black hole: light until the hole covers half of it (side 0.707).
    images = images_of(flat([1.0], 16), [1])
    found = study_occlusion(classifier(Brightness()), images, fill="black", num_sizes=5, log=lambda line: None)
    assert found.series["hole in the centre"].x == [0, 0.25, 0.5, 0.75, 1]
    assert found.series["hole in the centre"].y == [100, 100, 100, 0, 0]
    assert found.series["all but the hole hidden"].y == [0, 0, 0, 100, 100]
    assert found.numbers["centre hidden"].value == pytest.approx(200 / 3)


def test_partners_are_of_another_class_and_seeded():
    labels = np.repeat(np.arange(3), [40, 1, 2])
    partners = draw_partners(labels, 5)
    assert (labels[partners] != labels).all() and (partners == draw_partners(labels, 5)).all()
    with pytest.raises(InputError, match="two classes"):
        draw_partners(np.zeros(4, int))


def test_pairs_mix_by_weight_or_by_a_centred_square():
    first, second = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    assert mix_pair(first, second, 0.25, "Mixup-ed").unique().tolist() == [0.25]
    assert mix_pair(first, second, 0.5, "CutMix-ed").sum() == 3 * 16 and first.sum() == 0


def test_only_a_third_class_is_an_error():
    class Third(torch.nn.Module):
        """Class 0 when dark, 1 when light, 2 between."""

        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(1.0))

        def forward(self, images):
            mean = images.mean((1, 2, 3))
            return torch.stack([0.25 - mean, mean - 0.75, 0.2 - (mean - 0.5).abs()], 1) * self.scale

    images = images_of(flat([0.0, 1.0]), [0, 1])
    found = study_between(classifier(Third()), images, num_steps=5, log=lambda line: None)
    assert found.series["Mixup-ed"].y == [0, 0, 100, 0, 0]
    # A square of half the side has a quarter of the pixels, of three quarters 0.5625: class 2
    assert found.series["CutMix-ed"].y == [0, 0, 0, 100, 0]
    assert found.numbers["Mixup-ed, error"].value == pytest.approx(100 / 3)


def test_an_unknown_fill_is_refused():
    with pytest.raises(InputError, match="fill"):
        study_occlusion(classifier(Brightness()), images_of(flat([0.3]), [0]), fill="grey")
