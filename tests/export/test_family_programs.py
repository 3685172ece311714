"""Detectors on one backbone as one program of it and one for each decoder."""

from types import SimpleNamespace

import pytest
import torch

from frozen_det.errors import InputError
from frozen_det.export import export_family

from ..torch_versions import needs_programs
from .small_backbones import retina_net


def _retina(strides, **backbone):
    return SimpleNamespace(model=retina_net(strides, **backbone))


@pytest.fixture(scope="module")
def family():
    first, second = _retina((8, 16)), _retina((16,))
    state = first.model.backbone.state_dict()
    second.model.backbone.load_state_dict({key: state[key] for key in second.model.backbone.state_dict()})
    return dict(both=first, coarse=second)


@needs_programs
def test_one_backbone_and_each_decoder_give_what_the_detectors_give(family, tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    reports = export_family(family, tmp_path)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["backbone.onnx", "both.onnx", "coarse.onnx"]
    assert all(report.fixed_hw is None and report.largest_difference <= 1e-4 for report in reports.values())
    run = {name: onnxruntime.InferenceSession(str(tmp_path / f"{name}.onnx")) for name in reports}
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    found = run["backbone"].run(None, {"images": images.numpy()})
    features = dict(zip(reports["backbone"].outputs, found))
    for name, member in family.items():
        taken = [one.name for one in run[name].get_inputs()]
        assert taken == [f"stride_{stride}" for stride in member.model.backbone.strides]
        got = run[name].run(None, {key: features[key] for key in taken})
        wanted = [one for kind in member.model(images, None, mode="tensor") for one in kind]
        for value, one in zip(got, wanted, strict=True):
            assert abs(value - one.detach().numpy()).max() <= 1e-4 * one.abs().max().item()
    assert reports["both"].card.architecture == "RetinaNet on timm/convnext_atto"


def test_what_one_backbone_cannot_serve_is_refused_by_name(family, tmp_path):
    trained = dict(family, fine=_retina((8, 16), freeze=False))
    with pytest.raises(InputError, match="wholly frozen backbone.*fine has adapters"):
        export_family(trained, tmp_path)
    with pytest.raises(InputError, match=r"strides of all, \[4, 8, 16\], got at most \[8, 16\]"):
        export_family(dict(family, finest=_retina((4,))), tmp_path)
    with pytest.raises(InputError, match="none of them called 'backbone'"):
        export_family(dict(backbone=family["both"]), tmp_path)
    assert list(tmp_path.iterdir()) == []
