"""A batch of stored regions passes every preprocessor as it is."""

import torch
from mmdet.registry import MODELS
from mmengine.registry import DefaultScope

from frozen_det.models.detectors.regions import batch_of_regions, let_regions_pass, regions_in

from .test_second_stage import batch


def test_augmentations_of_whole_batches_touch_images_and_no_regions():
    with DefaultScope.overwrite_default_scope("mmdet"):
        fixed = dict(type="BatchFixedSizePad", size=(160, 160), pad_mask=True)  # asks each sample for its masks
        preprocessor = MODELS.build(dict(type="DetDataPreprocessor", pad_mask=True, batch_augments=[fixed]))
    let_regions_pass(preprocessor)
    regions = {"0.features": torch.ones(3, 2), "0.labels": torch.arange(3), "0.label_weights": torch.zeros(3)}
    passed = regions_in(preprocessor(batch_of_regions(regions), True)["data_samples"])
    assert passed.keys() == regions.keys() and all(torch.equal(passed[name], regions[name]) for name in regions)
    images, samples = batch()
    preprocessor.batch_augments[0].pad_mask = preprocessor.pad_mask = False
    assert preprocessor(dict(inputs=list(images), data_samples=samples), True)["inputs"].shape == (2, 3, 160, 160)
    assert regions_in(samples) is None
