"""An exported detector finds what its checkpoint finds, from image files, without torch."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from frozen_det.cli import main
from frozen_det.errors import InputError
from frozen_det.inference import preparation
from frozen_det.inference.preparation import Preparation
from frozen_det.inference.program import ProgramDetector, paste
from frozen_det.weights.thresholds import Thresholds

PREPARATION = Preparation(
    ("a", "b"), (7, "x"), "color", "cv2", (64, 48), True, "bilinear", (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), True, 32, 0.0, 0
)  # fmt: skip


@pytest.mark.parametrize("size_hw", [(31, 77), (90, 41), (48, 64), (7, 300)])
@pytest.mark.parametrize("keep_ratio", [True, False])
def test_an_image_is_prepared_as_the_host_prepares_it(size_hw, keep_ratio):
    from mmcv.transforms import Resize
    from mmdet.models.data_preprocessors import DetDataPreprocessor

    pixels = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    host = Resize(scale=(64, 48), keep_ratio=keep_ratio)(dict(img=pixels))
    preprocessor = DetDataPreprocessor((1, 2, 3), (4, 5, 6), pad_size_divisor=32, bgr_to_rgb=True)
    wanted = preprocessor(dict(inputs=[torch.from_numpy(host["img"]).permute(2, 0, 1)], data_samples=None))["inputs"]
    mine = replace(PREPARATION, keep_ratio=keep_ratio)
    got = mine.stacked([mine.resized(pixels)], tuple(wanted.shape[2:]))
    np.testing.assert_array_equal(got, wanted.numpy())


def test_masks_are_pasted_as_the_host_pastes_them():
    from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask

    rng = np.random.default_rng(0)
    boxes = rng.uniform(-5, 60, (40, 2)).astype(np.float32)
    boxes = np.concatenate([boxes, boxes + rng.uniform(0.3, 50, (40, 2)).astype(np.float32)], axis=1)
    parts = cv2.blur(rng.random((28, 28, 40), dtype=np.float32), (5, 5)).transpose(2, 0, 1).copy()
    wanted, _ = _do_paste_mask(torch.from_numpy(parts)[:, None], torch.from_numpy(boxes), 60, 80, skip_empty=False)
    got = np.zeros((40, 60, 80), bool)
    for mask, part, box in zip(got, parts, boxes):
        paste(mask, part, box, 0.5)
    near = np.abs(wanted.numpy() - 0.5) < 1e-4
    assert got.sum() > 1000 and (got == (wanted.numpy() >= 0.5))[~near].all() and near.mean() < 1e-3


def test_the_preparation_travels_as_text():
    assert preparation.from_json(PREPARATION.to_json(), "a.onnx") == PREPARATION


def test_the_thresholds_of_the_validation_travel():
    found = Thresholds(0.35, {"b": 0.5}, 0.8, 0.7, 0.9, 12, 4)
    mine = replace(PREPARATION, thresholds=found.to_meta(PREPARATION.classes))
    program = ProgramDetector(Session(metadata={preparation.KEY: mine.to_json()}), "a.onnx")
    assert program.threshold == found and program(np.zeros((9, 9, 3), np.uint8))[0].threshold == 0.35
    assert ProgramDetector(Session(), "a.onnx").threshold is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the metadata of a.onnx"),
        ("[]", "the metadata of a.onnx"),
        ('{"classes": ["a"]}', "missing 12 required positional arguments"),
        ('{"unfit": "the step Pad"}', "the test pipeline of a.onnx has the step Pad"),
    ],
)
def test_metadata_that_say_no_preparation_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        preparation.from_json(text, "a.onnx")


class Session:
    """Stands for onnxruntime's: gives one detection, the middle of the picture."""

    def __init__(self, inputs=("images", "sizes"), outputs=("boxes", "scores", "labels"), side="H", metadata=None):
        self._names, self._side = (inputs, outputs), side
        self._metadata = {preparation.KEY: PREPARATION.to_json()} if metadata is None else metadata

    def get_inputs(self):
        return [SimpleNamespace(name=name, shape=["N", 3, self._side, self._side]) for name in self._names[0]]

    def get_outputs(self):
        return [SimpleNamespace(name=name) for name in self._names[1]]

    def get_modelmeta(self):
        return SimpleNamespace(custom_metadata_map=self._metadata)

    def run(self, names, given):
        self.given, sizes = given, given["sizes"].astype(np.float32)[:, None]
        middle = np.concatenate([sizes[..., ::-1] / 4, sizes[..., ::-1] / 2], axis=-1)
        boxes = np.concatenate([middle, np.zeros_like(middle)], axis=1)
        n = len(boxes)
        return [boxes, np.tile(np.float32([0.75, 0]), (n, 1)), np.tile([1, -1], (n, 1))]


def test_boxes_are_in_pixels_of_the_image_and_padding_of_the_lists_is_left_out():
    session = Session()
    images = [np.zeros((90, 40, 3), np.uint8), np.zeros((96, 40, 3), np.uint8)]
    first, second = ProgramDetector(session, "a.onnx")(images, batch_size=2)
    assert session.given["images"].shape == (2, 3, 64, 32) and session.given["sizes"].tolist() == [[64, 28], [64, 27]]
    np.testing.assert_allclose(first.boxes_xyxy, [[10, 22.5, 20, 45]], rtol=1e-6)
    np.testing.assert_allclose(second.boxes_xyxy, [[10, 24, 20, 48]], rtol=1e-6)
    assert first.names == ["b"] and first.to_coco()[0]["category_id"] == "x" and first.scores.tolist() == [0.75]


def test_a_program_of_one_size_is_given_that_size():
    session = Session(side=96)
    ProgramDetector(session, "a.onnx")(np.zeros((90, 40, 3), np.uint8))
    assert session.given["images"].shape == (1, 3, 96, 96)
    with pytest.raises(InputError, match=r"at most \(50, 50\) px after resizing, as a.onnx takes no other"):
        ProgramDetector(Session(side=50), "a.onnx")(np.zeros((90, 40, 3), np.uint8))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (dict(inputs=("images",), outputs=("stride_4", "stride_8")), "from images to stride_4, stride_8: a backbone"),
        (dict(inputs=("sizes", "stride_4")), "from sizes, stride_4 to boxes"),
        (dict(inputs=("images",), outputs=("boxes_level0", "scores_level0")), "a backbone, decoder or raw maps"),
        (dict(metadata={}), "no frozen_det_detector in its metadata"),
    ],
)
def test_other_programs_are_refused(parts, message):
    with pytest.raises(InputError, match=message):
        ProgramDetector(Session(**parts), "a.onnx")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("bad.onnx", "bad.onnx cannot be read"),
        ("empty.onnx", "empty.onnx cannot be read"),
        ("gone.onnx", "gone.onnx does not exist"),
        ("bad.onnx other.pth", "several checkpoints, got bad.onnx among others"),
        ("bad.onnx --join", "are for checkpoints, got the program bad.onnx"),
        ("bad.onnx --config quickstart", "are for checkpoints"),
        ("bad.onnx --device cuda", "are for checkpoints"),
        ("bad.onnx --cfg-options a=1", "are for checkpoints"),
    ],
)
def test_what_cannot_run_is_one_line(tmp_path, monkeypatch, capsys, options, message):
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.onnx").write_bytes(b"no program")
    (tmp_path / "empty.onnx").write_bytes(b"")
    cv2.imwrite("a.png", np.zeros((8, 8, 3), np.uint8))
    assert main(["predict", "a.png", "-o", "out", "--checkpoint", *options.split()]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
