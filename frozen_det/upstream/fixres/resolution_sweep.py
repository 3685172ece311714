"""Accuracy against test size: sweeps, adaptations without gradients, before and after a tuning.

Each function measures and returns plain rows; :mod:`.page` makes the page of them. Images come through
:class:`frozen_det.upstream.fixres.resolution.SizedImages`, each once.
"""

import copy
from collections.abc import Callable, Sequence

import numpy as np

from ...errors import InputError
from ...reports.flop_count import flop_counter
from .adaptations import NormStatistics
from .classifier import last_norm
from .resolution import SizedImages, halves, measure


def load_model(cfg, checkpoint=None):
    """A classifier of a config with weights in it, in eval mode on the CPU or the first GPU.

    Args:
        cfg: a loaded config.
        checkpoint: a file or work directory; None takes ``model.weights`` of the config.

    Raises:
        InputError: neither is given, or it does not fit.
    """
    import torch
    from mmdet.registry import MODELS
    from mmengine.registry import DefaultScope

    wanted = {**copy.deepcopy(dict(cfg.model)), "mixing": None}
    if checkpoint is not None:
        wanted["weights"] = str(checkpoint)
    if not wanted.get("weights"):
        raise InputError(f"expected a CHECKPOINT after {cfg.filename}, or model.weights in it, got neither.")
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(wanted)
    model.init_weights()
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def sizes_and_ratios(sizes: Sequence[int], ratios: Sequence[float]) -> list[tuple[int, float]]:
    """Every size with its crop ratio: one ratio for all, one for each size, or all combinations where their numbers
    differ.

    Raises:
        InputError: no size, one below 1 px, or a ratio outside (0, 1].
    """
    if not sizes or min(sizes) < 1 or not ratios or not all(0 < ratio <= 1 for ratio in ratios):
        raise InputError(
            f"expected sizes from 1 px on and crop ratios in (0, 1], got {list(sizes)} and "
            f"{list(ratios)} (--sweep, --crop-ratios)."
        )
    if len(ratios) == len(sizes):
        return list(zip(sizes, ratios))
    return [(size, ratio) for ratio in ratios for size in sizes]


def sweep(
    model, images: SizedImages, wanted: Sequence[tuple[int, float]], label: str, log: Callable[[str], None] = print
) -> list[dict]:
    """One row per (size, crop ratio): accuracy, loss, FLOPs of one image, pooled activations.

    Args:
        model: of :func:`load_model`.
        images: to measure on.
        wanted: of :func:`sizes_and_ratios`.
        label: what the rows are called.
        log: prints a line.
    """
    rows = []
    for size, ratio in wanted:
        found = measure(model, images.batches(size, ratio))
        rows.append(_row(label, size, ratio, found, flops_at(model, size)))
        log(f"{label}: {size} px, crop {ratio:g}: top-1 {rows[-1]['top1']:.2f}, {rows[-1]['gflops']:.3f} GFLOPs")
    return rows


def adapt_halves(
    model,
    images: SizedImages,
    wanted: Sequence[tuple[int, float]],
    adaptation=None,
    seed: int = 0,
    log: Callable[[str], None] = print,
) -> list[dict]:
    """Adapt on one half of the test images, measure on the other, both ways round.

    No gradient and no label of an image is used in adapting. Two rows per size: ``before`` and ``adapted``, each over
    all images (every image is measured under an adaptation it had no part in), with how many images were gained and
    lost and the two-sided p-value of an exact sign test on them.

    Args:
        adaptation: of :mod:`.adaptations`; None: the statistics of the norm that runs last.
        seed: of the split.
        others: as in :func:`sweep`.
    """
    adaptation = adaptation or NormStatistics(last_norm(model._backbone_cfg, model.num_classes))
    parts = halves(len(images), seed)
    rows = []
    for size, ratio in wanted:
        before = [measure(model, images.batches(size, ratio, part), adaptation.norms) for part in parts]
        learned = [adaptation.learn(model, images, *each) for each in zip(parts, before)]
        after = []
        for adapts, measured in ((0, 1), (1, 0)):
            with adaptation.applied(model, learned[adapts]):
                after.append(measure(model, images.batches(size, ratio, parts[measured])))
        was, now = (np.concatenate([one.right for one in order]) for order in (before[::-1], after))
        counts = dict(
            **_flips(was, now),
            **adaptation.record(learned),
            halves_before=[one.numbers["top1"] for one in before[::-1]],
            halves_after=[one.numbers["top1"] for one in after],
        )
        gflops = flops_at(model, size)
        common = dict(size=size, crop_ratio=ratio, gflops=gflops / 1e9)
        rows.append(dict(label="before", top1=100 * float(was.mean()), loss=_mean_loss(before), **common))
        rows.append(dict(label="adapted", top1=100 * float(now.mean()), loss=_mean_loss(after), **common, **counts))
        log(
            f"{size} px, crop {ratio:g}: top-1 {100 * was.mean():.2f} -> {100 * now.mean():.2f} with "
            f"{adaptation.label} of the other half ({counts['gained']} gained, {counts['lost']} lost, "
            f"p = {counts['p_value']:.2f})"
        )
    return rows


def adapt_on(
    model,
    source: SizedImages,
    images: SizedImages,
    size: int,
    ratio: float,
    adaptation=None,
    fraction: float = 1.0,
    seed: int = 0,
    log: Callable[[str], None] = print,
) -> tuple[list[dict], object]:
    """Adapt on (a share of) the training images at a test size; measured on the test images.

    Args:
        source: training images, seen by the test's transform.
        fraction: share of them that is used, in (0, 1].
        others: as in :func:`adapt_halves`.

    Returns:
        (rows ``before`` and ``adapted``, what was learned); the model is as it was.
    """
    if not 0 < fraction <= 1:
        raise InputError(f"expected a fraction in (0, 1], got {fraction} (--fraction).")
    adaptation = adaptation or NormStatistics(last_norm(model._backbone_cfg, model.num_classes))
    count = max(1, round(fraction * len(source)))
    part = np.sort(np.random.default_rng(seed).permutation(len(source))[:count])
    before = measure(model, images.batches(size, ratio))
    seen = measure(model, source.batches(size, ratio, part), adaptation.norms)
    learned = adaptation.learn(model, source, part, seen)
    with adaptation.applied(model, learned):
        after = measure(model, images.batches(size, ratio))
    flips = _flips(before.right, after.right)
    log(
        f"{adaptation.label} from {count} training images at {size} px: top-1 {before.numbers['top1']:.2f} -> "
        f"{after.numbers['top1']:.2f} ({flips['gained']} gained, {flips['lost']} lost)"
    )
    flops = flops_at(model, size)
    rows = [_row("before", size, ratio, before, flops), _row("adapted", size, ratio, after, flops)]
    rows[1].update(**flips, **adaptation.record([learned]), num_images_adapted=count)
    return rows, learned


def flops_at(model, size: int) -> int:
    """FLOPs of one image of `size` x `size` px, a multiply-add as two; counted on a copy on meta tensors."""
    import torch

    network = copy.deepcopy(model.network).to("meta").eval()
    with torch.no_grad(), flop_counter() as counter:
        network(torch.zeros(1, 3, size, size, device="meta"))
    return counter.get_total_flops()


def sign_test(gained: int, lost: int) -> float:
    """Two-sided p-value of a fair coin giving counts as uneven as `gained` and `lost`, in (0, 1]."""
    from scipy.stats import binomtest

    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def _flips(was: np.ndarray, now: np.ndarray) -> dict:
    """Images gained and lost, (N,) bool each, and the sign test of them."""
    gained, lost = int((~was & now).sum()), int((was & ~now).sum())
    return dict(gained=gained, lost=lost, p_value=sign_test(gained, lost))


def _mean_loss(parts) -> float:
    """Mean loss over the images of several measurements."""
    return float(np.average([one.numbers["loss"] for one in parts], weights=[len(one.right) for one in parts]))


def _row(label: str, size: int, ratio: float, found, flops: int) -> dict:
    numbers = {key: found.numbers[key] for key in ("top1", "top5", "loss", "ece") if key in found.numbers}
    return dict(
        label=label,
        size=size,
        crop_ratio=ratio,
        resize=int(size / ratio),
        **numbers,
        num_images=len(found.right),
        gflops=flops / 1e9,
        pooled=found.pooled,
    )
