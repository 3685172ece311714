"""A training step and a prediction of every kind of detector on a pretended GPU: no mix of devices, losses, waits.

Small detectors of this package's configs, and mmdet's own beside them.
"""

import copy
from collections import Counter

import pytest
import torch

from frozen_det.benchmarks.detector_check import quiet
from frozen_det.benchmarks.pretended_device.device import pretended_device
from frozen_det.benchmarks.pretended_device.measured import HOST, OURS, MeasuredModel, batch_of, parts_of
from frozen_det.benchmarks.pretended_device.waits import READ_BACK, counted
from frozen_det.config import load_config

SIZE = 128
_SMALL = {"model.detector.backbone.body.name": "resnet10t"}
_FEW = {"num_queries": 20, "encoder.num_layers": 1, "decoder.num_layers": 2, "test_cfg.max_per_img": 5}
_TRANSFORMER = {f"model.detector.{key}": value for key, value in _FEW.items()}
_NARROW = {"model.detector.neck.out_channels": 32, "model.detector.rpn_head.feat_channels": 32}
_HEAD = {"model.detector.bbox_head.feat_channels": 32}
_CASCADE = {
    "model.detector.neck.num_repeats": 1,
    "model.detector.roi_head.bbox_head.conv_out_channels": 32,
    "model.detector.roi_head.bbox_head.fc_out_channels": 32,
    "model.detector.roi_head.mask_head.conv_out_channels": 32,
}
# Kind -> config and overrides; the first four have heads of this package.
KINDS = {
    "faster": ("faster-rcnn_frozen-efficientnetlite0_fpn_plain-8e_toy", _NARROW),
    "cascade-mask": ("cascade-mask-rcnn_frozen-efficientnetlite0_nasfpn_plain-8e_toy", _NARROW | _CASCADE),
    "retinanet": (
        "retinanet_frozen-efficientnetlite0_nasfpn_plain-8e_toy",
        _HEAD | {"model.detector.neck.out_channels": 32, "model.detector.neck.num_repeats": 1},
    ),
    "second-stage": ("faster-rcnn_frozen-efficientnetlite0_fpn_plain-3e_toy_cb-stage2", _NARROW),
    "adapters": (
        "faster-rcnn_frozen-efficientnetlite0_fpn_plain-8e_toy128",
        _NARROW | {"model.detector.backbone.adapters.type": "parallel"},
    ),
    "fcos": ("fcos_frozen-efficientnetlite0_fpn_plain-8e_toy128", _HEAD),
    "rtmdet": ("rtmdet_frozen-efficientnetlite0_cspnextpafpn_plain-8e_toy128", {}),
    "yolox": ("yolox_frozen-efficientnetlite0_yoloxpafpn_plain-8e_toy128", {}),
    "condinst": ("condinst_frozen-efficientnetlite0_fpn_plain-8e_toy128", {}),
    "mask2former": (
        "mask2former_frozen-resnet50tv_msdeformattn_lsj-50e_coco",
        {
            "model.detector.panoptic_head.num_queries": 8,
            "model.detector.panoptic_head.transformer_decoder.num_layers": 1,
            "model.detector.panoptic_head.pixel_decoder.encoder.num_layers": 1,
            "model.detector.train_cfg.num_points": 64,
            "model.detector.test_cfg.max_per_image": 5,
            "model.detector.backbone.body.type": "timm",
        },
    ),
    "dino": ("dino_frozen-efficientnetlite0_channelmapper_plain-24e_toy128", _TRANSFORMER),
}


def config_of(kind: str):
    name, options = KINDS[kind]
    return load_config(name if kind == "mask2former" else f"smoke/{name}", {**_SMALL, **options})


class Run:
    """What one kind of detector does on the pretended device with one object in an image and with seven."""

    def __init__(self, kind: str):
        self.kind, cfg = kind, config_of(kind)
        with quiet():
            model, self.batch, hooks, clip = parts_of(cfg, OURS, SIZE, 2, 7)
            plain = copy.deepcopy(model)
            self.plain_losses = MeasuredModel(plain, self.batch, clip_grad=clip, device="cpu").train()
            self.plain = plain
            with pretended_device():
                step = MeasuredModel(model, self.batch, hooks, clip)
                self.losses = step.train()
                self.moved = {name: parameter.detach().cpu() for name, parameter in model.named_parameters()}
                with counted() as self.seven:
                    step.train()
                with counted() as self.prediction:
                    self.found = step.predict()
                step.batch = batch_of(model, SIZE, 2, 1, boxed=True)
                with counted() as self.one:
                    step.train()


@pytest.fixture(scope="module", params=list(KINDS))
def run(request):
    return Run(request.param)


def test_the_losses_and_the_step_are_the_cpus(run):
    assert set(run.losses) == set(run.plain_losses)
    for name, value in run.plain_losses.items():
        assert run.losses[name] == pytest.approx(value.item(), rel=1e-5), name
    expected = dict(run.plain.named_parameters())
    for name, parameter in run.moved.items():
        # mmcv's operators stand where mmdet has torch's on a CPU: focal loss, deformable attention.
        assert torch.allclose(parameter, expected[name], rtol=1e-4, atol=1e-6), name


def test_it_predicts_on_the_device(run):
    assert len(run.found) == 2 and all(one.pred_instances.bboxes.is_cuda for one in run.found)


def test_what_waits_in_this_package_does_not_depend_on_the_number_of_objects(run):
    def ours(waits):
        return Counter(wait for wait in waits if wait.package == "frozen_det")

    assert ours(run.one) == ours(run.seven)
    # The loss, asked for before the backward pass, and the values that are logged, in one.
    guard = [wait.what for wait in run.seven if wait.file.endswith("nan_guard.py")]
    assert guard == ["event", "tolist"]
    masks = {"cascade-mask": 2}.get(run.kind, 0)
    assert sum(ours(run.seven).values()) == 2 + masks, ours(run.seven)
    assert not ours(run.prediction)


@pytest.mark.parametrize("run", ["faster", "cascade-mask", "retinanet", "fcos"], indirect=True)
def test_it_reads_back_less_often_than_mmdets_own(run):
    with quiet(), pretended_device():
        found = MeasuredModel(*parts_of(config_of(run.kind), HOST, SIZE, 2, 7)).waits()

    def reads(waits):
        return sum(wait.kind == READ_BACK for wait in waits)

    assert reads(run.seven) < reads(found["training"])
    assert reads(run.prediction) <= reads(found["prediction"])
