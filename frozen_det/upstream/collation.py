"""Collates image samples: `collate_fn=dict(type="frozen_det.collate_images")` of a data loader.

It refuses images of different sizes; samples that a dataset left out (None) are dropped.
"""

import torch

from ..errors import InputError
from ..registry import FUNCTIONS


@FUNCTIONS.register_module()
def collate_images(samples) -> dict:
    """One batch of samples.

    Args:
        samples: List of ``dict(inputs=(3, H, W) uint8, data_samples=dict(label=int, index=int, path=str))``, some
            with ``labels_multi``, a list of the valid classes; None for an image that was left out. Or a batch
            that a dataset made whole, which passes through.

    Returns:
        ``dict(inputs=(N, 3, H, W) uint8, data_samples=dict(label=(N,) int64, index=(N,) int64, path=list of N))``,
        with ``labels_multi``, N lists, where every sample has them.

    Raises:
        InputError: Images of more than one size, or no image left.
    """
    if isinstance(samples, dict):
        return samples
    kept = [sample for sample in samples if sample is not None]
    if not kept:
        raise InputError(
            f"expected at least one readable image in a batch of {len(samples)}, got none; look at the "
            "warnings about broken images above, and repair the files or raise batch_size."
        )
    shapes = sorted({tuple(sample["inputs"].shape) for sample in kept})
    if len(shapes) > 1:
        raise InputError(
            f"expected images of one size in a batch, got {shapes[0]} and {shapes[-1]} (shape of inputs); "
            "end the dataset's transform with a crop or resize of fixed size."
        )
    meta = [sample["data_samples"] for sample in kept]
    batch = dict(
        label=torch.tensor([one["label"] for one in meta], dtype=torch.int64),
        index=torch.tensor([one["index"] for one in meta], dtype=torch.int64),
        path=[one["path"] for one in meta],
    )
    if all("labels_multi" in one for one in meta):
        batch["labels_multi"] = [one["labels_multi"] for one in meta]
    return dict(inputs=torch.stack([sample["inputs"] for sample in kept]), data_samples=batch)
