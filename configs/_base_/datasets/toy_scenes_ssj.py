"""Toy scenes at 224 px with the standard jitter of 0.8 to 1.25: large-scale jitter would shrink digits to nothing here.

Nothing is mirrored: digits would become other signs. Masks are loaded, though the model trains on boxes, so that
boxes are tight boxes of masks as with Copy-Paste (`toy_scenes_cp.py`), which then is the only difference.
"""
_base_ = ["toy_scenes.py"]

train_dataloader = dict(dataset=dict(pipeline=[
    dict(type="frozen_det.LargeScaleJitter", size_hw=224, scale_range=(0.8, 1.25), flip_prob=0.0, planar=True),
    dict(type="PackDetInputs"),
]))
