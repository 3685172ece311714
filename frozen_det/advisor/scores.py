"""How well frozen features fit objects' classes and boxes, without training: LogME, H-score, nearest class means.

Each is computed from sums over the objects (a Gram matrix, class means), so that 50,000 objects of 1280 values and 80
classes take seconds. All are larger where the features fit better, and none is an AP: they rank backbones on one set of
objects and say nothing across sets.
"""

from collections.abc import Iterator

import numpy as np

from ..errors import InputError

# Rows at a time in float64: of 50,000 x 1280 values a copy would take 512 MB.
_ROWS = 4096
_MOST_STEPS, _CONVERGED = 500, 1e-7
# t = alpha / beta is kept within these multiples of the largest squared singular value: at one end the features fit the
# targets exactly, at the other they say nothing about them, and the evidence is flat.
_T_RANGE = 1e-12, 1e12


def logme(features: np.ndarray, targets: np.ndarray) -> float:
    """Logarithm of the maximum evidence of a Bayesian linear model, for one object, mean over targets.

    Of ``y = F w + noise`` with ``w ~ N(0, 1 / alpha)`` and ``noise ~ N(0, 1 / beta)`` the likelihood of y with w
    integrated out, at the alpha and beta that make it largest (You et al., "LogME", ICML 2021, arXiv 2102.11005), found
    by the fixed-point iteration of their "Ranking and Tuning Pre-trained Models", JMLR 2022 (arXiv 2110.10545).

    Args:
        features: (N, D), N at least 2.
        targets: (N,) class labels, each class one target of zeros and ones; or (N, K) real values, as of
            :func:`box_targets`.

    Returns:
        any real number: it is the logarithm of a density, so that targets on another scale move it by a constant.

    Raises:
        InputError: shapes that do not fit, values that are not finite, one class alone.
    """
    features, targets = _checked(features, targets)
    values = targets if targets.ndim == 2 else None
    products, norms = _products(features, targets)  # F^T y (D, K) and |y|^2 (K,)
    num, dim = features.shape
    if num >= dim:
        squares, vectors = _eigen(_gram(features), num)
        projected = (vectors.T @ products) ** 2 / squares[:, None]  # (U^T y)^2, (r, K)
    else:
        full = features.astype(np.float64)
        squares, vectors = _eigen(full @ full.T, num)
        projected = (vectors.T @ (_one_hot(targets) if values is None else values)) ** 2
    outside = np.maximum(norms - projected.sum(0), 0)  # what no combination of the features reaches
    return float(np.mean(_evidence(squares, projected, outside, num)) / num)


def h_score(features: np.ndarray, labels: np.ndarray) -> float:
    """Variance of class means in the metric of the features' covariance: ``tr(cov(f)^-1 cov(E[f | y]))``.

    Source: Bao et al., "An Information-Theoretic Approach to Transferability in Task Transfer Learning", ICIP 2019
    (arXiv 2212.10082). The inverse is a pseudo-inverse: with fewer objects than values the score is C - 1 for any
    features, so read it where N is several times D.

    Args:
        features: (N, D).
        labels: (N,) integers.

    Returns:
        from 0 to min(C - 1, D).

    Raises:
        InputError: as :func:`logme`.
    """
    features, labels = _checked(features, labels, classes=True)
    num = len(features)
    sums, counts = _class_sums(features, labels)
    mean = sums.sum(0) / num
    squares, vectors = _eigen(_gram(features, mean) / num, num)
    between = (sums / counts[:, None] - mean) * np.sqrt(counts / num)[:, None]  # (C, D)
    return float((((between @ vectors) ** 2) / squares).sum())


def nearest_mean_accuracy(features: np.ndarray, labels: np.ndarray) -> float:
    """Share of objects that are nearest to the mean of their own class, that mean without the object itself.

    By squared Euclidean distance, averaged over classes so that a frequent one counts as much as a rare one (Mensink et
    al., TPAMI 2013, for the classifier; leaving one out is exact here and costs nothing). Classes of one object are
    rivals only.

    Args:
        features: (N, D).
        labels: (N,) integers.

    Returns:
        from 0 to 1; 1 / C at random. A tie counts as wrong.

    Raises:
        InputError: as :func:`logme`, or no class with two objects.
    """
    features, labels = _checked(features, labels, classes=True)
    classes, places = np.unique(labels, return_inverse=True)
    sums, counts = _class_sums(features, labels)
    if counts.max() < 2:
        raise InputError(f"expected a class with at least two objects, got {len(classes)} classes of one each.")
    means = sums / counts[:, None]
    squared = (means**2).sum(1)  # (C,)
    right = np.zeros(len(classes))
    for rows, own in zip(_in_parts(features), np.split(places, range(_ROWS, len(places), _ROWS)), strict=True):
        far = squared - 2 * rows @ means.T  # (n, C), without |x|^2, which all have
        index = np.arange(len(rows))
        # Without x itself the own mean lies at m + (m - x) / (n - 1), so x is n / (n - 1) times as far from it.
        count = counts[own]
        length = (rows**2).sum(1)
        away = np.where(count > 1, (count / np.maximum(count - 1, 1)) ** 2, 1) * (far[index, own] + length) - length
        far[index, own] = np.inf
        right += np.bincount(own, weights=away < far.min(1), minlength=len(classes))
    several = counts > 1
    return float(np.mean(right[several] / counts[several]))


def box_targets(boxes_xyxy: np.ndarray, sizes_hw: np.ndarray) -> np.ndarray:
    """Boxes as targets of a linear model: centre and logarithm of the side in shares of the image, standardised.

    Args:
        boxes_xyxy: (N, 4) px, x2 above x1 and y2 above y1.
        sizes_hw: (N, 2) height and width of each box's image in px.

    Returns:
        (N, 4) x, y, log width, log height; every column with mean 0 and variance 1, one without variance is 0.

    Raises:
        InputError: boxes without area, or other shapes.
    """
    boxes, sizes = np.asarray(boxes_xyxy, np.float64), np.asarray(sizes_hw, np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or sizes.shape != (len(boxes), 2):
        raise InputError(f"expected boxes (N, 4) and sizes (N, 2), got {boxes.shape} and {sizes.shape}.")
    sides = boxes[:, 2:] - boxes[:, :2]
    if not (sides > 0).all() or not (sizes > 0).all():
        raise InputError("expected boxes with x2 above x1 and y2 above y1 in images with an area; leave others out.")
    shape_wh = sizes[:, ::-1]
    found = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2 / shape_wh, np.log(sides / shape_wh)], axis=1)
    spread = found.std(0)
    return (found - found.mean(0)) / np.where(spread > 1e-12, spread, np.inf)


def box_logme(features: np.ndarray, boxes_xyxy: np.ndarray, sizes_hw: np.ndarray) -> float:
    """:func:`logme` of the boxes: the regression that detectors need beside the classes.

    After Wang et al., "Efficient Transferability Assessment for Selection of Pre-trained Detectors" (Det-LogME, arXiv
    2403.09432), who add LogME on box coordinates to that on classes. The coding of :func:`box_targets` is ours: their
    equations were not compared, and their IoU term is left out. Do not call it Det-LogME.

    Args:
        features: (N, D).
        boxes_xyxy, sizes_hw: as of :func:`box_targets`.

    Returns:
        as :func:`logme`; mean of the four.
    """
    return logme(features, box_targets(boxes_xyxy, sizes_hw))


# -- evidence ----------------------------------------------------------------------------------------------------------


def _evidence(squares: np.ndarray, projected: np.ndarray, outside: np.ndarray, num: int) -> np.ndarray:
    """Largest log evidence of every target.

    Args:
        squares: (r,) squared singular values of F, above 0.
        projected: (r, K) squared coordinates of the targets along F's left singular vectors.
        outside: (K,) squared length of what lies outside their span.
        num: N.
    """
    squares = squares[:, None]
    low, high = (bound * squares.max() for bound in _T_RANGE)
    t = np.clip(np.ones_like(outside), low, high)
    for _ in range(_MOST_STEPS):
        shrunk = squares / (squares + t)  # (r, K)
        gamma = shrunk.sum(0)
        weights = (shrunk**2 * projected / squares).sum(0)  # |m|^2
        residual = ((1 - shrunk) ** 2 * projected).sum(0) + outside
        with np.errstate(divide="ignore", invalid="ignore"):
            new = gamma * residual / ((num - gamma) * weights)  # alpha / beta
        new = np.clip(np.where(np.isfinite(new), new, np.where(weights > 0, low, high)), low, high)
        done = np.abs(np.log(new / t)).max() < _CONVERGED
        t = new
        if done:
            break
    # y ~ N(0, (t I + F F^T) / alpha): given t, the alpha that fits best is N over the quadratic form.
    form = (projected / (squares + t)).sum(0) + outside / t
    determinant = np.log(squares + t).sum(0) + (num - len(squares)) * np.log(t)
    with np.errstate(divide="ignore"):
        return 0.5 * (num * np.log(num / form) - determinant - num * (1 + np.log(2 * np.pi)))


def _eigen(matrix: np.ndarray, num: int) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues above rounding and their vectors (in columns) of a positive semi-definite matrix."""
    values, vectors = np.linalg.eigh(matrix)
    kept = values > values[-1] * max(num, len(matrix)) * np.finfo(np.float64).eps
    if values[-1] <= 0 or not kept.any():
        raise InputError("expected features that differ from zero, and between objects, got constant ones.")
    return values[kept], vectors[:, kept]


def _gram(features: np.ndarray, centre: np.ndarray | float = 0.0) -> np.ndarray:
    """(D, D) sum over the objects of the products of their values."""
    total = np.zeros((features.shape[1],) * 2)
    for rows in _in_parts(features):
        rows -= centre
        total += rows.T @ rows
    return total


def _in_parts(values: np.ndarray) -> Iterator[np.ndarray]:
    """Copies in float64 of some rows at a time."""
    for start in range(0, len(values), _ROWS):
        yield values[start : start + _ROWS].astype(np.float64)


def _products(features: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if targets.ndim == 1:
        sums, counts = _class_sums(features, targets)
        return sums.T, counts.astype(np.float64)
    parts = zip(_in_parts(features), _in_parts(targets))
    return sum(rows.T @ values for rows, values in parts), (targets**2).sum(0)


def _class_sums(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(C, D) sums and (C,) counts of the classes that are there."""
    _, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    order = np.argsort(places, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    sums = np.stack(
        [
            features[order[start : start + count]].sum(0, dtype=np.float64)
            for start, count in zip(starts, counts, strict=True)
        ]
    )
    return sums, counts


def _one_hot(labels: np.ndarray) -> np.ndarray:
    return (labels[:, None] == np.unique(labels)).astype(np.float64)


def _checked(features, targets, classes: bool = False) -> tuple[np.ndarray, np.ndarray]:
    features, targets = np.asarray(features), np.asarray(targets)
    if features.ndim != 2 or len(features) < 2 or targets.ndim not in (1, 2) or len(targets) != len(features):
        raise InputError(
            f"expected features (N, D) of at least two objects and N targets, got {features.shape} and {targets.shape}."
        )
    if not np.isfinite(features).all() or not np.isfinite(targets).all():
        raise InputError("expected finite features and targets, got NaN or infinity.")
    if targets.ndim == 2:
        if classes:
            raise InputError(f"expected labels (N,), got {targets.shape}.")
        return features, targets.astype(np.float64)
    if not np.issubdtype(targets.dtype, np.integer):
        raise InputError(f"expected whole numbers as labels, got {targets.dtype}; real targets are (N, K).")
    if len(np.unique(targets)) < 2:
        raise InputError("expected objects of at least two classes, got one: nothing is to be told apart.")
    return features, targets
