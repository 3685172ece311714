"""Class-balanced second stage on LVIS v1, without Copy-Paste: only the final classification layer trains, 36 epochs.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), Table 4, without Copy-Paste. expected: 39.4 box AP, 37.2 mask AP. Not run on LVIS here.
Weights by effective number of instances, beta 0.999, clipped to [0.01, 5]; 3x schedule. The
learning rate is not published: optim_wrapper.optimizer.lr is our guess. First stage:
mask-rcnn_frozen-efficientnetb7_nasfpn_lsj-1280-230e_lvis.
    frozen-det train mask-rcnn_frozen-efficientnetb7_nasfpn_lsj-1280-36e_lvis_cb-stage2 \
        --cfg-options load_from=work_dirs/mask-rcnn_frozen-efficientnetb7_nasfpn_lsj-1280-230e_lvis/epoch_230.pth
"""
_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/models/mask_rcnn_b7_lvis.py",
    "../_base_/datasets/lvis_lsj_masks_1280.py",
    "../_base_/schedules/schedule_cb_36e.py",
]

model = dict(detector=dict(
    type="frozen_det.ClassifierStage",
    roi_head=dict(bbox_head=dict(loss_cls=dict(
        _delete_=True, type="frozen_det.ClassBalancedLoss", ann_file="data/lvis/annotations/lvis_v1_train.json")))))
default_hooks = dict(checkpoint=dict(save_best="lvis/bbox_AP"), second_stage=dict(type="frozen_det.SecondStageHook"))
