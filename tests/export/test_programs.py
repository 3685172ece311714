"""Programs: ONNX and torch.export give what eager gives, at other sizes and batches than they were traced with."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from frozen_det.errors import InputError
from frozen_det.export import export_program
from frozen_det.export.programs import whole_same_padding
from frozen_det.host.torch_versions import TORCH
from frozen_det.models import FrozenBackbone
from frozen_det.weights.card import KEY

from ..torch_versions import needs_programs
from .small_backbones import BACKBONES, filled


@pytest.fixture
def onnxruntime():
    pytest.importorskip("onnxscript", reason="ONNX needs the extra `export`")
    pytest.importorskip("onnx")
    return pytest.importorskip("onnxruntime")


def session_of(onnxruntime, path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_a_torch_that_is_too_old_is_named_with_the_remedy(tmp_path, monkeypatch, suffix):
    from frozen_det.export import programs

    monkeypatch.setattr(programs, "TORCH", (2, 5))
    kind = {suffix: kind for kind, suffix in programs.SUFFIXES.items()}[suffix]
    with pytest.raises(InputError, match="expected torch 2.6 or newer to write x.*Export the weights instead"):
        export_program(filled("resnet", tmp_path), tmp_path / f"x{suffix}", kind)
    assert not (tmp_path / f"x{suffix}").exists()


@needs_programs
@pytest.mark.parametrize("family", ["resnet", "vit"])
def test_onnx_with_open_sizes_gives_eagers_features(family, tmp_path, onnxruntime):
    backbone = filled(family, tmp_path)
    report = export_program(backbone, tmp_path / "a.onnx", "onnx")
    assert report.fixed_hw is None and 0 < report.largest_difference <= 1e-4
    assert report.outputs == tuple(f"stride_{s}" for s in backbone.strides)
    session = session_of(onnxruntime, tmp_path / "a.onnx")
    assert [i.name for i in session.get_inputs()] == ["images"]
    assert [o.name for o in session.get_outputs()] == list(report.outputs)
    images = torch.randn(4, 3, 64 * max(1, report.step // 32), 192)  # neither size nor batch was traced or checked
    for got, wanted in zip(session.run(None, {"images": images.numpy()}), backbone(images)):
        assert np.abs(got - wanted.numpy()).max() <= 1e-4 * wanted.abs().max()
    card = json.loads(session.get_modelmeta().custom_metadata_map[KEY])
    assert card["architecture"] == backbone.architecture and card["mean"][0] > 1


@needs_programs
@pytest.mark.parametrize("family", ["efficientnet", "convnext", "swin"])
def test_onnx_at_a_fixed_size_keeps_the_batch_open(family, tmp_path, onnxruntime):
    backbone = filled(family, tmp_path)
    report = export_program(backbone, tmp_path / "a.onnx", "onnx", size_hw=(64, 96))
    assert report.fixed_hw == (64, 96) and report.checked == ((2, 64, 96), (1, 64, 96), (3, 64, 96))
    session = session_of(onnxruntime, tmp_path / "a.onnx")
    images = torch.randn(5, 3, 64, 96)
    for got, wanted in zip(session.run(None, {"images": images.numpy()}), backbone(images)):
        assert np.abs(got - wanted.numpy()).max() <= 1e-4 * wanted.abs().max()
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        session.run(None, {"images": np.zeros((1, 3, 64, 64), np.float32)})


@needs_programs
def test_torch_export_is_read_back_with_its_card_and_refuses_sizes_it_cannot_do(tmp_path):
    backbone = filled("resnet", tmp_path)
    report = export_program(backbone, tmp_path / "a.pt2", "torch-export")
    # Its pooling in the shortcut is traced for even maps only before torch 2.12 or so; ONNX has no such limit.
    assert report.step in ((32,) if TORCH <= (2, 11) else (1, 32)) and report.largest_difference == 0.0
    extra = {f"{KEY}.json": ""}
    program = torch.export.load(tmp_path / "a.pt2", extra_files=extra).module()
    assert json.loads(extra[f"{KEY}.json"])["digest"] == report.card.digest
    images = torch.randn(2, 3, 96, 64)
    assert all(torch.equal(program(images)[name], wanted) for name, wanted in zip(report.outputs, backbone(images)))
    if report.step == 1:
        odd = torch.randn(1, 3, 97, 64)
        assert all(
            torch.allclose(program(odd)[name], wanted, atol=1e-5) for name, wanted in zip(report.outputs, backbone(odd))
        )
        return
    with pytest.raises(Exception, match="Guard failed|expected|Expected"):
        program(torch.randn(1, 3, 97, 64))


@needs_programs
def test_a_backbone_with_windows_needs_a_fixed_size_and_says_so(tmp_path):
    backbone = FrozenBackbone(BACKBONES["swin"][0], weights="random").eval()
    with pytest.raises(InputError, match=r"windows.*Give the one size it will run at, for example --size 512 512"):
        export_program(backbone, tmp_path / "a.pt2", "torch-export")
    assert list(tmp_path.iterdir()) == []


@needs_programs
def test_a_difference_from_eager_keeps_no_file(tmp_path, monkeypatch):
    from frozen_det.export import programs

    backbone = filled("convnext", tmp_path)
    taken = programs._program_copy

    def changed(original, fold_norms):
        made = taken(original, fold_norms)
        made.body.stem[0].bias.data[0] += 1
        return made

    monkeypatch.setattr(programs, "_program_copy", changed)
    with pytest.raises(InputError, match=r"differs from eager by .* in stride_4 .*It was not kept"):
        export_program(backbone, tmp_path / "a.pt2", "torch-export", size_hw=(64, 64))
    assert [p.name for p in tmp_path.iterdir()] == ["upstream.pth"]


@needs_programs
def test_folded_norms_leave_the_program_and_not_the_function(tmp_path):
    backbone = filled("efficientnet", tmp_path)
    for fold in (False, True):
        report = export_program(backbone, tmp_path / f"{fold}.pt2", "torch-export", size_hw=(64, 64), fold_norms=fold)
        calls = [node.target for node in torch.export.load(tmp_path / f"{fold}.pt2").graph.nodes]
        assert any("batch_norm" in str(target) for target in calls) != fold
        assert report.largest_difference <= 1e-5
    assert backbone.body.blocks[0][0].bn1.running_var.std() > 0, "the backbone itself is left alone"


@needs_programs
def test_adapters_that_cannot_be_merged_stay_beside_the_backbone_in_a_program(tmp_path):
    backbone = FrozenBackbone(
        BACKBONES["resnet"][0], weights="random", adapters=dict(type="conv_adapter", init="normal")
    ).eval()
    report = export_program(backbone, tmp_path / "a.pt2", "torch-export", size_hw=(64, 64))
    assert report.largest_difference == 0.0


@needs_programs
def test_onnx_without_its_packages_is_one_line_with_the_remedy(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    backbone = FrozenBackbone(BACKBONES["convnext"][0], weights="random").eval()
    with pytest.raises(InputError, match=r"onnxruntime is not installed. Remedy: pip install 'frozen-det\[export\]'"):
        export_program(backbone, tmp_path / "a.onnx", "onnx", size_hw=(64, 64))


@given(st.integers(1, 300), st.integers(1, 9), st.integers(1, 4), st.integers(1, 3))
def test_padding_in_whole_numbers_is_timms(size, kernel, stride, dilation):
    from timm.layers.padding import get_same_padding

    assert whole_same_padding(size, kernel, stride, dilation) == get_same_padding(size, kernel, stride, dilation)
