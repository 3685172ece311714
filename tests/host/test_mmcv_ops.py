"""The stand-in for mmcv's compiled ops: right against slow references, and out of the way of real ops."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import frozen_det.host.mmcv_ops as mmcv_ops


def _slow_nms(boxes, scores, threshold, offset):
    """Greedy NMS, one pair at a time, sides measured as x2 - x1 + offset."""
    order = np.argsort(-scores, kind="stable")
    keep = []
    for i in order:
        x1, y1, x2, y2 = boxes[i]
        area = (x2 - x1 + offset) * (y2 - y1 + offset)
        ok = True
        for j in keep:
            u1, v1, u2, v2 = boxes[j]
            w = max(0.0, min(x2, u2) - max(x1, u1) + offset)
            h = max(0.0, min(y2, v2) - max(y1, v1) + offset)
            union = area + (u2 - u1 + offset) * (v2 - v1 + offset) - w * h
            ok = ok and (union <= 0 or w * h / union <= threshold)
        if ok:
            keep.append(i)
    return keep


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("count", [0, 1, 60])
def test_nms_equals_a_slow_greedy_one(count, offset):
    from mmcv.ops import nms

    rng = np.random.default_rng(count)
    start = rng.uniform(0, 60, (count, 2))
    boxes = np.concatenate([start, start + rng.uniform(1, 40, (count, 2))], 1).astype(np.float32)
    scores = rng.permutation(np.linspace(0.05, 0.95, count)).astype(np.float32)
    dets, kept = nms(torch.from_numpy(boxes).reshape(-1, 4), torch.from_numpy(scores), 0.4, offset=offset)
    assert kept.tolist() == _slow_nms(boxes.astype(np.float64), scores, 0.4, offset)
    assert torch.equal(dets[:, 4], torch.from_numpy(scores)[kept])


def _slow_roi_align(feature, roi, size, scale, ratio):
    """RoIAlign (aligned), average of ratio x ratio bilinear samples per bin; feature (C, H, W), roi xyxy."""
    channels, height, width = feature.shape
    x1, y1, x2, y2 = [c * scale - 0.5 for c in roi]
    bin_w, bin_h = (x2 - x1) / size, (y2 - y1) / size
    out = np.zeros((channels, size, size))
    for i in range(size):
        for j in range(size):
            for a in range(ratio):
                for b in range(ratio):
                    y = y1 + (i + (a + 0.5) / ratio) * bin_h
                    x = x1 + (j + (b + 0.5) / ratio) * bin_w
                    if y < -1 or y > height or x < -1 or x > width:
                        continue
                    y, x = max(y, 0.0), max(x, 0.0)
                    y0, x0 = min(int(y), height - 1), min(int(x), width - 1)
                    y0, y = (height - 1, float(height - 1)) if y0 >= height - 1 else (y0, y)
                    x0, x = (width - 1, float(width - 1)) if x0 >= width - 1 else (x0, x)
                    y_next, x_next = min(y0 + 1, height - 1), min(x0 + 1, width - 1)
                    dy, dx = y - y0, x - x0
                    out[:, i, j] += (
                        feature[:, y0, x0] * (1 - dy) * (1 - dx)
                        + feature[:, y0, x_next] * (1 - dy) * dx
                        + feature[:, y_next, x0] * dy * (1 - dx)
                        + feature[:, y_next, x_next] * dy * dx
                    )
    return out / ratio**2


@pytest.mark.parametrize("roi", [(3.0, 4.0, 40.0, 30.0), (-10.0, -5.0, 20.0, 90.0), (8.0, 8.0, 8.5, 8.5)])
def test_roi_align_equals_a_slow_one_forward_and_backward(roi):
    from mmcv.ops import RoIAlign

    feature = torch.rand(2, 3, 16, 20, dtype=torch.float64, requires_grad=True)
    layer = RoIAlign(output_size=3, spatial_scale=0.25, sampling_ratio=2, aligned=True)
    rois = torch.tensor([[1.0, *roi]], dtype=torch.float64)
    out = layer(feature, rois)
    expected = _slow_roi_align(feature[1].detach().numpy(), roi, 3, 0.25, 2)
    np.testing.assert_allclose(out[0].detach().numpy(), expected, rtol=1e-9, atol=1e-12)
    weight = torch.rand_like(out)
    (out * weight).sum().backward()
    # Pooling is linear in the feature: <grad, f'> = pooled(f') . weight for any f'.
    other = torch.rand_like(feature)
    pooled = _slow_roi_align(other[1].numpy(), roi, 3, 0.25, 2)
    assert float((feature.grad * other).sum()) == pytest.approx(float((pooled * weight[0].numpy()).sum()), rel=1e-9)
    assert float(feature.grad[0].abs().sum()) == 0.0


def test_maximum_pooling_is_refused_by_name():
    from mmcv.ops import RoIAlign

    layer = RoIAlign(output_size=2, pool_mode="max")
    if not mmcv_ops.in_use():
        pytest.skip("mmcv has its compiled ops here")
    with pytest.raises(NotImplementedError, match="pool_mode='max'"):
        layer(torch.rand(1, 1, 8, 8), torch.tensor([[0.0, 0, 0, 4, 4]]))


def test_any_other_op_raises_by_its_name_with_the_remedy():
    if not mmcv_ops.in_use():
        pytest.skip("mmcv has its compiled ops here")
    from mmcv.ops import nms_rotated

    with pytest.raises(NotImplementedError, match="`nms_rotated` was called.*install mmcv with ops"):
        nms_rotated(torch.tensor([[0.0, 0, 1, 1, 0.5]]), torch.tensor([0.5]), 0.5)


def test_real_ops_win_over_the_stand_in(tmp_path):
    """A package that has a real `_ext` keeps it: the stand-in's finder is asked last."""
    package = tmp_path / "mmcv"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "_ext.py").write_text("marker = 'compiled'\n")
    code = "import frozen_det.host.mmcv_ops as m; m.install(); import mmcv._ext as e; print(e.marker)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**__import__("os").environ, "PYTHONPATH": str(tmp_path)},
    )
    assert done.stdout.strip() == "compiled", done.stderr


def test_ops_compiled_into_the_installed_mmcv_are_used_and_reported(tmp_path):
    """An `_ext` among the files of the mmcv that is installed here, as a build with ops leaves it."""
    (tmp_path / "_ext.py").write_text("marker = 'compiled'\n")
    code = (
        f"import frozen_det, mmcv; mmcv.__path__.insert(0, {str(tmp_path)!r}); import mmcv._ext as e; "
        "from frozen_det.cli.doctor import _ops; print(e.marker, *_ops('onedl'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip().splitlines()[-1] == "compiled mmcv's own compiled ops []", done.stderr


def test_autocast_scores_in_half_precision_are_accepted():
    from mmcv.ops import nms

    _, kept = nms(torch.tensor([[0.0, 0, 9, 9], [0, 0, 9, 9.1]]), torch.tensor([0.5, 0.9]).half(), 0.5)
    assert kept.tolist() == [1]


@pytest.mark.parametrize(
    "name, options, inputs, shape",
    [
        ("DCN", dict(in_channels=4, out_channels=6, kernel_size=3), [(2, 4, 5, 7)], (2, 6, 3, 5)),
        ("DCNv2", dict(in_channels=4, out_channels=6, kernel_size=3, padding=1), [(2, 4, 5, 7)], (2, 6, 5, 7)),
        ("carafe", dict(channels=4, scale_factor=2), [(2, 4, 5, 7)], (2, 4, 10, 14)),
        ("RoIAlign", dict(output_size=2), [(2, 4, 5, 7), (3, 5)], (3, 4, 2, 2)),
        ("RoIPool", dict(output_size=2), [(2, 4, 5, 7), (3, 5)], (3, 4, 2, 2)),
    ],
)
def test_a_network_is_described_on_meta_tensors(name, options, inputs, shape):
    import mmcv.ops
    from mmengine.registry import MODELS

    layer = (MODELS.get(name) or getattr(mmcv.ops, name))(**options).to("meta")
    assert layer(*(torch.zeros(size, device="meta") for size in inputs)).shape == shape
