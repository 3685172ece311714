"""The parts of the EfficientNet-B7 systems that tensorflow/tpu has otherwise: each against its rule."""

import math

import pytest
import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmengine.config import ConfigDict
from torch.nn import functional as F

from frozen_det.errors import InputError
from frozen_det.models import NASFPN, ConvFCBBoxHead, FCNMaskHead, FrozenBackbone

STDS = (0.1, 0.1, 0.2, 0.2)


def encoded_by_hand(box, gt, one=1.0):
    w, h = box[2] - box[0] + one, box[3] - box[1] + one
    gw, gh = gt[2] - gt[0] + one, gt[3] - gt[1] + one
    dx, dy = (gt[0] + gw / 2 - box[0] - w / 2) / w, (gt[1] + gh / 2 - box[1] - h / 2) / h
    return [d / s for d, s in zip((dx, dy, math.log(gw / w), math.log(gh / h)), STDS)]


def coder(**options):
    return TASK_UTILS.build(
        dict(type="frozen_det.InclusiveBoxCoder", target_means=[0.0] * 4, target_stds=list(STDS), **options)
    )


BOX, GT = torch.tensor([[10.0, 20.0, 41.0, 51.0]]).double(), torch.tensor([[12.0, 18.0, 60.0, 40.0]]).double()


@pytest.mark.parametrize(("inclusive", "one"), [(True, 1.0), (False, 0.0)])
def test_targets_count_the_last_pixel_or_not(inclusive, one):
    got = coder(inclusive_targets=inclusive).encode(BOX, GT)
    assert got[0].tolist() == pytest.approx(encoded_by_hand(BOX[0].tolist(), GT[0].tolist(), one), rel=1e-6)


def test_decoding_is_the_inverse_of_inclusive_encoding_for_one_box_and_for_a_box_a_class():
    c = coder()
    deltas = c.encode(BOX, GT)
    torch.testing.assert_close(c.decode(BOX, deltas), GT, rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(
        c.decode(BOX, torch.cat([deltas, torch.zeros(1, 4).double()], 1)), torch.cat([GT, BOX], 1), rtol=1e-6, atol=1e-4
    )


def test_decoded_boxes_end_at_the_border():
    boxes = coder().decode(BOX, coder().encode(BOX, GT), max_shape=(30, 50))
    assert boxes[0].tolist() == pytest.approx([12, 18, 50, 30])


def test_mask_head_has_a_norm_and_relu_after_each_convolution_and_after_the_transposed_one():
    head = FCNMaskHead(num_convs=2, in_channels=3, conv_out_channels=4, num_classes=5).double().train()
    x = torch.randn(6, 3, 14, 14, dtype=torch.float64)

    def norm_relu(y):
        return F.relu(
            (y - y.mean((0, 2, 3), keepdim=True)) / (y.var((0, 2, 3), keepdim=True, unbiased=False) + 1e-4).sqrt()
        )

    y = x
    for conv in head.convs:
        y = norm_relu(F.conv2d(y, conv.conv.weight, conv.conv.bias, padding=1))
    y = norm_relu(F.conv_transpose2d(y, head.upsample.weight, head.upsample.bias, stride=2))
    expected = F.conv2d(y, head.conv_logits.weight, head.conv_logits.bias)
    torch.testing.assert_close(head(x), expected, rtol=1e-9, atol=1e-12)


def test_mask_head_without_a_region_gives_no_mask_and_moves_no_statistics():
    head = FCNMaskHead(num_convs=1, in_channels=3, conv_out_channels=4, num_classes=5).train()
    before = {k: v.clone() for k, v in head.state_dict().items()}
    assert head(torch.zeros(0, 3, 14, 14)).shape == (0, 5, 28, 28)
    assert all(torch.equal(before[k], v) for k, v in head.state_dict().items() if "num_batches" not in k)


def test_hidden_linear_layers_start_within_glorots_limit():
    head = ConvFCBBoxHead(
        num_shared_convs=1, in_channels=4, conv_out_channels=8, fc_out_channels=64, num_classes=3, fc_init="glorot"
    )
    limit = math.sqrt(6 / (8 * 49 + 64))
    highest = head.shared_fcs[0].weight.abs().max().item()
    assert 0.99 * limit < highest <= limit


def test_another_fc_init_is_refused():
    with pytest.raises(InputError, match="fc_init 'fan_out' or 'glorot', got 'he'"):
        ConvFCBBoxHead(in_channels=4, num_classes=3, fc_init="he")


def test_rpn_outputs_start_with_the_deviation_requested():
    head = MODELS.build(
        ConfigDict(
            type="frozen_det.RPNHead",
            in_channels=64,
            feat_channels=256,
            output_std=0.01,
            anchor_generator=dict(type="AnchorGenerator", scales=[8], ratios=[1.0], strides=[8]),
        )
    )
    assert head.rpn_reg.weight.std().item() == pytest.approx(0.01, rel=0.1)


def test_bottlenecks_start_fan_in_and_their_projections_as_glorot_has_it():
    neck = NASFPN([16, 24], out_channels=256, num_repeats=2, block="bottleneck", combine="sum")
    block = neck.cells[0].nodes[0].block
    assert block.expand.conv.weight.std().item() == pytest.approx(math.sqrt(1 / 64), rel=0.05)
    assert block.conv.conv.weight.std().item() == pytest.approx(math.sqrt(1 / (9 * 64)), rel=0.05)
    limit = math.sqrt(6 / (16 + 64))
    assert 0.97 * limit < neck.projections[0].conv.weight.abs().max().item() <= limit


def test_norms_of_the_backbone_take_the_momentum_requested_and_a_backbone_without_norms_refuses_it():
    body = dict(type="timm", name="resnet10t")
    backbone = FrozenBackbone(body, weights="random", freeze=False, norm_momentum=0.003)
    norms = [m for m in backbone.body.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert norms and {m.momentum for m in norms} == {0.003}
    with pytest.raises(InputError, match="norm_momentum"):
        FrozenBackbone(dict(type="timm", name="convnext_atto"), weights="random", norm_momentum=0.003)
