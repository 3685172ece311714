"""Custom data with masks: Mask R-CNN on a frozen ImageNet EfficientNet-Lite0. Set data_root to a folder and train.

    frozen-det train custom_masks --cfg-options data_root=my/data

Every object has polygons or run lengths (YOLO polygons too), which are learnt, and box and mask AP are measured. Objects
of a random other image are pasted by their masks (arXiv 2012.07177). All else is as in custom_coco.py. expected: not published; it depends on the data.
"""
_base_ = ["custom_coco.py"]

image_size = _base_.image_size

model = dict(detector=dict(
    type="MaskRCNN",
    roi_head=dict(
        mask_roi_extractor=dict(type="SingleRoIExtractor",
                                roi_layer=dict(type="RoIAlign", output_size=14, sampling_ratio=2)),
        mask_head=dict(type="FCNMaskHead", num_convs=2, conv_out_channels=128,
                       loss_mask=dict(type="CrossEntropyLoss", use_mask=True, loss_weight=1.0))),
    train_cfg=dict(rcnn=dict(mask_size=28)),
    test_cfg=dict(rcnn=dict(mask_thr_binary=0.5))))
# The same scales, crop and flip as in custom_coco.py, of the image and of the one whose objects are pasted.
_jitter = dict(type="frozen_det.LargeScaleJitter", size_hw=image_size, scale_range=(0.5, 1.5))
train_dataloader = dict(dataset=dict(pipeline=[
    _jitter,
    dict(type="frozen_det.CopyPaste", donor_pipeline=[_jitter]),
    dict(type="PackDetInputs"),
]))
val_evaluator = dict(metric=["bbox", "segm"])
test_evaluator = val_evaluator
