"""RetinaNet, NAS-FPN, on a frozen ImageNet ResNet-RS-101: 72 epochs, 640 x 640.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), the authors' YAML files. expected: not published. Not run on COCO here.
The authors' files are of a Swish ResNet-RS. timm's weights are of a ReLU one (norms of eps 1e-5): another network of
the same shape. The authors' checkpoint, converted, loads into frozen_det.ResNetRS.
    frozen-det train retinanet_frozen-resnetrs101_nasfpn_lsj-72e_coco
"""
_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/models/retinanet.py",
    "../_base_/datasets/coco_lsj_640.py",
    "../_base_/datasets/coco_eval_square_640.py",
    "../_base_/schedules/schedule_retinanet_72e.py",
]

model = dict(detector=dict(
    backbone=dict(
        type="frozen_det.FrozenBackbone",
        body=dict(type="timm", name="resnetrs101.tf_in1k"),
        weights="timm", strides=(8, 16, 32), freeze=True, norm_momentum=0.01),
    neck=dict(type="frozen_det.NASFPN", act_cfg=dict(type="ReLU"),
              norm_cfg=dict(type="BN", eps=1e-3, momentum=0.01)),))

# Images of one size and no regions: cuDNN measures its algorithms once.
env_cfg = dict(cudnn_benchmark=True)
