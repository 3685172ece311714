"""Tuning at the test resolution: what moves, what stays and in which mode, with which transform, from which norm."""

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.optim import build_optim_wrapper

import frozen_det.upstream  # noqa: F401
from frozen_det.errors import InputError
from frozen_det.registry import DATASETS, TRANSFORMS
from frozen_det.upstream.fixres.classifier import last_norm
from frozen_det.upstream.fixres.config import FixResSettings, eval_settings, fixres_config, train_size

from ..fixres_runs import checkpoint_of, classifier_config, pictures

R50 = dict(type="torchvision", name="resnet50")
SMALL = dict(type="frozen_det.CifarResNet", depth=8)
INPUT = dict(mean=[0.0] * 3, std=[1.0] * 3)


def small(**options):
    model = MODELS.build(dict(type="frozen_det.FixResClassifier", backbone=SMALL, num_classes=3, **options))
    model.source = "a checkpoint"
    return model


def steps(model, num=3):
    """Train for a few steps with weight decay, as the Runner does; returns the names of what moved."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    wrapper = build_optim_wrapper(
        model, dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1, momentum=0.9, weight_decay=1e-2))
    )
    torch.manual_seed(1)
    for _ in range(num):
        model.train()
        model.train_step(
            dict(
                inputs=torch.randint(0, 256, (6, 3, 12, 12), dtype=torch.uint8),
                data_samples=dict(label=torch.tensor([0, 1, 2, 0, 1, 2])),
            ),
            wrapper,
        )
    return {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}


def test_classifier_and_the_last_norms_statistics_move_and_nothing_else_does():
    statistics = {f"network.layer3.0.bn2.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    head = {"network.linear.weight", "network.linear.bias"}
    assert steps(small()) == statistics | head
    assert steps(small(affine=True)) == statistics | head | {"network.layer3.0.bn2.weight", "network.layer3.0.bn2.bias"}
    assert steps(small(norm=())) == head
    moved = steps(small(whole=("layer3",)))
    assert {"network.layer3.0.conv1.weight", "network.layer3.0.bn1.running_mean"} <= moved
    assert not any(name.startswith(("network.layer2", "network.conv1")) for name in moved)


def test_every_call_of_train_leaves_the_frozen_norms_in_eval():
    model = small()
    for mode in (True, False, True):
        model.train(mode)
        training = {name for name, part in model.named_modules() if part.training}
        assert training == ({"", "network.layer3.0.bn2"} if mode else set())


@pytest.mark.parametrize(
    "backbone, expected",
    [
        (R50, "layer4.2.bn3"),
        (dict(type="timm", name="tf_efficientnet_b0"), "bn2"),
        (SMALL, "layer3.0.bn2"),
        (dict(type="torchvision", name="densenet121"), "features.norm5"),
    ],
)
def test_the_norm_that_runs_last_is_found(backbone, expected):
    assert last_norm(backbone, 10) == expected


def test_a_resnet_50_moves_five_tensors_as_in_the_released_code():
    model = MODELS.build(dict(type="frozen_det.FixResClassifier", backbone=R50, num_classes=5, data_preprocessor=INPUT))
    assert model.tuned == {
        f"network.{name}"
        for name in (
            "fc.weight",
            "fc.bias",
            "layer4.2.bn3.running_mean",
            "layer4.2.bn3.running_var",
            "layer4.2.bn3.num_batches_tracked",
        )
    }


def test_a_network_without_batch_norm_and_wrong_names_are_refused():
    vit = dict(type="timm", name="vit_tiny_patch16_224")
    with pytest.raises(InputError, match="--norm none"):
        last_norm(vit, 3)
    with pytest.raises(InputError, match="model.norm, got 'layer3.0.bn3'"):
        small(norm="layer3.0.bn3")
    with pytest.raises(InputError, match="expected a norm or a module with batch norms"):
        small(norm="linear")
    with pytest.raises(InputError, match="affine=True"):
        small(norm=(), affine=True)


def test_training_without_a_finished_classifier_is_refused():
    model = small()
    model.source = None
    with pytest.raises(InputError, match="finished classifier"):
        steps(model, 1)


# -- the config ------------------------------------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path):
    return classifier_config(pictures(tmp_path / "trees"))


def test_tuning_sees_the_very_transform_that_the_test_deploys(config):
    run = fixres_config(config, "a.pth", FixResSettings(test_size=384))
    train, test = (TRANSFORMS.build(run[f"{split}_dataloader"].dataset.transform) for split in ("train", "test"))
    assert type(train) is type(test)
    assert (train.size, train.resize) == (test.size, test.resize) == (384, 438)
    assert run.val_dataloader.dataset.transform == run.test_dataloader.dataset.transform
    assert train_size(run) == 12 and eval_settings(run) == dict(size=384, crop_ratio=0.875, interpolation="bicubic")


def test_the_released_recipe_replaces_what_trained_the_classifier_and_settings_change_it(config):
    config.custom_hooks.append(dict(type="EMAHook"))
    run = fixres_config(config, "a.pth", FixResSettings(test_size=16))
    assert dict(run.optim_wrapper.optimizer) == dict(type="SGD", lr=1e-3, momentum=0.9, weight_decay=1e-4)
    assert run.auto_scale_lr.base_batch_size == 64 and run.param_scheduler[0].step_size == 30
    assert "EMAHook" not in [hook.type for hook in run.custom_hooks]
    assert [hook.type for hook in run.custom_hooks].count("frozen_det.FrozenProofHook") == 1
    assert config.model.type == "frozen_det.ImageClassifier", "the config given is left as it is"
    run = fixres_config(
        config,
        "a.pth",
        FixResSettings(test_size=16, transform="v2", affine=True, norm=("bn1",), epochs=3, lr=0.5, label_smoothing=0.1),
    )
    assert run.train_dataloader.dataset.transform.type == "frozen_det.FixResTransform"
    assert run.val_dataloader.dataset.transform.type == "frozen_det.EvalTransform"
    assert (run.model.affine, run.model.norm, run.model.loss.label_smoothing) == (True, ("bn1",), 0.1)
    assert run.train_cfg.max_epochs == run.train_cfg.val_interval == 3 and run.optim_wrapper.optimizer.lr == 0.5


def test_torchvisions_resize_becomes_a_crop_ratio_that_scales(config):
    for loader in (config.val_dataloader, config.test_dataloader):
        loader.dataset.transform = dict(type="frozen_det.EvalTransform", size=224, resize=256)
    run = fixres_config(config, "a.pth", FixResSettings(test_size=384))
    assert TRANSFORMS.build(run.test_dataloader.dataset.transform).resize == 438


@pytest.mark.parametrize(
    "change, message",
    [(dict(test_size=0), "--test-size"), (dict(transform="v3"), "--transform"), (dict(epochs=0), "--epochs")],
)
def test_bad_settings_are_refused(config, change, message):
    with pytest.raises(InputError, match=message):
        fixres_config(config, "a.pth", FixResSettings(**change))


def test_a_config_without_weights_training_images_or_a_classifier_is_refused(config):
    with pytest.raises(InputError, match="give a CHECKPOINT"):
        fixres_config(config, None, FixResSettings(test_size=16))
    config.pop("train_dataloader")
    with pytest.raises(InputError, match="--statistics-only --split-half"):
        fixres_config(config, "a.pth", FixResSettings(test_size=16))
    config.model.type = "mmdet.FasterRCNN"
    with pytest.raises(InputError, match="expected a classifier's config"):
        fixres_config(config, "a.pth", FixResSettings(test_size=16))


def test_pseudo_labelled_images_are_mixed_in_when_requested_and_only_then(config, tmp_path):
    run = fixres_config(config, "a.pth", FixResSettings(test_size=16))
    assert run.train_dataloader.dataset.type == "frozen_det.ImageFolder"
    pseudo = dict(type="frozen_det.ImageFolder", data_root=str(tmp_path / "trees"), split="test")
    run = fixres_config(config, "a.pth", FixResSettings(test_size=16, pseudo_labels=pseudo))
    together = DATASETS.build(run.train_dataloader.dataset)
    assert len(together) == 24 + 9
    first, last = together[0]["data_samples"], together[32]["data_samples"]
    assert (first["index"], last["index"]) == (0, 32) and "/test/" in last["path"]
    assert together[32]["inputs"].shape == (3, 16, 16)
    assert "/train/" in together[23]["data_samples"]["path"] and "/test/" in together[24]["data_samples"]["path"]
    pseudo = dict(type="frozen_det.ImageFolder", data_root=str(tmp_path / "trees"), split="test", classes=["ash"])
    run = fixres_config(config, "a.pth", FixResSettings(pseudo_labels=pseudo))
    with pytest.raises(InputError):
        DATASETS.build(run.train_dataloader.dataset)


def test_light_augmentation_keeps_the_tests_scale_and_shifts_sideways_alone():
    import numpy as np
    from PIL import Image

    ramp = np.broadcast_to(np.arange(80, dtype=np.uint8)[None, :, None], (40, 80, 3))
    picture = Image.fromarray(np.ascontiguousarray(ramp))
    shifted = TRANSFORMS.build(dict(type="frozen_det.FixResTransform", size=40, crop_ratio=1.0, flip=0, color_jitter=0))
    torch.manual_seed(0)
    lefts = {int(shifted(picture)[0, 0, 0]) for _ in range(300)}
    assert lefts == set(range(41)), "every place that fits, at the test's own scale"
    mirrored = TRANSFORMS.build(dict(type="frozen_det.FixResTransform", size=40, crop_ratio=1.0, flip=1))
    assert float(mirrored(picture)[0, 0].float().diff().mean()) < 0
    with pytest.raises(InputError, match="flip in"):
        TRANSFORMS.build(dict(type="frozen_det.FixResTransform", flip=2))


def test_the_tuned_classifiers_input_is_its_parents(config, tmp_path):
    config.model.data_preprocessor = dict(mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0])
    path = checkpoint_of(config, tmp_path / "a.pth")
    tuned = MODELS.build(fixres_config(config, str(path), FixResSettings(test_size=16)).model)
    assert tuned.data_preprocessor.mean.flatten().tolist() == [1, 2, 3]
    assert tuned.weights_card().channel_order == "rgb"
