"""`frozen_det.ImagePreprocessor`: batches of images from the loader, on the model's device, normalised.

Refuses labels that are no class of the model.
"""

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor

from ..errors import InputError
from ..registry import MODELS


@MODELS.register_module()
class ImagePreprocessor(BaseDataPreprocessor):
    """(x - mean) / std per channel, RGB.

    Args:
        mean, std: three numbers each, in 0..255 units.
        num_classes: labels are checked against it; None to check nothing.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], num_classes: int | None = None):
        super().__init__()
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise InputError(
                "expected three numbers each, std above 0, in model.data_preprocessor.mean and .std "
                f"(0..255 units), got {list(mean)} and {list(std)}."
            )
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(3, 1, 1), persistent=False)
        self.num_classes = num_classes

    def forward(self, data: dict, training: bool = False) -> dict:
        """Normalise a batch.

        Args:
            data: ``inputs`` (N, 3, H, W) uint8 or float in 0..255, or a list of (3, H, W); ``data_samples`` with
                `label` (N,) int64, and `index`, `path`, `labels_multi` where the data set gives them.
            training: whether the batch is trained on.

        Returns:
            ``inputs`` (N, 3, H, W) float32 and the data samples, on the device of the model.

        Raises:
            InputError: images of unequal size, or a label outside 0..num_classes - 1.
        """
        inputs, samples = data["inputs"], data.get("data_samples")
        if isinstance(inputs, (list, tuple)):
            sizes = {tuple(image.shape) for image in inputs}
            if len(sizes) > 1:
                raise InputError(
                    f"expected images of one size in a batch, got {sorted(sizes)[:3]}. End the pipeline "
                    "with a crop or a resize to a fixed size."
                )
            inputs = torch.stack(list(inputs))
        if isinstance(samples, (list, tuple)):
            samples = _collated(samples)
        if samples is not None and self.num_classes is not None:
            _check_labels(samples, self.num_classes)
        cast = self.cast_data({"inputs": inputs, "data_samples": samples})
        images = cast["inputs"].float()  # (N, 3, H, W)
        return {"inputs": (images - self.mean) / self.std, "data_samples": cast["data_samples"]}


def _collated(samples: Sequence[dict]) -> dict:
    """One dict of lists out of one dict per image; numbers as tensors."""
    keys = set.intersection(*(set(sample) for sample in samples))
    batch = {key: [sample[key] for sample in samples] for key in keys}
    for key in ("label", "index"):
        if key in batch:
            batch[key] = torch.as_tensor([int(value) for value in batch[key]])
    return batch


def _check_labels(samples: dict, num_classes: int) -> None:
    labels = torch.as_tensor(samples["label"])
    wrong = torch.nonzero((labels < 0) | (labels >= num_classes)).flatten().tolist()
    if wrong:
        paths = samples.get("path")
        where = f" ({paths[wrong[0]]})" if paths else ""
        raise InputError(
            f"expected labels in 0..{num_classes - 1} (model.num_classes={num_classes}), got "
            f"{int(labels[wrong[0]])}{where}. Set model.num_classes to the data's number of classes, or "
            "correct the labels."
        )
