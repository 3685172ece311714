"""Out-of-distribution sets and calibration on a classifier that is certain where it should not be, or not."""

import numpy as np
import pytest
import torch
from PIL import Image

from frozen_det.errors import InputError
from frozen_det.robustness.ood import folder_images, named_folders, noise_images, study_calibration, study_ood

from .study_networks import Brightness, classifier, flat, images_of


def test_noise_is_seeded_and_in_range():
    uniform, gaussian = (noise_images(kind, 50, (8, 8), 1) for kind in ("uniform", "gaussian"))
    assert torch.equal(uniform, noise_images("uniform", 50, (8, 8), 1))
    for noise in (uniform, gaussian):
        assert noise.min() >= 0 and noise.max() <= 1 and noise.mean() == pytest.approx(0.5, abs=0.02)
    # A normal deviate of deviation 1 around 0.5 is cut on both sides with probability 0.3085 each.
    assert (gaussian == 0).float().mean() == pytest.approx(0.3085, abs=0.02)
    with pytest.raises(InputError, match="noise"):
        noise_images("pink", 1, (8, 8))


def test_grey_noise_is_separated_from_dark_and_light_images():
    images = images_of(flat([0.0, 1.0, 0.1, 0.9]), [0, 1, 0, 1])
    found = study_ood(classifier(Brightness()), images, log=lambda line: None)
    assert found.numbers["uniform, max-softmax, auroc"].value == 100
    assert found.numbers["mean, energy, tnr_at_tpr95"].value == 100
    assert found.numbers["mean, max-softmax, fpr_at_tpr95"].value == 0
    assert found.series["AUROC, max-softmax"].names == ["uniform", "gaussian", "mean"]
    assert found.notes["num_out"] == {"uniform": 4, "gaussian": 4} and found.notes["positive"] == "in-distribution"


def test_a_classifier_that_is_surer_of_the_unknown_is_below_a_half(tmp_path):
    Image.new("RGB", (8, 8), (255, 255, 255)).save(tmp_path / "white.png")
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    images = images_of(flat([0.45, 0.55]), [0, 1])
    images.fit = lambda image: torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())
    found = study_ood(classifier(Brightness()), images, [f"white={tmp_path}"], log=lambda line: None)
    assert found.numbers["white, max-softmax, auroc"].value == 0
    assert found.notes["num_out"]["white"] == 1 and found.notes["num_broken"]["white"] == 1


def test_sets_need_names_of_their_own_and_images(tmp_path):
    assert list(named_folders(["a=x", "b/c"])) == ["a", "c"]
    for words in (["a=x", "a=y"], ["uniform=x"]):
        with pytest.raises(InputError, match="different names"):
            named_folders(words)
    with pytest.raises(InputError, match="with none"):
        folder_images(tmp_path, 3, lambda image: image)


def test_calibration_by_hand():
    # Confidence 0.9 everywhere (logits +-ln 3), right on three of four.
    level = 0.5 + np.log(3) / 10
    images = images_of(flat([level] * 4), [1, 1, 1, 0])
    found = study_calibration(classifier(Brightness()), images, log=lambda line: None)
    assert found.numbers["accuracy"].value == 75
    assert found.numbers["mean confidence"].value == pytest.approx(90, abs=0.5)  # 8-bit levels
    assert found.numbers["ECE"].value == pytest.approx(15, abs=0.5)
    assert found.series["reliability"].y == [75]
    assert found.numbers["loss"].value == pytest.approx(-(3 * np.log(0.9) + np.log(0.1)) / 4, abs=0.02)
