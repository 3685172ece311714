"""Faster R-CNN with an FPN on Pascal VOC, fine-tuned: ResNet-50 that was trained with CutMix; otherwise as the `frozen` config.

As in jwyang/faster-rcnn.pytorch stem, first stage and all norms stay. Yun et al., "CutMix", arXiv 1905.04899, Table 10.
expected: 76.7 mAP with the paper's detector (75.6 from a plain ResNet-50, 73.9 Mixup, 75.0 Cutout). Not run on VOC here.
    frozen-det train CONFIG --cfg-options data_root=DIR model.detector.backbone.weights=work_dirs/resnet50_cutmix_imagenet1k
"""
_base_ = ["./faster-rcnn_frozen-resnet50cutmix_fpn_flip-58e_voc0712.py"]

model = dict(detector=dict(backbone=dict(
    freeze=["conv1.*", "bn1.*", "layer1.*", "layer*.bn?.*", "layer*.downsample.1.*"])))
