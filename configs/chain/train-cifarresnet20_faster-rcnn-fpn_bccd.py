"""Train a CIFAR-10 classifier, freeze it, detect blood cells: ResNet-20, exported, frozen, four epochs on BCCD.

Command: frozen-det chain chain/train-cifarresnet20_faster-rcnn-fpn_bccd \
             --cfg-options upstream.options.data_root=DIR detector.options.data_root=DIR2
expected: not published; not run in full here (the classifier alone is 164 epochs).
"""
upstream = dict(
    type="train",
    config="upstream/resnet20_plain_cifar10",
    options=dict(data_root="data/cifar10"))
fixres = None
detector = dict(
    config="detection/faster-rcnn_frozen-cifarresnet20_fpn_flip-4e_bccd",
    options=dict(data_root="data/bccd"))
