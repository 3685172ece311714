"""Whole detectors: single-stage ones export their raw maps."""

import pytest
import torch

from frozen_det.export.detector_program import export_detector

from ..torch_versions import needs_programs
from .small_backbones import retina_net


@pytest.fixture(scope="module")
def retina():
    return retina_net((8, 16))


@needs_programs
def test_a_single_stage_detector_gives_the_maps_of_its_head(retina, tmp_path):
    report = export_detector(retina, tmp_path / "a.pt2", "torch-export", size_hw=(64, 96))
    assert report.outputs == ("scores_level0", "scores_level1", "boxes_level0", "boxes_level1")
    images = torch.randn(1, 3, 64, 96)
    got = torch.export.load(tmp_path / "a.pt2").module()(images)
    scores, boxes = retina(images, None, mode="tensor")
    assert torch.allclose(got["scores_level1"], scores[1], rtol=1e-5, atol=1e-6)
    assert torch.allclose(got["boxes_level0"], boxes[0], rtol=1e-5, atol=1e-6)
    assert report.card.architecture == "RetinaNet on timm/convnext_atto" and report.card.mean[0] > 1


@needs_programs
def test_a_single_stage_detector_is_an_onnx_file_too(retina, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    report = export_detector(retina, tmp_path / "a.onnx", "onnx", size_hw=(64, 96))
    session = onnxruntime.InferenceSession(str(tmp_path / "a.onnx"), providers=["CPUExecutionProvider"])
    assert tuple(output.name for output in session.get_outputs()) == report.outputs
    images = torch.randn(2, 3, 64, 96)
    scores, boxes = retina(images, None, mode="tensor")
    got = dict(zip(report.outputs, session.run(None, {"images": images.numpy()})))
    for name, wanted in {"scores_level0": scores[0], "boxes_level1": boxes[1]}.items():
        assert abs(got[name] - wanted.detach().numpy()).max() <= 1e-4 * wanted.abs().max().item()
