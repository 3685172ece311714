"""Every stage of the chain: train a CIFAR-10 classifier at 24 px, apply FixRes at 32, export, freeze, detect blood cells.

Command: frozen-det chain chain/train-fixres-cifarresnet20_faster-rcnn-fpn_bccd \
             --cfg-options upstream.options.data_root=DIR detector.options.data_root=DIR2
expected: not published; measured, with a shorter classifier: docs/results.md.
"""
upstream = dict(
    type="train",
    config="fixres/resnet20_rrc-24px_cifar10",
    options=dict(data_root="data/cifar10"))
fixres = dict(test_size=32, epochs=5)
detector = dict(
    config="detection/faster-rcnn_frozen-cifarresnet20_fpn_flip-4e_bccd",
    options=dict(data_root="data/bccd"))
