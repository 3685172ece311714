"""Small backbones of five families: configs, and timm's classifiers with random weights and norm statistics."""

import timm
import torch

from frozen_det.models import FrozenBackbone

BACKBONES = {
    "resnet": (dict(type="timm", name="resnet10t"), (4, 8, 16, 32)),
    "efficientnet": (dict(type="timm", name="efficientnet_lite0"), (4, 8, 16, 32)),
    "convnext": (dict(type="timm", name="convnext_atto", depths=(1, 1, 1, 1), dims=(8, 16, 24, 32)), (4, 8, 16, 32)),
    "swin": (
        dict(
            type="timm", name="swin_tiny_patch4_window7_224", embed_dim=24, depths=(2, 1, 1, 1), num_heads=(1, 1, 1, 1)
        ),
        (4, 8, 16, 32),
    ),
    "vit": (dict(type="timm", name="vit_tiny_patch16_224", depth=2, embed_dim=48, num_heads=3), (16,)),
}


def classifier(family: str, seed: int = 0):
    """timm's full model, in eval mode, with norms that are not the identity; ready for images of any size."""
    options = {k: v for k, v in BACKBONES[family][0].items() if k not in ("type", "name")}
    if family == "vit":
        options["dynamic_img_size"] = True
    if family == "swin":
        options["strict_img_size"] = False
    torch.manual_seed(seed)
    model = timm.create_model(BACKBONES[family][0]["name"], **options).eval()
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2)
        elif name.endswith("running_mean") or ("norm" in name and name.endswith("bias")):
            value.normal_(std=0.1)
    return model


def filled(family: str, folder) -> FrozenBackbone:
    """A frozen backbone, filled from a file `upstream.pth` of the classifier."""
    body, strides = BACKBONES[family]
    torch.save({"state_dict": classifier(family).state_dict()}, folder / "upstream.pth")
    backbone = FrozenBackbone(body, weights=str(folder / "upstream.pth"), strides=strides).eval()
    backbone.init_weights()
    return backbone


def retina_net(strides, **backbone):
    """A RetinaNet of three classes on the ConvNeXt, in eval mode; `backbone` are options of FrozenBackbone."""
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=False)
    from frozen_det.models import Detector

    torch.manual_seed(0)
    return Detector(
        dict(
            type="RetinaNet",
            backbone=dict(
                type="frozen_det.FrozenBackbone",
                body=BACKBONES["convnext"][0],
                weights="random",
                strides=strides,
                **backbone,
            ),
            neck=dict(type="FPN", out_channels=8, num_outs=len(strides)),
            bbox_head=dict(
                type="RetinaHead",
                stacked_convs=1,
                feat_channels=8,
                anchor_generator=dict(type="AnchorGenerator", scales=[4], ratios=[1.0]),
                bbox_coder=dict(type="DeltaXYWHBBoxCoder"),
            ),
            test_cfg=dict(nms_pre=10, score_thr=0.1, max_per_img=5, nms=dict(type="nms", iou_threshold=0.5)),
        ),
        num_classes=3,
    ).eval()
