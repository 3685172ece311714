"""Class-balanced softmax loss (effective number of samples) for the second training stage on long-tailed data.

Cui et al., "Class-Balanced Loss Based on Effective Number of Samples" (arXiv 1901.05555), section 4; numbers as in
"Simple Copy-Paste" (arXiv 2012.07177), the system of Table 5 of arXiv 2204.00484: n counts instances, beta 0.999,
weights divided by their mean, then clipped to [0.01, 5]. Background has weight 1 and is excluded from the mean, as in
the code of Balanced Group Softmax (arXiv 2006.10408) that Copy-Paste follows. An annotation file whose classes differ
from the head's is an error.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmdet.models.losses.cross_entropy_loss import cross_entropy
from mmengine.logging import print_log
from torch import nn

from ...errors import InputError, closest
from ...registry import MODELS

BETA = 0.999
CLIP = (0.01, 5.0)


def effective_number_weights(
    num_instances: Sequence[int], beta: float = BETA, clip: tuple[float, float] = CLIP
) -> np.ndarray:
    """(1 - beta) / (1 - beta^n) of every class, divided by the mean over classes, clipped.

    Args:
        num_instances: (C,) instances n >= 0 of each class.
        beta: in [0, 1). 0 gives all classes the same weight; towards 1 the weights approach 1 / n.
        clip: lowest and highest weight.

    Returns:
        (C,) float64, non-increasing in n. A class without instances, for which the formula divides by zero, gets the
        weight of a class with one instance and is excluded from the mean; no region has its label.

    Raises:
        InputError: beta or clip out of range, or a negative count.
    """
    counts = np.asarray(num_instances, dtype=np.float64).reshape(-1)
    if not 0.0 <= beta < 1.0:
        raise InputError(f"expected beta from 0 to below 1, got {beta} (ClassBalancedLoss.beta). Usual: {BETA}.")
    low, high = clip
    if not 0.0 <= low <= high:
        raise InputError(
            f"expected clip as two numbers with 0 <= lowest <= highest, got {clip} (ClassBalancedLoss.clip)."
        )
    if (counts < 0).any() or not np.isfinite(counts).all():
        raise InputError(
            f"expected instance counts of 0 or more, got {counts.min()} (ClassBalancedLoss.num_instances)."
        )
    present = counts > 0
    with np.errstate(divide="ignore"):
        # expm1: at n = 1 and beta close to 1, 1 - beta^n would lose its digits.
        weights = (1.0 - beta) / -np.expm1(np.maximum(counts, 1.0) * np.log(beta))
    mean = weights[present].mean() if present.any() else 1.0
    return np.clip(weights / mean, low, high)


def count_instances(ann_file) -> dict[str, int]:
    """Number of instances of every category of a COCO or LVIS json, by name, in the order of the json.

    Crowd annotations are not counted: they are never training targets.

    Args:
        ann_file: path; a relative one starts at the working directory.

    Raises:
        InputError: a missing file, a json of another format, or no instances.
    """
    path = Path(ann_file)
    if not path.is_file():
        raise InputError(
            f"expected the training set's annotation file in ClassBalancedLoss.ann_file, but {path} does "
            "not exist. Give the path (a relative one starts at the working directory)."
        )
    try:
        content = json.loads(path.read_bytes())
        counts = Counter(a["category_id"] for a in content["annotations"] if not a.get("iscrowd", 0))
        named = {category["name"]: counts[category["id"]] for category in content["categories"]}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"expected COCO or LVIS json with `annotations` and `categories` in {path} "
            f"(ClassBalancedLoss.ann_file), got {type(error).__name__}: {error}."
        ) from error
    if not any(named.values()):
        raise InputError(
            f"expected annotated instances in {path} (ClassBalancedLoss.ann_file), got none. Give the "
            "training set's file."
        )
    return named


@MODELS.register_module()
class ClassBalancedLoss(nn.Module):
    """Softmax cross-entropy with class weights, for any box head of mmdet or frozen_det.

    The loss of each region is multiplied by the weight of its label, and the sum is divided by the number of regions,
    as in mmdet's weighted cross-entropy. Weights are computed when training starts (``init_weights``), not when the
    model is built, so testing needs no training annotations. They are not in the state dict.

    Args:
        ann_file: the training set's COCO or LVIS json.
        num_instances: instances per class in label order, instead of ``ann_file``.
        classes: names in label order; None is the order of the json, as in frozen_det's data sets.
        beta, clip: see :func:`effective_number_weights`.
        background_weight: weight of the last label; 1 as in the first stage.
        loss_weight: factor on the result.
        reduction: 'mean', 'sum' or 'none'.

    Raises:
        InputError: both or neither of ``ann_file`` and ``num_instances``; see also the functions above; a number of
            classes other than the head's.
    """

    use_sigmoid = False

    def __init__(
        self,
        ann_file: str | None = None,
        num_instances: Sequence[int] | None = None,
        classes: Sequence[str] | None = None,
        beta: float = BETA,
        clip: tuple[float, float] = CLIP,
        background_weight: float = 1.0,
        loss_weight: float = 1.0,
        reduction: str = "mean",
    ):
        super().__init__()
        if (ann_file is None) == (num_instances is None):
            raise InputError(
                "expected one of ann_file and num_instances in ClassBalancedLoss, got "
                f"{'neither' if ann_file is None else 'both'}. Keep ann_file: the training set's json."
            )
        self.ann_file, self.num_instances, self.classes = ann_file, num_instances, classes
        self.beta, self.clip = beta, tuple(clip)
        self.background_weight, self.loss_weight, self.reduction = background_weight, loss_weight, reduction
        effective_number_weights([1], beta, self.clip)  # checks the arguments
        self.register_buffer("class_weights", None, persistent=False)

    def init_weights(self) -> None:
        """Compute the class weights, once. mmengine calls this before training only."""
        if self.class_weights is not None:
            return
        counts = self._counts()
        weights = effective_number_weights(counts, self.beta, self.clip)
        print_log(
            f"class-balanced loss: {len(weights)} classes, {min(counts)} to {max(counts)} instances, weights "
            f"{weights.max():.3g} to {weights.min():.3g}, background {self.background_weight:g}",
            "current",
        )
        self.class_weights = torch.tensor([*weights, self.background_weight], dtype=torch.float32)

    def _counts(self) -> list[int]:
        if self.num_instances is not None:
            return list(self.num_instances)
        named = count_instances(self.ann_file)
        if self.classes is None:
            return list(named.values())
        unknown = [name for name in self.classes if name not in named]
        if unknown:
            raise InputError(
                f"expected the classes of the model in {self.ann_file} (ClassBalancedLoss.ann_file), but "
                f"it has no {unknown[0]!r}; {closest(unknown[0], named)}"
            )
        return [named[name] for name in self.classes]

    def forward(
        self,
        cls_score: torch.Tensor,
        label: torch.Tensor,
        weight: torch.Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
        **kwargs,
    ) -> torch.Tensor:
        """Loss of R regions.

        Args:
            cls_score: (R, C + 1) logits, background last.
            label: (R,) int64 in [0, C]; C is background.
            weight: (R,) weights of regions, or None.
            avg_factor: divisor of the sum; None is R.
            reduction_override: instead of ``reduction``.

        Returns:
            A scalar, or (R,) with reduction 'none'.

        Raises:
            InputError: C differs from the number of classes that were counted.
        """
        self.init_weights()
        if len(self.class_weights) != cls_score.size(1):
            raise InputError(
                f"expected counts of {cls_score.size(1) - 1} classes, as the head has, got "
                f"{len(self.class_weights) - 1} from {self.ann_file or 'num_instances'} "
                "(model: loss_cls of type frozen_det.ClassBalancedLoss). Give the annotation file that "
                "the model trains on."
            )
        # Weights of 0.01 would be rounded in half precision.
        return self.loss_weight * cross_entropy(
            cls_score.float(),
            label,
            weight,
            reduction=reduction_override or self.reduction,
            avg_factor=avg_factor,
            class_weight=self.class_weights.to(cls_score.device),
        )
