"""FixRes of ResNets as their release has it: bilinear images, the classifier tuned with the test's transform (v1).

A config sets model, sizes and length; for v2 it writes type="frozen_det.FixResTransform" and fixres.transform="v2".
"""
_base_ = ["fixres.py"]

train_dataloader = dict(dataset=dict(transform=dict(
    _delete_=True, type="frozen_det.EvalTransform", size=384, crop_ratio=0.875, interpolation="bilinear")))
val_dataloader = dict(dataset=dict(transform=dict(size=384, crop_ratio=0.875, interpolation="bilinear")))
test_dataloader = val_dataloader
