"""A stock detector of mmdet, as small as it gets, without anything of this package; ROOT and CLASSES are the data's."""

STOCK = """
default_scope = 'mmdet'
visualizer = dict(type='DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='visualizer')
model = dict(
    type='RetinaNet', data_preprocessor=dict(type='DetDataPreprocessor'),
    backbone=dict(type='ResNet', depth=18, base_channels=4, stem_channels=4, out_indices=(3, )),
    neck=dict(type='ChannelMapper', in_channels=[32], out_channels=8),
    bbox_head=dict(type='RetinaHead', num_classes=3, in_channels=8, stacked_convs=1, feat_channels=8,
                   anchor_generator=dict(type='AnchorGenerator', scales=[4], ratios=[1.0], strides=[32]),
                   loss_cls=dict(type='FocalLoss', use_sigmoid=True)),
    train_cfg=dict(assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4), allowed_border=-1,
                   pos_weight=-1, debug=False),
    test_cfg=dict(nms_pre=10, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=5))
pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True), dict(type='PackDetInputs')]
train_dataloader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler'), dataset=dict(
    type='CocoDataset', data_root=ROOT, ann_file='annotations/val.json', data_prefix=dict(img='images/'),
    metainfo=dict(classes=CLASSES),
    pipeline=pipeline))
test_dataloader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler'), dataset=dict(
    type='CocoDataset', data_root=ROOT, ann_file='annotations/val.json', data_prefix=dict(img='images/'),
    metainfo=dict(classes=CLASSES),
    test_mode=True, pipeline=pipeline))
test_evaluator = dict(type='CocoMetric', ann_file=ROOT + '/annotations/val.json')
test_cfg = dict(type='TestLoop')
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=1)
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01))
"""
