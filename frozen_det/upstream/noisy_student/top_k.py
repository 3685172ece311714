"""Soft labels as the k most probable classes and one number for all others; equal to whole vectors at k = all classes.

Kept are logits less their maximum, as in whole vectors, in the order of the classes, and the sum of the others'
exponentials. What the others have is spread evenly over them: "marginal smoothing" of Shen and Xing (arXiv 2112.01528),
and how TinyViT trains on sparse labels (arXiv 2207.10666, main.py of its code). One bucket for all of them would say
nothing about how a student divides it; renormalising without them would be surer than the teacher is.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

# Columns of a part and of a manifest; null where nothing was kept.
SOFT_COLUMNS = ("soft_classes", "soft_logits", "soft_rest")


class TopLabels(NamedTuple):
    """Soft labels of n images.

    Attributes:
        classes: (n, k) integers, ascending in each row.
        logits: (n, k) float, less the maximum.
        rest: (n,) float32, sum of exp(logit) over all other classes; 0 where there are none.
    """

    classes: np.ndarray
    logits: np.ndarray
    rest: np.ndarray


def top_fields(num_classes: int) -> list:
    """The columns :data:`SOFT_COLUMNS`: lists of k classes (16 bits up to 65,536 of them) and of k float16 logits, and
    the rest in float32."""
    import pyarrow as pa

    index = pa.uint16() if num_classes <= 2**16 else pa.uint32()
    types = (pa.list_(index), pa.list_(pa.float16()), pa.float32())
    return [pa.field(name, kind) for name, kind in zip(SOFT_COLUMNS, types)]


def top_labels(below: Tensor, labels: Tensor, k: int) -> TopLabels:
    """The k largest logits of each row, on the tensors' device, the result in memory.

    Of equal ones at the k-th place those of the lower classes are kept, the same on every device; the label always is.

    Args:
        below: (n, C) float32, logits less their maximum.
        labels: (n,) int64, a class of maximal logit.
        k: 1..C.
    """
    ranked = below.scatter(1, labels[:, None], torch.inf)
    bound = ranked.topk(k, 1).values[:, -1:]  # (n, 1): values do not depend on how equal ones are ordered
    above, tied = ranked > bound, ranked == bound
    room = k - above.sum(1, keepdim=True)
    kept = above | (tied & (tied.cumsum(1) <= room))
    classes = kept.nonzero()[:, 1].reshape(-1, k)
    rest = below.exp().masked_fill(kept, 0).sum(1)
    return TopLabels(classes.cpu().numpy(), below.gather(1, classes).cpu().numpy(), rest.cpu().numpy())


def shares_of(
    logits: np.ndarray, rest: float, num_classes: int, temperature: float = 1.0
) -> tuple[np.ndarray, np.float32]:
    """Probabilities of the kept classes, (k,) float32, and of all others together, float32; they add up to 1.

    A temperature takes the others as equal logits, which is what spreading them evenly says.

    Args:
        logits, rest: of one image, see :class:`TopLabels`.
        num_classes: C.
        temperature: logits are divided by it, above 0.
    """
    scaled = np.exp(logits.astype(np.float32) / np.float32(temperature))
    others = num_classes - len(logits)
    if not others:
        return scaled / scaled.sum(), np.float32(0)
    spread = np.float32(others * (float(rest) / others) ** (1 / temperature))
    total = scaled.sum() + spread
    return scaled / total, spread / total


def whole_label(classes: np.ndarray, shares: np.ndarray, rest: float, num_classes: int) -> np.ndarray:
    """(C,) float32 probabilities out of the kept ones (k,) and of `rest`, spread evenly."""
    others = num_classes - len(classes)
    whole = np.full(num_classes, np.float32(rest) / np.float32(max(others, 1)), np.float32)
    whole[classes] = shares
    return whole


def one_hot_top(labels: Tensor, k: int, num_classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Hard labels in the same form: (N, k) int64 classes, the label first, (N, k) float32 shares, (N,) rests of 0."""
    classes = (labels[:, None] + torch.arange(k)) % num_classes
    shares = torch.zeros(classes.shape)
    shares[:, 0] = 1
    return classes, shares, torch.zeros(len(labels))
