"""Parameter counts of the paper's Table 3 (arXiv 2204.00484), rebuilt from our modules on meta tensors."""

import pytest
import timm
import torch
from mmdet.registry import MODELS

CHANNELS = [256, 512, 1024, 2048]


def count(module):
    return sum(p.numel() for p in module.parameters())


def body():
    """ResNet-RS-101 without its classifier."""
    return timm.create_model("resnetrs101", pretrained=False, num_classes=0)


def rpn(levels=5):
    return MODELS.build(
        dict(
            type="frozen_det.RPNHead",
            in_channels=256,
            anchor_generator=dict(
                type="AnchorGenerator", scales=[8], ratios=[0.5, 1.0, 2.0], strides=[8 * 2**i for i in range(levels)]
            ),
        )
    )


def box_head(num_classes, agnostic):
    return MODELS.build(dict(type="frozen_det.ConvFCBBoxHead", num_classes=num_classes, reg_class_agnostic=agnostic))


def cascade(num_classes):
    return MODELS.build(
        dict(
            type="frozen_det.CascadeRoIHead",
            bbox_roi_extractor=dict(
                type="SingleRoIExtractor",
                roi_layer=dict(type="RoIAlign", output_size=7),
                out_channels=256,
                featmap_strides=[8, 16, 32, 64, 128],
                finest_scale=112,
            ),
            bbox_head=dict(type="frozen_det.ConvFCBBoxHead", num_classes=num_classes),
        )
    )


def neck(kind):
    return MODELS.build(dict(type=f"frozen_det.{kind}", in_channels=CHANNELS))


@pytest.fixture(autouse=True)
def _meta():
    with torch.device("meta"):
        yield


def test_nas_fpn_with_cascade_has_the_papers_trainable_and_total_parameters():
    trainable = count(neck("NASFPN")) + count(rpn()) + count(cascade(num_classes=90))
    assert trainable == 71_265_580
    assert trainable / 1e6 == pytest.approx(71.3, abs=0.1)
    assert (trainable + count(body())) / 1e6 == pytest.approx(132.9, abs=0.15)
    assert trainable / (trainable + count(body())) == pytest.approx(0.536, abs=0.001)


def test_the_eighty_classes_of_coco_give_the_same_to_a_tenth_of_a_million_but_round_to_71_2():
    trainable = count(neck("NASFPN")) + count(rpn()) + count(cascade(num_classes=80))
    assert trainable == 71_234_830


def test_the_frozen_backbone_is_the_papers_difference_of_total_and_trainable():
    assert count(body()) / 1e6 == pytest.approx(61.57, abs=0.01)


def conv(inputs, outputs, kernel):
    return inputs * outputs * kernel * kernel + outputs


@pytest.mark.parametrize(
    "kind, neck_size, papers, missing",
    [
        ("FPN", sum(conv(c, 256, 1) for c in CHANNELS) + 5 * (conv(256, 256, 3) + 512), 21.9, 0.64),
        ("NASFPN", 3 * 512 + sum(conv(c, 256, 1) for c in CHANNELS[1:]) + 35 * (conv(256, 256, 3) + 512), 40.9, 1.99),
    ],
)
def test_without_cascade_the_layers_of_the_published_configs_fall_short_of_the_paper(kind, neck_size, papers, missing):
    trainable = count(neck(kind)) + count(rpn()) + count(box_head(90, agnostic=False))
    head = (
        4 * (conv(256, 256, 3) + 512)
        + conv(256 * 49, 1024, 1)
        + conv(1024, 1024, 1)
        + 2 * 2048
        + conv(1024, 91, 1)
        + conv(1024, 360, 1)
    )
    assert trainable == neck_size + 596_495 + head
    # The cause is not known. The authors' box output for background, not built here, is 4100 parameters only.
    assert papers - trainable / 1e6 == pytest.approx(missing, abs=0.01)
