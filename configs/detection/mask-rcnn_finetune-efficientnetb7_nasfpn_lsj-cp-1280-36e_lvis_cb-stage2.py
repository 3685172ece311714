"""Class-balanced second stage on LVIS v1 after fine-tuning: only the final classification layer trains, 36 epochs.

Paper: Vasconcelos et al., "Proper Reuse of Image Classification Features Improves Object Detection", CVPR 2022
(arXiv 2204.00484), Table 5, stage 2. expected: 41.6 box AP (r/c/f 31.5/39.8/48.0), 38.1 mask AP (32.1/37.1/41.9).
Not run on LVIS here. With freeze=False the backbone comes from the first stage and stays in the checkpoints; in
this stage it is frozen like everything else. The learning rate is not published: optim_wrapper.optimizer.lr is our
guess. First stage: mask-rcnn_finetune-efficientnetb7_nasfpn_lsj-cp-1280-460e_lvis.
    frozen-det train mask-rcnn_finetune-efficientnetb7_nasfpn_lsj-cp-1280-36e_lvis_cb-stage2 \
        --cfg-options load_from=work_dirs/mask-rcnn_finetune-efficientnetb7_nasfpn_lsj-cp-1280-460e_lvis/epoch_460.pth
"""
_base_ = ["mask-rcnn_frozen-efficientnetb7_nasfpn_lsj-cp-1280-36e_lvis_cb-stage2.py"]

model = dict(detector=dict(backbone=dict(freeze=False)))
