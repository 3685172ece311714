"""SSD300 on Pascal VOC, fine-tuned: ResNet-50 that was trained with CutMix; otherwise as the `frozen` config.

Yun et al., "CutMix", arXiv 1905.04899, Table 10. expected: 77.6 mAP (76.7 from a plain ResNet-50, 76.6 Mixup, 76.8 Cutout).
Not run on VOC here.
    frozen-det train CONFIG --cfg-options data_root=DIR model.detector.backbone.weights=work_dirs/resnet50_cutmix_imagenet1k
"""
_base_ = ["./ssd300_frozen-resnet50cutmix_ssdneck_ssd-232e_voc0712.py"]

model = dict(detector=dict(backbone=dict(freeze=False)))
