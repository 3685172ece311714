"""Base of classification losses that depend on the number of training instances of each class."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from mmdet.models.losses.cross_entropy_loss import cross_entropy
from torch import nn

from ...errors import InputError, closest


def count_instances(ann_file, loss: str = "ClassBalancedLoss") -> dict[str, int]:
    """Number of instances of every category of a COCO or LVIS json, by name, in the order of the json.

    Crowd annotations are not counted: they are never training targets.

    Args:
        ann_file: path; a relative one starts at the working directory.
        loss: name of the loss, for messages.

    Raises:
        InputError: a missing file, a json of another format, or no instances.
    """
    path = Path(ann_file)
    if not path.is_file():
        raise InputError(
            f"expected the training set's annotation file in {loss}.ann_file, but {path} does "
            "not exist. Give the path (a relative one starts at the working directory)."
        )
    try:
        content = json.loads(path.read_bytes())
        counts = Counter(a["category_id"] for a in content["annotations"] if not a.get("iscrowd", 0))
        named = {category["name"]: counts[category["id"]] for category in content["categories"]}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"expected COCO or LVIS json with `annotations` and `categories` in {path} "
            f"({loss}.ann_file), got {type(error).__name__}: {error}."
        ) from error
    if not any(named.values()):
        raise InputError(
            f"expected annotated instances in {path} ({loss}.ann_file), got none. Give the training set's file."
        )
    return named


class CountedLoss(nn.Module):
    """A softmax loss of a box head with one number per class, computed from instance counts.

    Counts are read when training starts (``init_weights``), not when the model is built, so testing needs no training
    annotations. What is computed from them is not in the state dict.

    Args:
        ann_file: the training set's COCO or LVIS json.
        num_instances: instances per class in label order, instead of ``ann_file``.
        classes: names in label order; None is the order of the json, as in frozen_det's data sets.
        loss_weight: factor on the result.
        reduction: 'mean', 'sum' or 'none'.

    Attributes:
        class_values: (C + 1,) float32, see :meth:`values_of`; None before training.

    Raises:
        InputError: both or neither of ``ann_file`` and ``num_instances``; see also :func:`count_instances`; a number
            of classes other than the head's.
    """

    use_sigmoid = False

    def __init__(
        self,
        ann_file: str | None = None,
        num_instances: Sequence[int] | None = None,
        classes: Sequence[str] | None = None,
        loss_weight: float = 1.0,
        reduction: str = "mean",
    ):
        super().__init__()
        if (ann_file is None) == (num_instances is None):
            raise InputError(
                f"expected one of ann_file and num_instances in {self._kind()}, got "
                f"{'neither' if ann_file is None else 'both'}. Keep ann_file: the training set's json."
            )
        self.ann_file, self.num_instances, self.classes = ann_file, num_instances, classes
        self.loss_weight, self.reduction = loss_weight, reduction
        self.register_buffer("class_values", None, persistent=False)

    def values_of(self, counts: list[int]) -> torch.Tensor:
        """(C + 1,) float32, a value for each class and the background, from (C,) instance counts."""
        raise NotImplementedError

    def applied(self, logits: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What the values of classes do: the (R, C + 1) float32 logits of the softmax, and (C + 1,) weights or None."""
        raise NotImplementedError

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
        # In half precision small weights and shifts would be rounded.
        logits, class_weight = self.applied(cls_score.float(), self.checked_values(cls_score))
        return self.loss_weight * cross_entropy(
            logits,
            label,
            weight,
            reduction=reduction_override or self.reduction,
            avg_factor=avg_factor,
            class_weight=class_weight,
        )

    def init_weights(self) -> None:
        """Read the counts, once. mmengine calls this before training only."""
        if self.class_values is None:
            self.class_values = self.values_of(self._counts())

    def checked_values(self, cls_score: torch.Tensor) -> torch.Tensor:
        """The values of classes and background for (R, C + 1) logits, on their device.

        Raises:
            InputError: C differs from the number of classes that were counted.
        """
        self.init_weights()
        if len(self.class_values) != cls_score.size(1):
            raise InputError(
                f"expected counts of {cls_score.size(1) - 1} classes, as the head has, got "
                f"{len(self.class_values) - 1} from {self.ann_file or 'num_instances'} "
                f"(model: loss_cls of type frozen_det.{self._kind()}). Give the annotation file that "
                "the model trains on."
            )
        if self.class_values.device != cls_score.device:  # computed on the CPU, and taken along once
            self.class_values = self.class_values.to(cls_score.device)
        return self.class_values

    def _counts(self) -> list[int]:
        if self.num_instances is not None:
            return list(self.num_instances)
        named = count_instances(self.ann_file, self._kind())
        if self.classes is None:
            return list(named.values())
        unknown = [name for name in self.classes if name not in named]
        if unknown:
            raise InputError(
                f"expected the classes of the model in {self.ann_file} ({self._kind()}.ann_file), but "
                f"it has no {unknown[0]!r}; {closest(unknown[0], named)}"
            )
        return [named[name] for name in self.classes]

    def _kind(self) -> str:
        return type(self).__name__
