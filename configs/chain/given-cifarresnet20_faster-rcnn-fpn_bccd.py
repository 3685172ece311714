"""CIFAR-10 classifier to blood-cell detector: a given ResNet-20, exported, frozen, four epochs on BCCD.

Command: frozen-det chain chain/given-cifarresnet20_faster-rcnn-fpn_bccd \
             --cfg-options upstream.weights=FILE detector.options.data_root=DIR
FILE: resnet20-12fca82f.th of akamaster/pytorch_resnet_cifar10 (91.78 % on CIFAR-10 by its own record), or the
work of a classifier's training: upstream=dict(type="train", config=...). expected: not published; not measured yet.
"""
upstream = dict(type="given", weights="data/cifar10_resnets/resnet20-12fca82f.th")
fixres = None
detector = dict(
    config="detection/faster-rcnn_frozen-cifarresnet20_fpn_flip-4e_bccd",
    options=dict(data_root="data/bccd"))
