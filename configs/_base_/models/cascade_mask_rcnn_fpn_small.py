"""Cascade Mask R-CNN, 128 channels wide: the small Cascade R-CNN with one mask head, on the last stage's regions."""
_base_ = ["cascade_rcnn_fpn_small.py"]

model = dict(detector=dict(
    roi_head=dict(
        mask_stages="last",
        mask_roi_extractor=dict(type="SingleRoIExtractor",
                                roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=2)),
        mask_head=dict(type="FCNMaskHead", num_convs=2, conv_out_channels=128,
                       loss_mask=dict(type="CrossEntropyLoss", use_mask=True, loss_weight=1.0))),
    train_cfg=dict(rcnn=dict(mask_size=28)),
    test_cfg=dict(rcnn=dict(mask_thr_binary=0.5))))
