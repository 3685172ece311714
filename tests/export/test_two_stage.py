"""Two-stage detectors in fixed shapes and as ONNX programs find what mmdet's own functions find."""

import copy
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from frozen_det.errors import InputError
from frozen_det.export import export_family
from frozen_det.export.detector_program import export_detector

from ..torch_versions import needs_programs
from .small_backbones import BACKBONES

NMS = dict(type="nms", iou_threshold=0.5)
CODER = dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[0.1, 0.1, 0.2, 0.2])
ALIGN = dict(type="RoIAlign", output_size=7, sampling_ratio=0)
POOL = dict(type="RoIPool", output_size=7)
MASK_ALIGN = dict(ALIGN, output_size=14, sampling_ratio=1)


def _box_head(**changes):
    return dict(
        type="Shared2FCBBoxHead", fc_out_channels=16, roi_feat_size=7, reg_class_agnostic=False, bbox_coder=CODER
    ) | dict(changes)


def _standard(**changes):
    return dict(
        type="StandardRoIHead",
        bbox_roi_extractor=dict(type="SingleRoIExtractor", roi_layer=ALIGN),
        bbox_head=_box_head(),
        mask_roi_extractor=dict(type="SingleRoIExtractor", roi_layer=MASK_ALIGN),
        mask_head=dict(type="FCNMaskHead", num_convs=1, conv_out_channels=8),
    ) | dict(changes)


def _own_cascade(**changes):
    return dict(
        type="frozen_det.CascadeRoIHead",
        test_average="scores",
        mask_stages="last",
        bbox_roi_extractor=dict(type="frozen_det.RoIExtractor", roi_layer=dict(ALIGN, sampling_ratio=1)),
        bbox_head=dict(
            type="frozen_det.ConvFCBBoxHead",
            num_shared_convs=1,
            num_shared_fcs=1,
            conv_out_channels=8,
            fc_out_channels=16,
            roi_feat_size=7,
            bbox_coder=dict(type="frozen_det.InclusiveBoxCoder"),
        ),
        mask_roi_extractor=dict(type="frozen_det.RoIExtractor", roi_layer=MASK_ALIGN),
        mask_head=dict(type="frozen_det.FCNMaskHead", num_convs=1, conv_out_channels=8),
    ) | dict(changes)


def _host_cascade():
    return dict(
        type="CascadeRoIHead",
        num_stages=2,
        stage_loss_weights=[1, 0.5],
        bbox_roi_extractor=dict(type="SingleRoIExtractor", roi_layer=ALIGN),
        bbox_head=[_box_head(), _box_head()],
        mask_roi_extractor=dict(type="SingleRoIExtractor", roi_layer=MASK_ALIGN),
        mask_head=dict(type="FCNMaskHead", num_convs=1, conv_out_channels=8),
    )


def _detector(roi_head, kind="MaskRCNN", nms=NMS, rpn_nms=NMS):
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    from frozen_det.models import Detector

    torch.manual_seed(0)
    model = Detector(
        dict(
            type=kind,
            backbone=dict(
                type="frozen_det.FrozenBackbone",
                body=BACKBONES["convnext"][0],
                weights="random",
                strides=(8, 16),
            ),
            neck=dict(type="FPN", out_channels=8, num_outs=3),
            rpn_head=dict(
                type="RPNHead",
                feat_channels=8,
                anchor_generator=dict(type="AnchorGenerator", scales=[4], ratios=[0.5, 1.0]),
                bbox_coder=dict(CODER, target_stds=[1.0] * 4),
            ),
            roi_head=roi_head,
            train_cfg=None,
            test_cfg=dict(
                rpn=dict(nms_pre=60, max_per_img=40, nms=rpn_nms, min_bbox_size=4),
                rcnn=dict(score_thr=0.3, nms=nms, max_per_img=15, mask_thr_binary=0.5),
            ),
        ),
        num_classes=3,
    ).eval()
    with torch.no_grad():  # initial layers give nearly the same scores everywhere
        for name, value in model.named_parameters():
            if name.endswith(("rpn_cls.weight", "rpn_reg.weight", "fc_cls.weight")):
                value.normal_(std=1.0)
            elif name.endswith(("fc_reg.weight", "conv_logits.weight")):
                value.normal_(std=0.2)
    return model


VARIANTS = {
    "boxes and masks by class": lambda: _detector(_standard()),
    "one box and mask for all classes": lambda: _detector(
        _standard(
            bbox_head=_box_head(reg_class_agnostic=True),
            mask_head=dict(type="FCNMaskHead", num_convs=1, conv_out_channels=8, class_agnostic=True),
        )
    ),
    "suppression over all classes and levels": lambda: _detector(
        _standard(), nms=dict(NMS, class_agnostic=True), rpn_nms=dict(NMS, class_agnostic=True)
    ),
    "double head": lambda: _detector(
        dict(
            type="DoubleHeadRoIHead",
            reg_roi_scale_factor=1.3,
            bbox_roi_extractor=dict(type="SingleRoIExtractor", roi_layer=ALIGN),
            bbox_head=dict(
                type="DoubleConvFCBBoxHead",
                num_convs=1,
                num_fcs=1,
                conv_out_channels=8,
                fc_out_channels=16,
                roi_feat_size=7,
                bbox_coder=CODER,
            ),
        ),
        "FasterRCNN",
    ),
    "cascade": lambda: _detector(_host_cascade(), "CascadeRCNN"),
    "own cascade": lambda: _detector(_own_cascade(), "CascadeRCNN"),
    "own cascade, logits": lambda: _detector(_own_cascade(test_average="logits"), "CascadeRCNN"),
}


def _inputs(seed=1, size=(128, 160)):
    from frozen_det.export.detections import picture

    images = picture(torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(seed)))
    return images, torch.tensor([size, (size[0] - 20, size[1] - 7)])


def _same(got, wanted, least):
    """Equal detections, picture by picture; places after them are empty."""
    assert min(len(one) for one in wanted["scores"]) >= least
    for i, scores in enumerate(wanted["scores"]):
        count = len(scores)
        assert torch.equal(got["labels"][i, :count], wanted["labels"][i])
        assert (got["labels"][i, count:] == -1).all() and not got["scores"][i, count:].any()
        for name, most in dict(boxes=1e-3, scores=1e-5, masks=1e-4).items():
            if name in wanted and count:
                assert (got[name][i, :count] - wanted[name][i]).abs().max() <= most, name
                assert not got[name][i, count:].any()


@needs_programs
@pytest.mark.parametrize("name", VARIANTS)
def test_fixed_shapes_hold_what_mmdet_finds(name):
    from frozen_det.export.detections import eager_detections
    from frozen_det.export.two_stage import TwoStage

    model = VARIANTS[name]()
    images, sizes = _inputs()
    with torch.no_grad():
        got = TwoStage(copy.deepcopy(model))(model.extract_feat(images), sizes)
    assert got["boxes"].shape == (2, 15, 4) and got["labels"].shape == (2, 15)
    _same(got, eager_detections(model, images, sizes), least=2)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A cascade with masks, its parts as a family writes them, and their reports."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    folder, model = tmp_path_factory.mktemp("family"), VARIANTS["own cascade"]()
    return model, folder, export_family(dict(masks=SimpleNamespace(model=model)), folder)


def _run(path, outputs, **inputs):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    values = session.run(list(outputs), {name: value.numpy() for name, value in inputs.items()})
    return {name: torch.from_numpy(value) for name, value in zip(outputs, values)}


@needs_programs
def test_a_decoder_of_a_family_takes_the_backbone_s_outputs_and_the_sizes(exported):
    from frozen_det.export.detections import eager_detections

    model, folder, reports = exported
    assert reports["masks"].outputs == ("boxes", "scores", "labels", "masks") and reports["masks"].fixed_hw is None
    images, sizes = _inputs(3)
    features = _run(folder / "backbone.onnx", reports["backbone"].outputs, images=images)
    got = _run(folder / "masks.onnx", reports["masks"].outputs, **features, sizes=sizes)
    assert got["masks"].shape == (2, 15, 28, 28)
    _same(got, eager_detections(model, images, sizes), least=2)


@pytest.fixture(scope="module")
def whole(exported, tmp_path_factory):
    """(detector, program, report): the same cascade as one program that says how images are prepared."""
    from mmcv.transforms import Compose

    from frozen_det.export import detections
    from frozen_det.inference.detector import LoadedDetector
    from frozen_det.inference.preparation import described

    model, folder, reports = exported
    steps = [
        dict(type="LoadImageFromFile"),
        dict(type="mmdet.Resize", scale=(160, 128), keep_ratio=True),
        dict(type="mmdet.PackDetInputs", meta_keys=("ori_shape", "img_shape", "scale_factor")),
    ]
    pipeline = dict(file=Compose(steps), array=Compose([dict(type="mmdet.LoadImageFromNDArray"), *steps[1:]]))
    detector = LoadedDetector(model, pipeline, ("a", "b", "c"), None, (3, 1, 20))
    path = tmp_path_factory.mktemp("whole") / "a.onnx"

    def written(name):
        def copied(_, path, *args):
            shutil.copy(folder / f"{name}.onnx", path)
            return reports[name]

        return copied

    with pytest.MonkeyPatch.context() as patch:  # the parts are there already
        patch.setattr(detections, "export_program", written("backbone"))
        patch.setattr(detections, "export_decoder", written("masks"))
        return detector, path, export_detector(model, path, "onnx", None, described(detector))


@needs_programs
def test_a_whole_detector_takes_images_of_any_size_and_batch(whole):
    from frozen_det.export import detections

    detector, path, report = whole
    for size in ((128, 160), (160, 96)):
        images, sizes = _inputs(2, size)
        got = _run(path, report.outputs, images=images, sizes=sizes)
        _same(got, detections.eager_detections(detector.model, images, sizes), least=2)


def coloured(folder, count=4):
    """A folder of pictures of coloured blocks, of two sizes."""
    rng = np.random.default_rng(0)
    for number in range(count):
        blocks = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
        size = (200 + 9 * (number // 2), 150)
        cv2.imwrite(str(folder / f"{number}.png"), cv2.resize(blocks, size, interpolation=cv2.INTER_NEAREST))
    return folder


def _tensors(found):
    parts = dict(boxes=found.boxes_xyxy, scores=found.scores, labels=found.labels)
    return {name: torch.from_numpy(value) for name, value in parts.items()}


@needs_programs
def test_a_program_finds_in_files_what_its_checkpoint_finds(whole, tmp_path):
    from frozen_det.export.detections import pair
    from frozen_det.inference.program import load_program

    detector, path, _ = whole
    program, images = load_program(path), coloured(tmp_path)
    total = 0
    for batch_size in (1, 3):
        for wanted, got in zip(detector(images), program(images, batch_size=batch_size), strict=True):
            a, b = pair(*(_tensors(one) for one in (got, wanted)))
            total += len(a)
            assert len(a) >= max(len(got), len(wanted)) - 1 and got.masks.shape[1:] == wanted.masks.shape[1:]
            assert np.mean(got.masks[a.numpy()] != wanted.masks[b.numpy()]) < 1e-3
            assert got.category_ids == wanted.category_ids == (3, 1, 20) and got.size_hw == wanted.size_hw
    assert total > 40


@needs_programs
def test_predict_runs_a_program_without_torch(whole, tmp_path):
    images = coloured(tmp_path, 2)
    code = (
        "import sys; from frozen_det.cli import main; "
        "code = main(['predict', *sys.argv[1:], '--flip', '--classes', 'a', 'b']); "
        "assert not {'torch', 'mmdet', 'mmcv', 'mmengine'} & set(sys.modules); sys.exit(code)"
    )
    given = [str(images), "--checkpoint", str(whole[1]), "-o", str(images / "out")]
    subprocess.run([sys.executable, "-c", code, *given], check=True)
    written = json.loads((images / "out" / "predictions.json").read_text())
    assert [one["id"] for one in written["categories"]] == [3, 1, 20] and len(written["images"]) == 2
    assert {one["category_id"] for one in written["annotations"]} <= {3, 1}
    assert all("segmentation" in one for one in written["annotations"]) and written["annotations"]
    assert sorted(one.name for one in (images / "out").glob("*.jpg")) == ["0.jpg", "1.jpg"]


@needs_programs
def test_weights_of_8_bits_take_the_place_of_floats_and_the_metadata_stay(whole, tmp_path):
    import onnx

    from frozen_det.export.int8 import quantize
    from frozen_det.inference.program import load_program

    path = tmp_path / "a.onnx"
    path.write_bytes(whole[1].read_bytes())
    quantize(path)
    ops = {node.op_type for node in onnx.load(path).graph.node}
    assert {"ConvInteger", "MatMulInteger"} <= ops and not {"Conv", "Gemm"} & ops
    assert load_program(path).preparation == load_program(whole[1]).preparation
    assert list(tmp_path.iterdir()) == [path]
    assert load_program(path)(coloured(tmp_path, 1))[0].masks is not None


@pytest.mark.parametrize(
    "roi_head, nms, message",
    [
        (_standard(), dict(type="soft_nms", iou_threshold=0.5), r"MaskRCNN.*rcnn.nms is .*soft_nms.*plain suppression"),
        (
            _standard(bbox_roi_extractor=dict(type="GenericRoIExtractor", roi_layer=ALIGN)),
            NMS,
            "GenericRoIExtractor.*combines levels",
        ),
        (
            _standard(
                bbox_roi_extractor=dict(type="SingleRoIExtractor", roi_layer=dict(type="RoIPool", output_size=7))
            ),
            NMS,
            "RoIPool.*is not an averaging RoIAlign",
        ),
    ],
)
def test_what_a_program_cannot_hold_is_refused_by_name(roi_head, nms, message, tmp_path):
    with pytest.raises(InputError, match=message):
        export_detector(_detector(roi_head, nms=nms), tmp_path / "a.onnx", "onnx")
    assert list(tmp_path.iterdir()) == []


def test_detections_have_no_torch_export_program(tmp_path):
    with pytest.raises(InputError, match=r"ends in \.onnx for MaskRCNN.*suppression inside.*a\.pt2"):
        export_detector(VARIANTS["boxes and masks by class"](), tmp_path / "a.pt2", "torch-export")
