"""Pictures of mixed batches show what is trained on, name both labels with their weights, and leave the run alone."""

import json

import numpy as np
import pytest
import torch

from frozen_det.cli import main
from frozen_det.errors import InputError
from frozen_det.registry import MODELS
from frozen_det.upstream.mixed_pictures import MixedPicturesHook, mixed_pictures, montage

from .classifier_runs import MIXING, losses, run, tiny_config, tree_pictures

CLASSES = ("ash", "birch", "cedar")


def classifier(mixing=None):
    return MODELS.build(
        dict(
            type="frozen_det.ImageClassifier",
            backbone=dict(type="frozen_det.CifarResNet", depth=8),
            num_classes=3,
            mixing=mixing,
            data_preprocessor=dict(mean=[100] * 3, std=[50] * 3),
        )
    )


def batch():
    """Image i is 40 * i everywhere, of class i."""
    values = torch.tensor([0, 40, 80], dtype=torch.uint8)
    return dict(
        inputs=values.view(3, 1, 1, 1).expand(3, 3, 16, 16).contiguous(),
        data_samples=dict(label=torch.tensor([0, 1, 2]), index=torch.arange(3), path=list("abc")),
    )


def test_without_mixing_a_picture_is_the_image_with_its_class():
    pictures = mixed_pictures(classifier(), batch(), CLASSES)
    assert [words for _, words in pictures] == list(CLASSES)
    assert [np.unique(image).tolist() for image, _ in pictures] == [[0], [40], [80]]


def test_the_caption_of_a_cutmix_picture_states_the_shares_of_its_pixels():
    model = classifier(dict(type="frozen_det.BatchMixing", cutmix_alpha=1.0))
    found = 0
    for seed in range(6):
        for image, words in mixed_pictures(model, batch(), CLASSES, seed=seed):
            shares = {CLASSES[value // 40]: (image[..., 0] == value).mean() for value in np.unique(image)}
            if " + " not in words:
                continue
            told = {part.split(" ")[0]: float(part.split(" ")[1]) for part in words.split(" + ")}
            if len(told) == 2 and len(shares) == 2:
                assert told == pytest.approx(shares, abs=0.0051)
                found += 1
    assert found > 5


def test_pictures_of_a_batch_have_draws_of_their_own_and_an_evaluated_batch_has_none():
    model = classifier(dict(type="frozen_det.BatchMixing", mixup_alpha=1.0))
    words = [text for _, text in mixed_pictures(model, batch(), CLASSES)]
    assert len({text.split(" ")[1] for text in words}) == 3
    assert [text for _, text in mixed_pictures(model, batch(), CLASSES, training=False)] == list(CLASSES)


def test_mixing_of_features_is_shown_on_the_image_and_said_to_be():
    model = classifier(dict(type="frozen_det.BatchMixing", cutmix_alpha=1.0, level="feature"))
    words = [text for seed in range(4) for _, text in mixed_pictures(model, batch(), CLASSES, seed=seed)]
    assert all(text.endswith(" (on features)") for text in words if " + " in text) and any(" + " in t for t in words)
    assert model.mixing.level == "feature"  # the model's own mixing stays as it is


def test_a_montage_holds_all_pictures_and_wraps_long_captions():
    image = np.full((8, 8, 3), (7, 90, 200), np.uint8)
    sheet = montage([(image, "a" * 90 + " 0.50 + " + "b" * 90)] * 5)
    assert sheet.shape[1] == 4 * 232 + 8 and sheet.shape[0] == 2 * 272 + 8
    assert (sheet == (7, 90, 200)).all(2).sum() == 5 * 224 * 224


def test_the_hook_writes_pictures_and_memory_and_changes_no_loss(tmp_path):
    data = tree_pictures(tmp_path / "data")
    cfg = tiny_config(data, tmp_path / "with", epochs=1, model__mixing=MIXING)
    assert [hook.type for hook in cfg.custom_hooks][-2:] == [
        "frozen_det.MixedPicturesHook",
        "frozen_det.HostMemoryHook",
    ]
    with_hooks = losses(run(cfg))
    assert len(json.loads((tmp_path / "with" / "mixed" / "batch.json").read_text())) == 8
    assert (tmp_path / "with" / "mixed" / "batch.png").stat().st_size > 1000
    assert 50 < json.loads((tmp_path / "with" / "host_memory.json").read_text())["peak_mib"] < 50_000
    plain = tiny_config(data, tmp_path / "without", epochs=1, model__mixing=MIXING)
    plain.custom_hooks = plain.custom_hooks[:-2]
    assert losses(run(plain)) == with_hooks


def test_browse_shows_what_a_classifier_is_fed(tmp_path, capsys):
    data = tree_pictures(tmp_path / "data")
    argv = [
        "browse",
        "upstream/resnet20_cutmix_cifar10",
        "-o",
        str(tmp_path / "out"),
        "--num",
        "5",
        "--cfg-options",
        f"data_root={data}",
        "model.backbone.depth=8",
        "model.num_classes=3",
    ]
    assert main(argv) == 0
    said = capsys.readouterr().out
    assert "5 images of 12 x 12 px" in said and "mixed by" in said
    assert len(json.loads((tmp_path / "out" / "train_batch.json").read_text())) == 5
    assert main([*argv, "--split", "val"]) == 0 and "not mixed" in capsys.readouterr().out
    assert set(json.loads((tmp_path / "out" / "val_batch.json").read_text())) <= set(CLASSES)
    assert main([*argv, "--stations", "1"]) == 2 and "--stations" in capsys.readouterr().err


def test_no_picture_is_refused():
    with pytest.raises(InputError, match="count"):
        MixedPicturesHook(count=0)
