"""Attacks on a classifier whose gradient is known: strength in pixel space, norms in eval mode, PGD inside its ball."""

import pytest
import torch

from frozen_det.errors import InputError
from frozen_det.robustness.adversarial import fgsm, gradient_sign, pgd, study_fgsm

from .study_networks import Brightness, classifier, flat, images_of


def test_every_pixel_moves_by_epsilon_whatever_the_normalisation():
    seen = classifier(Brightness(), mean=(100, 0, 50), std=(10, 255, 1000))
    pixels, labels = flat([0.4, 0.6]), torch.tensor([0, 1])
    moved = fgsm(seen, pixels, labels, 8 / 255) - pixels
    assert moved[0].flatten().tolist() == pytest.approx([8 / 255] * 192, abs=1e-6)  # dark: pushed up
    assert moved[1].flatten().tolist() == pytest.approx([-8 / 255] * 192, abs=1e-6)


def test_the_attacked_image_stays_an_image():
    seen = classifier(Brightness())
    attacked = fgsm(seen, flat([0.01, 0.99]), torch.tensor([1, 0]), 16 / 255)
    assert attacked.min() == 0 and attacked.max() == 1


def test_norms_are_in_eval_mode_and_nothing_learns():
    network = Brightness().train()
    seen = classifier(network)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    gradient_sign(seen, flat([0.2, 0.9]), torch.tensor([0, 1]))
    assert not network.norm.training and network.slope.grad is None
    assert all((value == before[name]).all() for name, value in network.state_dict().items())


def test_images_of_a_batch_do_not_influence_each_other():
    seen, labels = classifier(Brightness()), torch.tensor([0, 1])
    together = fgsm(seen, flat([0.4, 0.6]), labels, 0.1)
    assert torch.equal(together[1:], fgsm(seen, flat([0.6]), labels[1:], 0.1))


def test_pgd_stays_within_its_ball_and_reaches_its_border():
    seen, pixels = classifier(Brightness()), flat([0.4, 0.02])
    attacked = pgd(seen, pixels, torch.tensor([0, 0]), 0.05, 10, torch.Generator().manual_seed(0))
    assert (attacked - pixels).abs().max() <= 0.05 + 1e-6
    assert attacked[0].flatten().tolist() == pytest.approx([0.45] * 192, abs=1e-5)


def test_accuracies_over_a_sweep_by_hand():
    images = images_of(flat([0.3, 0.47, 0.495, 0.9]), [0, 0, 0, 1])
    found = study_fgsm(
        classifier(Brightness()), images, sweep=(4, 16), epsilon=8, pgd_steps=2, pgd_images=2, log=lambda line: None
    )
    assert found.series["FGSM"].x == [0, 4, 8, 16]
    assert found.series["FGSM"].y == [100, 75, 50, 50]  # 0.495 falls at 4/255, 0.47 at 8/255
    assert found.numbers["FGSM 8/255"].value == 50 and found.numbers["clean"].value == 100
    assert found.numbers["PGD-2 8/255"].value == 50 and found.notes["num_pgd_images"] == 2


def test_a_negative_strength_is_refused():
    with pytest.raises(InputError, match="attack strengths"):
        study_fgsm(classifier(Brightness()), images_of(flat([0.3]), [0]), sweep=(-1,))


def test_a_part_of_the_images_is_of_all_classes():
    images = images_of(flat([0.2] * 50 + [0.8] * 50), [0] * 50 + [1] * 50)
    part, again = images.draw(20, seed=3), images.draw(20, seed=3)
    assert len(part) == 20 and 4 < int(part.labels.sum()) < 16 and part.paths == again.paths
    assert torch.equal(part.labels, (part.pixels[:, 0, 0, 0] > 128).long()) and len(set(part.paths)) == 20
    assert images.draw(500).paths == images.paths
    # Class 1 is always answered: right for about half of a draw, for none of the first twenty.
    network = Brightness()
    network.forward = lambda pixels: torch.stack([pixels.mean((1, 2, 3)) * 0, pixels.mean((1, 2, 3)) * 0 + 1], 1)
    found = study_fgsm(classifier(network), images, sweep=(0,), pgd_steps=1, pgd_images=20, log=lambda line: None)
    assert 20 < found.numbers["PGD-1 8/255"].value < 80
