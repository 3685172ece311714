"""RoIExtractor: the authors' sample positions, written out by hand, for regions of any size."""

import math

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

from frozen_det.errors import InputError

STRIDES = [8, 16, 32]


def extractor(kind="frozen_det.RoIExtractor", **layer):
    return MODELS.build(
        ConfigDict(
            type=kind,
            out_channels=3,
            featmap_strides=STRIDES,
            finest_scale=112,
            roi_layer=dict(type="RoIAlign", output_size=7, sampling_ratio=1, **layer),
        )
    )


def maps():
    g = torch.Generator().manual_seed(3)
    return tuple(torch.randn(2, 3, 256 // s, 320 // s, generator=g, dtype=torch.float64) for s in STRIDES)


def sampled_by_hand(features, roi, size=7):
    """One region as the authors' code computes it: level by area, gather of four cells, linear weights."""
    image, x1, y1, x2, y2 = roi.tolist()
    width, height = x2 - x1, y2 - y1
    area = math.sqrt(max(width * height, 0.0))
    level = math.floor(math.log2(area / 224.0)) + 4 if area else -99
    level = min(max(level, 3), 5) - 3
    cells, stride = features[level][int(image)], STRIDES[level]
    out = torch.zeros(3, size, size, dtype=torch.float64)
    for i in range(size):
        for j in range(size):
            y, x = y1 / stride + (i + 0.5) * height / stride / size, x1 / stride + (j + 0.5) * width / stride / size
            y0, x0 = min(int(y), cells.shape[1] - 1), min(int(x), cells.shape[2] - 1)
            y_next, x_next = min(y0 + 1, cells.shape[1] - 1), min(x0 + 1, cells.shape[2] - 1)
            ly, lx = y - y0, x - x0
            out[:, i, j] = (
                (1 - ly) * (1 - lx) * cells[:, y0, x0]
                + (1 - ly) * lx * cells[:, y0, x_next]
                + ly * (1 - lx) * cells[:, y_next, x0]
                + ly * lx * cells[:, y_next, x_next]
            )
    return out


ROIS = torch.tensor(
    [
        [0, 3.0, 5.0, 5.5, 6.0],  # below one cell at stride 8
        [0, 40.0, 40.0, 40.0, 40.0],  # nothing at all
        [1, 17.3, 21.9, 24.9, 300.0],  # narrow and tall, runs past the lower border of the map
        [1, 0.0, 0.0, 320.0, 256.0],  # the whole picture
        [0, 100.0, 60.0, 212.0, 172.0],
        [1, 310.0, 250.0, 319.9, 255.9],  # in the last cells
    ],
    dtype=torch.float64,
)


def test_regions_of_any_size_are_sampled_where_the_authors_sample_them():
    features = maps()
    rois = ROIS.clone()
    rois[2, 4] = 255.0
    wanted = torch.stack([sampled_by_hand(features, roi) for roi in rois])
    torch.testing.assert_close(extractor()(features, rois), wanted, rtol=1e-9, atol=1e-9)


def test_mmdets_layer_takes_a_region_below_one_cell_for_a_whole_cell():
    features = maps()
    theirs = extractor("SingleRoIExtractor", aligned=False)(features, ROIS[:1])
    assert (theirs[0] - sampled_by_hand(features, ROIS[0])).abs().max() > 0.1


def test_large_regions_are_those_of_mmdets_layer():
    features = maps()
    theirs = extractor("SingleRoIExtractor", aligned=False)(features, ROIS[3:5])
    torch.testing.assert_close(extractor()(features, ROIS[3:5]), theirs, rtol=1e-9, atol=1e-9)


def test_no_region_gives_no_features():
    assert extractor()(maps(), ROIS[:0]).shape == (0, 3, 7, 7)


@pytest.mark.parametrize(
    "layer", [dict(type="RoIPool", output_size=7), dict(type="RoIAlign", output_size=7, aligned=False)]
)
def test_another_layer_is_refused_by_name(layer):
    with pytest.raises(InputError, match="frozen_det.RoIExtractor"):
        MODELS.build(
            ConfigDict(type="frozen_det.RoIExtractor", out_channels=3, featmap_strides=STRIDES, roi_layer=layer)
        )


@pytest.mark.parametrize("kind", ["frozen_det.SingleRoIExtractor", "frozen_det.RoIExtractor"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_16_bits_regions_keep_their_corners(kind, dtype):
    """Values of a ramp along x give the place where it is read; 16 bits move corners at 1280 px by up to 4 px."""
    rois = torch.tensor([[0, 1021.3, 40.0, 1211.3, 60.0], [0, 515.0, 10.0, 531.0, 18.0]])
    ramps = [(torch.arange(1280 // s) * 1.0).expand(1, 3, 160 // s, -1) for s in STRIDES]  # values that 16 bits hold
    wanted = extractor(kind)(ramps, rois)
    short = [ramp.to(dtype).requires_grad_() for ramp in ramps]
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        found = extractor(kind)(short, rois)
    assert found.dtype == dtype and torch.equal(found, wanted.to(dtype))
    found.float().sum().backward()
    assert short[0].grad.dtype == dtype and short[0].grad.float().sum() == pytest.approx(2 * 3 * 49, rel=1e-2)


def test_outside_of_mixed_precision_the_one_in_mmdets_place_gives_mmdets_values():
    features, rois = maps(), ROIS[3:5]
    for dtype in (torch.float64, torch.float32):
        levels = [level.to(dtype) for level in features]
        theirs = extractor("SingleRoIExtractor", aligned=False)(levels, rois.to(dtype))
        assert torch.equal(extractor("frozen_det.SingleRoIExtractor", aligned=False)(levels, rois.to(dtype)), theirs)
