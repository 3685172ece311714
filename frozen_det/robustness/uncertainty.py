"""Scores of certainty, how well a score separates in- and out-of-distribution images, calibration.

In-distribution is the positive class everywhere, and a higher score means "more like the training data". Refuses empty
sets and values that are not finite, on which every measure here would be a number without a meaning.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from ..errors import InputError

TRUE_POSITIVE_RATE = 0.95


def max_softmax(logits: np.ndarray) -> np.ndarray:
    """(N, C) logits -> (N,) probability of the predicted class, in (0, 1] (Hendrycks and Gimpel, ICLR 2017)."""
    shifted = _matrix(logits) - logits.max(1, keepdims=True)
    return 1 / np.exp(shifted).sum(1)


def max_logit(logits: np.ndarray) -> np.ndarray:
    """(N, C) logits -> (N,) largest logit (Hendrycks et al., arXiv 1911.11132)."""
    return _matrix(logits).max(1)


def energy(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """(N, C) logits -> (N,) negative energy ``T * logsumexp(logits / T)``: high for in-distribution (Liu et al.,
    NeurIPS 2020, eq. 4 and 7).

    Args:
        logits: (N, C).
        temperature: T, above 0.
    """
    if not temperature > 0:
        raise InputError(f"expected a temperature above 0 for the energy score, got {temperature!r}.")
    scaled = _matrix(logits) / temperature
    top = scaled.max(1, keepdims=True)
    return temperature * (np.log(np.exp(scaled - top).sum(1)) + top[:, 0])


SCORES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "max-softmax": max_softmax,
    "energy": energy,
    "max-logit": max_logit,
}


def detection_measures(scores_in: np.ndarray, scores_out: np.ndarray) -> dict[str, float]:
    """All measures of one score on one pair of sets.

    Args:
        scores_in: (N,) of in-distribution images, the positives.
        scores_out: (M,) of out-of-distribution images.

    Returns:
        percent: ``tnr_at_tpr95``, ``fpr_at_tpr95`` (100 minus it), ``auroc``, ``aupr_in``, ``aupr_out`` (out as the
        positive class, scores negated), ``detection_accuracy``.

    Raises:
        InputError: an empty set, or a score that is not finite.
    """
    tnr = tnr_at_tpr(scores_in, scores_out)
    return dict(
        tnr_at_tpr95=100 * tnr,
        fpr_at_tpr95=100 * (1 - tnr),
        auroc=100 * auroc(scores_in, scores_out),
        aupr_in=100 * average_precision(scores_in, scores_out),
        aupr_out=100 * average_precision(-np.asarray(scores_out), -np.asarray(scores_in)),
        detection_accuracy=100 * detection_accuracy(scores_in, scores_out),
    )


def auroc(scores_in: np.ndarray, scores_out: np.ndarray) -> float:
    """Probability that an in-distribution image scores higher than an out-of-distribution one, ties as a half; 0..1."""
    return float(roc_auc_score(*_labelled(scores_in, scores_out)))


def tnr_at_tpr(scores_in: np.ndarray, scores_out: np.ndarray, rate: float = TRUE_POSITIVE_RATE) -> float:
    """Share of out-of-distribution images that are rejected where at least `rate` of the in-distribution ones are kept.

    The threshold is the highest score at which the share of kept in-distribution images (score >= threshold) reaches
    `rate`; an out-of-distribution image is rejected when it scores below it. In 0..1.
    """
    false, true = _rates(scores_in, scores_out)
    # 19 of 20 must not fall short of 0.95 by rounding.
    return float(1 - false[int(np.argmax(true >= rate - 1e-9))])


def detection_accuracy(scores_in: np.ndarray, scores_out: np.ndarray) -> float:
    """Largest mean of true positive and true negative rate over all thresholds, both sets weighing the same; 0.5..1."""
    false, true = _rates(scores_in, scores_out)
    return float(((true + 1 - false) / 2).max())


def average_precision(scores_positive: np.ndarray, scores_negative: np.ndarray) -> float:
    """Area below precision over recall, as a sum of steps without interpolation, in 0..1.

    Args:
        scores_positive: (N,).
        scores_negative: (M,). For AUPR-in pass (in, out); for AUPR-out pass (-out, -in).
    """
    return float(average_precision_score(*_labelled(scores_positive, scores_negative)))


@dataclass(frozen=True)
class Calibration:
    """Reliability of confidences, in bins of equal width.

    Attributes:
        error: expected calibration error, 0..1: mean over images of |accuracy - confidence| of their bin.
        largest_gap: of a bin that has images (MCE), 0..1.
        count, accuracy, confidence: of each bin, (B,); NaN where a bin is empty.
    """

    error: float
    largest_gap: float
    count: np.ndarray
    accuracy: np.ndarray
    confidence: np.ndarray


def calibration(confidence: np.ndarray, right: np.ndarray, num_bins: int = 15) -> Calibration:
    """Bin confidences and compare them with accuracy (Guo et al., ICML 2017, eq. 2 to 4).

    Args:
        confidence: (N,) in 0..1, probability of the predicted class.
        right: (N,) bool.
        num_bins: bins ``((b - 1) / B, b / B]``; a confidence of 0 falls into the first.

    Raises:
        InputError: no image, a confidence outside 0..1, fewer than one bin.
    """
    confidence, right = np.asarray(confidence, np.float64), np.asarray(right, bool)
    if not len(confidence) or len(confidence) != len(right) or num_bins < 1:
        raise InputError(
            f"expected one confidence for each image, some images and at least one bin, got "
            f"{len(confidence)} confidences, {len(right)} images, {num_bins} bins."
        )
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise InputError("expected confidences in 0..1, got values outside (pass probabilities, not logits).")
    bins = np.clip(np.ceil(confidence * num_bins).astype(int) - 1, 0, num_bins - 1)
    count = np.bincount(bins, minlength=num_bins)
    with np.errstate(invalid="ignore"):
        accuracy = np.bincount(bins, weights=right, minlength=num_bins) / count
        mean = np.bincount(bins, weights=confidence, minlength=num_bins) / count
    gaps = np.abs(accuracy - mean)[count > 0]
    return Calibration(
        float((gaps * count[count > 0]).sum() / len(confidence)), float(gaps.max()), count, accuracy, mean
    )


def _labelled(positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(is positive, score) of all images of both sets."""
    positive, negative = (np.asarray(scores, np.float64).ravel() for scores in (positive, negative))
    for scores, name in ((positive, "in-distribution"), (negative, "out-of-distribution")):
        if not len(scores) or not np.isfinite(scores).all():
            raise InputError(
                f"expected finite scores of at least one {name} image, got {len(scores)} scores, "
                f"{int((~np.isfinite(scores)).sum())} of them not finite."
            )
    return np.repeat([1, 0], [len(positive), len(negative)]), np.concatenate([positive, negative])


def _rates(positive: np.ndarray, negative: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rate at every distinct score, thresholds falling, from (0, 0) on."""
    false, true, _ = roc_curve(*_labelled(positive, negative), drop_intermediate=False)
    return false, true


def _matrix(logits: np.ndarray) -> np.ndarray:
    if getattr(logits, "ndim", 0) != 2 or not logits.shape[1] or not np.isfinite(logits).all():
        raise InputError(f"expected finite logits (N, C), got shape {getattr(logits, 'shape', None)}.")
    return logits.astype(np.float64)
