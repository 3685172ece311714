"""Custom data with masks: Mask R-CNN on a frozen ImageNet EfficientNet-Lite0. Set data_root to a folder and train.

    frozen-det train custom_masks --cfg-options data_root=my/data

All is as in custom_coco.py but for the masks: every object has polygons or run lengths (YOLO polygons too), which are
learnt, and box and mask AP are measured. expected: not published; it depends on the data.
"""
_base_ = ["custom_coco.py"]

model = dict(detector=dict(
    type="MaskRCNN",
    roi_head=dict(
        mask_roi_extractor=dict(type="SingleRoIExtractor",
                                roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=2)),
        mask_head=dict(type="FCNMaskHead", num_convs=2, conv_out_channels=128,
                       loss_mask=dict(type="CrossEntropyLoss", use_mask=True, loss_weight=1.0))),
    train_cfg=dict(rcnn=dict(mask_size=28)),
    test_cfg=dict(rcnn=dict(mask_thr_binary=0.5))))
train_dataloader = dict(dataset=dict(pipeline=[
    dict(step, with_mask=True) if step["type"] == "LoadAnnotations" else step
    for step in _base_.train_dataloader.dataset.pipeline]))
val_evaluator = dict(metric=["bbox", "segm"])
test_evaluator = val_evaluator
