"""Keys that nothing reads are refused at every depth, with the nearest name; what the hosts read passes."""

import pytest

from frozen_det.config.known_keys import check_nodes
from frozen_det.errors import InputError

from .conftest import FASTER, RETINANET, with_options

RCNN = "model.detector.train_cfg.rcnn."
STEP = "train_dataloader.dataset.pipeline.2."


@pytest.mark.parametrize(
    ("option", "nearest"),
    [
        ("load_form=x.pth", "load_from"),
        ("train-dataloader.batch_size=2", "train_dataloader"),
        ("Model.num_classes=3", "model"),
        ("default_hook.logger.interval=3", "default_hooks"),
        ("train_dataloader.Batch_size=3", "batch_size"),
        ("train_dataloader.persistent_worker=True", "persistent_workers"),
        ("train_cfg.max_epoch=3", "max_epochs"),
        ("train_cfg.val_begn=3", "val_begin"),
        ("model.num_class=3", "num_classes"),
        ("model.clases_from=x", "classes_from"),
        ("model.detecter.neck.out_channels=3", "detector"),
        ("model.detector.neck.out-channels=3", "out_channels"),
        ("model.detector.data_preprocessor.pad_size_div=32", "pad_size_divisor"),
        ("model.detector.backbone.frezze=True", "freeze"),
        ("model.detector.rpn_head.anchor_generator.ratio=[1]", "ratios"),
        ("model.detector.rpn_head.bbox_coder.target_std=[1,1,1,1]", "target_stds"),
        ("model.detector.roi_head.bbox_head.loss_cls.los_weight=2", "loss_weight"),
        ("model.detector.roi_head.bbox_roi_extractor.featmap_stride=[4]", "featmap_strides"),
        (f"{RCNN}asigner.pos_iou_thr=0.6", "assigner"),
        (f"{RCNN}assigner.pos_iou_thre=0.6", "pos_iou_thr"),
        (f"{RCNN}sampler.nums=5", "num"),
        (f"{RCNN}sampler.neg_pos_upper=3", "neg_pos_ub"),
        ("model.detector.test_cfg.rcnn.scor_thr=0.1", "score_thr"),
        ("model.detector.test_cfg.rcnn.nms.iou_tr=0.5", "iou_thr"),
        (f"{STEP}keepratio=True", "keep_ratio"),
        (f"{STEP}scales=(3,3)", "scale"),
        ("train_dataloader.dataset.filter_cfg.min_sise=3", "min_size"),
        ("train_dataloader.dataset.metainfo.clases=a,", "classes"),
        ("default_hooks.chekpoint.interval=2", "checkpoint"),
        ("default_hooks.checkpoint.max_keep_ckpt=2", "max_keep_ckpts"),
        ("custom_hooks.0.priorty=LOW", "priority"),
        ("optim_wrapper.optimizer.weigth_decay=0", "weight_decay"),
        ("optim_wrapper.accumulativecounts=2", "accumulative_counts"),
        ("optim_wrapper.clip_grad.max_nrm=1", "max_norm"),
        ("optim_wrapper.paramwise_cfg.norm_deacy_mult=0", "norm_decay_mult"),
        ("optim_wrapper.paramwise_cfg.custom_key.neck.lr_mult=0.1", "custom_keys"),
        ("optim_wrapper.paramwise_cfg.custom_keys.neck.lr_mul=0.1", "lr_mult"),
        ("param_scheduler.1.eta_mn=1", "eta_min"),
        ("env_cfg.cudnn_benchmrk=True", "cudnn_benchmark"),
        ("env_cfg.dist_cfg.backendd=gloo", "backend"),
        ("randomness.sed=3", "seed"),
        ("auto_scale_lr.enabled=True", "enable"),
        ("log_processor.by_epochs=True", "by_epoch"),
        ("visualizer.vis_backends.0.save_dirr=x", "save_dir"),
        ("val_evaluator.classwize=True", "classwise"),
        ("optim_wrapper.optimizer.type=AdamV", "Adam"),
        ("model.detector.type=FasterRCN", "FasterRCNN"),
        ("model.detector.neck.norm_cfg.type=BM", "BN"),
        ("visualizer.vis_backends.0.type=LocalVisBackendd", "LocalVisBackend"),
    ],
)
def test_a_misspelt_option_names_the_nearest(option, nearest):
    with pytest.raises(InputError, match=f"{nearest}'") as raised:
        with_options("quickstart", option)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "option",
    [
        "train_dataloader.dataset.data_prefix.image=x/",
        "train_dataloader.dataset.filter_cfg.filter_empty=False",
        "optim_wrapper.optimizer.learning_rate=1",
        "optim_wrapper.lr=0.1",
        "model.detector.test_cfg.score_thr=0.1",
        "train_cfg.type=IterBasedTrainLoop",
        "model.detector.train_cfg.rcnn.nms_pre=10",
        "model.neck.out_channels=3",
        "train_dataloader.dataset.metainfo.class_names=a,",
        "optim_wrapper.clip_grad._delete_=True",
    ],
)
def test_a_key_that_is_right_elsewhere_is_refused_where_nothing_reads_it(option):
    with pytest.raises(InputError):
        with_options("quickstart", option)


@pytest.mark.parametrize(
    ("line", "nearest"),
    [
        ("train_dataloader = dict(batch_siz=1)", "batch_size"),
        ("model = dict(detecter=dict(neck=dict()))", "detector"),
        ("model = dict(detector=dict(tst_cfg=dict(rcnn=dict(score_thr=.1))))", "test_cfg"),
        (
            "model = dict(detector=dict(neck=dict(_delete_=True, type='FPN', in_chanels=[1], out_channels=2, "
            "num_outs=3)))",
            "in_channels",
        ),
        ("model = dict(detector=dict(neck=dict(_delete=True, type='FPN')))", "FPN"),
        (
            "train_dataloader = dict(dataset=dict(_delete_=True, type='RepeatDataset', time=3, "
            "dataset=dict(type='frozen_det."
            "CocoDataset')))",
            "times",
        ),
        (
            "train_dataloader = dict(dataset=dict(_delete_=True, type='ConcatDataset', datasets=[dict(type="
            "'frozen_det.CocoDataset', an_file='x')]))",
            "ann_file",
        ),
        ("custom_hooks = [dict(type='EMAHook', momentm=0.1)]", "momentum"),
        ("custom_hooks = [dict(type='EMAHok')]", "EMAHook"),
        ("param_scheduler = [dict(type='MultiStepLR', milestone=[8])]", "milestones"),
        ("param_scheduler = [dict(type='CosineAnealingLR')]", "CosineAnnealingLR"),
        ("train_dataloader = dict(batch_sampler=dict(type='AspectRatioBatchSampler', drop_lst=True))", "drop_last"),
        ("optim_wrapper = dict(optimizer=dict(type='SGD', lr=.1, betas=(.9, .99)))", "SGD"),
        ("train_dataloader = dict(dataset=dict(data_prefix=dict(images='x/')))", "img"),
    ],
)
def test_a_misspelt_key_in_a_child_names_the_nearest(child, line, nearest):
    with pytest.raises(InputError, match=nearest):
        child("custom_coco", line)


@pytest.mark.parametrize(
    ("line", "nearest"),
    [
        ("model = dict(roi_head=dict(bbox_head=dict(num_class=3)))", "num_classes"),
        ("model = dict(train_cfg=dict(rcnn=dict(asigner=dict(pos_iou_thr=.6))))", "assigner"),
        ("model = dict(train_cfg=dict(rpn_proposal=dict(nms=dict(iou_treshold=.5))))", "iou_threshold"),
        ("model = dict(backbone=dict(frozen_stage=4))", "frozen_stages"),
        ("model = dict(backbone=dict(norm_cfg=dict(requires_gradd=False)))", "requires_grad"),
        ("model = dict(backbone=dict(init_cfg=dict(chekpoint='x')))", "checkpoint"),
        ("model = dict(bbox_head=dict(num_classes=3))", "FasterRCNN"),
    ],
)
def test_a_misspelt_key_in_a_stock_config_names_the_nearest(child, line, nearest):
    with pytest.raises(InputError, match=nearest):
        child(FASTER, line)


@pytest.mark.parametrize(
    "option",
    [
        "custom_hooks.0.priority=LOW",
        "default_hooks.logger.priority=10",
        "train_dataloader.pin_memory=True",
        "optim_wrapper.paramwise_cfg.norm_decay_mult=0",
        "train_dataloader.dataset.filter_cfg.min_size=8",
        "randomness.diff_rank_seed=True",
        "optim_wrapper.loss_scale=dynamic",
        "model.detector.test_cfg.rcnn.nms=dict(type='soft_nms', min_score=0.05)",
        "model.detector.neck.norm_cfg=dict(type='BN', requires_grad=False, _delete_=True)",
        "optim_wrapper.clip_grad=dict(_delete_=True, type='value', clip_value=1.0)",
    ],
)
def test_a_key_that_is_read_passes(option):
    more = ["optim_wrapper.type=AmpOptimWrapper"] if "loss_scale" in option else []
    with_options("quickstart", option, *more)


@pytest.mark.parametrize(
    "line",
    [
        "model = dict(bbox_head=dict(anchor_generator=dict(octave_base_scale=3)))",
        "model = dict(backbone=dict(norm_cfg=dict(type='BN', requires_grad=False)))",
        "default_hooks = dict(logger=dict(priority='LOW'), checkpoint=dict(max_keep_ckpts=3))",
        "custom_hooks = [dict(type='EMAHook', ema_type='ExpMomentumEMA', momentum=2e-4, update_buffers=True, "
        "priority=49)]",
        "train_dataloader = dict(dataset=dict(metainfo=dict(classes=('a', 'b'), palette=[(1, 2, 3), (4, 5, 6)])))",
    ],
)
def test_standard_keys_pass_in_a_stock_config(child, line):
    child(RETINANET, line)


def test_parts_outside_a_config_are_checked_alike():
    check_nodes(dict(type="FPN", in_channels=[1], out_channels=1, num_outs=1), "here")
    with pytest.raises(InputError, match="here: snippet has the key 'in_chanels', which FPN does not take"):
        check_nodes(dict(type="FPN", in_chanels=[1]), "here")
