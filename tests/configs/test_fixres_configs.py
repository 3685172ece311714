"""Recipes of tuning at the test resolution: sizes and lengths as published, and each builds."""

import ast
from pathlib import Path

import pytest
from mmengine.registry import MODELS as ROOT_MODELS

import frozen_det.upstream  # noqa: F401
from frozen_det.config import load_config
from frozen_det.models.backbone_sources.build import on_meta
from frozen_det.models.backbones.description import describing
from frozen_det.registry import TRANSFORMS
from frozen_det.upstream.fixres.config import FixResSettings, fixres_config, without_noise
from frozen_det.upstream.noisy_student.loop_config import student_config

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "fixres"
FILES = sorted(path for path in CONFIGS.glob("*_imagenet1k.py") if "parametric" not in path.stem)
# facebookresearch/FixRes, README and its tables: training size, test size, epochs where they are published.
PUBLISHED = {
    "resnet50_fixres-384px": (224, 384, 56),
    "resnet50_fixres-v2-384px": (224, 384, 31),
    "resnet50_fixres-128px-to-224px": (128, 224, None),
    "resnet50_fixres-cutmix-320px": (224, 320, None),
    "resnet50_fixres-v2-cutmix-320px": (224, 320, 11),
    "resnext101-32x48d_fixres-320px": (224, 320, 1),
    "resnext101-32x48d_fixres-v2-320px": (224, 320, 11),
    "pnasnet5large_fixres-480px": (331, 480, 1),
    "efficientnet-b0_fixres-320px": (224, 320, None),
    "efficientnet-b1_fixres-384px": (240, 384, None),
    "efficientnet-b2_fixres-420px": (260, 420, None),
    "efficientnet-b3_fixres-472px": (300, 472, None),
    "efficientnet-b4_fixres-512px": (380, 512, None),
    "efficientnet-b5_fixres-576px": (456, 576, None),
    "efficientnet-b6_fixres-576px": (528, 576, None),
    "efficientnet-b7_fixres-632px": (600, 632, None),
    "efficientnet-l2_fixres-600px": (475, 600, None),
}


def stem(path):
    return path.stem.removesuffix("_imagenet1k")


def test_every_published_recipe_is_there():
    assert {stem(path) for path in FILES} == set(PUBLISHED)


@pytest.mark.parametrize("path", FILES, ids=stem)
def test_a_recipe_has_the_published_sizes_and_says_what_to_expect(path):
    cfg, (trained, tested, epochs) = load_config(path), PUBLISHED[stem(path)]
    assert cfg.fixres.train_size == trained and cfg.fixres.pseudo_labels is None
    for split in ("train", "val", "test"):
        transform = TRANSFORMS.build(cfg[f"{split}_dataloader"].dataset.transform)
        assert (transform.size, transform.resize) == (tested, int(tested * 8 / 7))
    assert cfg.train_dataloader.dataset.transform.type == (
        "frozen_det.FixResTransform" if cfg.fixres.get("transform") == "v2" else "frozen_det.EvalTransform"
    )
    assert epochs in (None, cfg.train_cfg.max_epochs)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.momentum, optimizer.weight_decay, cfg.auto_scale_lr.base_batch_size) == (0.9, 1e-4, 64)
    text = ast.get_docstring(ast.parse(path.read_text()))
    assert "expected: " in text and "frozen-det fixres" in text and "Not run" in text


@pytest.mark.parametrize("path", FILES, ids=stem)
def test_a_recipe_builds_and_names_its_norms(path):
    cfg = load_config(path)
    with describing():
        model = on_meta(lambda: ROOT_MODELS.build(cfg.model))[0]
    name = cfg.model.backbone.name.split(".")[0]
    expected = {"resnet50": ("layer4.2.bn3",), "resnet101": ("layer4.2.bn3",), "pnasnet5large": None}
    norms = expected.get(name, ("bn2",))
    assert norms is None or model.norms == norms
    if name == "pnasnet5large":
        assert all(norm.startswith(("cell_9", "cell_10", "cell_11")) for norm in model.norms) and model.norms
        assert "network.cell_9.conv_1x1.conv.weight" in model.tuned


def test_with_training_augmentation_crops_are_random_at_the_test_size():
    cfg = load_config("fixres/resnet50_fixres-384px_imagenet1k")
    run = fixres_config(cfg, "base.pth", FixResSettings(transform="train"))
    transform = TRANSFORMS.build(run.train_dataloader.dataset.transform)
    assert type(transform).__name__ == "TrainTransform" and transform.size == 384
    assert (transform.settings["color_jitter"], transform.settings["interpolation"]) == (0.3, "bilinear")
    assert run.val_dataloader.dataset.transform.type == "frozen_det.EvalTransform"
    assert run.fixres.transform == "train"


def test_a_noisy_students_config_is_tuned_as_a_plain_classifier_on_its_labelled_images():
    cfg = load_config("noisy_student/efficientnet-b0_noisy_imagenet1k", {"train_dataloader.batch_size": 16})
    student_config(cfg, dict(type="frozen_det.PseudoLabelled", manifest="m.parquet"), dict(ratio=3))
    labelled = cfg.train_dataloader.dataset.labelled.to_dict()
    run = fixres_config(cfg, "student.pth", FixResSettings(test_size=256))
    assert run.model.type == "frozen_det.FixResClassifier" and not {"pseudo", "noise"} & set(run.model)
    loader = run.train_dataloader
    assert (loader.batch_size, loader.sampler.type) == (16, "frozen_det.EpochSampler")
    assert {**loader.dataset, "transform": 0} == {**labelled, "transform": 0}
    assert loader.dataset.transform.type == "frozen_det.EvalTransform" and loader.dataset.transform.size == 256
    assert cfg.model.type == "frozen_det.NoisyClassifier", "the given config is left as it is"
    plain = load_config("fixres/resnet20_rrc-24px_cifar10")
    assert without_noise(plain) is plain
