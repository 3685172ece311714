"""Class-balanced second stage on LVIS v1 after fine-tuning, without Copy-Paste: only the final classification layer trains, 36 epochs.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), Table 4, without Copy-Paste. expected: 37.2 box AP, 34.7 mask AP. Not run on LVIS here.
With freeze=False the backbone comes from the first stage and stays in the checkpoints; in this stage it is frozen
like everything else. Weights by effective number of instances, beta 0.999, clipped to [0.01, 5]; 3x schedule. The
learning rate is not published: optim_wrapper.optimizer.lr is our guess. First stage:
mask-rcnn_finetune-efficientnetb7_nasfpn_lsj-1280-230e_lvis.
    frozen-det train mask-rcnn_finetune-efficientnetb7_nasfpn_lsj-1280-36e_lvis_cb-stage2 \
        --cfg-options load_from=work_dirs/mask-rcnn_finetune-efficientnetb7_nasfpn_lsj-1280-230e_lvis/epoch_230.pth
"""
_base_ = ["mask-rcnn_frozen-efficientnetb7_nasfpn_lsj-1280-36e_lvis_cb-stage2.py"]

model = dict(detector=dict(backbone=dict(freeze=False)))
