"""Faster R-CNN with ViTDet's simple feature pyramid on a small frozen ViT of random weights, on toy scenes.

The question of arXiv 2204.00484 at small scale, for a backbone with one stride (arXiv 2203.16527). expected: not published; the loss falls, no more:
no package carries a plain ViT, so the features are random. Features of two blocks are used; images run in windows of 128 px.
    frozen-det train faster-rcnn_frozen-vittiny_simplepyramid_plain-8e_toy
"""
_base_ = ["../_base_/default_runtime.py", "../_base_/datasets/toy_scenes.py", "../_base_/models/faster_rcnn_narrow.py", "../_base_/schedules/schedule_toy_8e.py"]

model = dict(detector=dict(
    backbone=dict(
        body=dict(_delete_=True, type="timm", name="vit_tiny_patch16_224", img_size=128, depth=2, embed_dim=48, num_heads=3,
                  taps=(0, 1), tap_norm=True, window=dict(size=128, overlap=32)),
        weights="random", strides=(16,)),
    neck=dict(type="frozen_det.SimpleFeaturePyramid", out_channels=48)))
