"""RetinaNet as the authors of arXiv 2204.00484 train it: 640 x 640, ReLU, 9 anchors, focal gamma 1.5, Huber 0.1.

Numbers of `retinanet.py` in official/vision/configs of tensorflow/models; a config adds the backbone and the neck.
Their RetinaNet does not synchronise norms over processes, so `sync_bn` is not set.
"""
model = dict(type="frozen_det.Detector", num_classes=80, detector=dict(
    type="RetinaNet",
    data_preprocessor=dict(
        type="mmdet.DetDataPreprocessor",
        batch_augments=[dict(type="BatchFixedSizePad", size=(640, 640))]),
    bbox_head=dict(
        type="frozen_det.RetinaHead",
        anchor_generator=dict(type="AnchorGenerator", octave_base_scale=4, scales_per_octave=3,
                              ratios=[0.5, 1.0, 2.0], center_offset=0.5),
        bbox_coder=dict(type="DeltaXYWHBBoxCoder", target_means=[0.0] * 4, target_stds=[1.0] * 4)),
    train_cfg=dict(
        assigner=dict(type="frozen_det.ForcedMatchAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5),
        sampler=dict(type="PseudoSampler"),
        allowed_border=-1, pos_weight=-1, debug=False),
    test_cfg=dict(nms_pre=5000, min_bbox_size=0, score_thr=0.05, nms=dict(type="nms", iou_threshold=0.5),
                  max_per_img=100)))
