"""Hidden and mixed images: occlusion of centre and boundary, pairs of images blended or cut together.

CutMix (Yun et al., ICCV 2019), appendix D. A square of side s sits in the middle: its inside is hidden (centre) or
everything but it (boundary). In-between images: of two images of different classes a prediction is wrong when it is
neither class; Mixup-ed over lam, CutMix-ed with the second image in a centred square. The paper says neither which
value hides (here the mean pixel, a zero of the network's input, or black by choice) nor how pairs are drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..registry import STUDIES
from .bootstrap import Bootstrap, Measured
from .candidates import StudyClassifier, StudyImages, unit
from .study import Setting, Study, option

FILLS = ("mean", "black")


@STUDIES.register_module(name="occlusion")
class Occlusion(Study):
    """Top-1 with the centre or the boundary hidden, over sides of the hole."""

    title = "Partly hidden"
    axes = ("side of the hole over the image's", "top-1, %")
    about = "Top-1 with a part of the image hidden, mean over sides of the hole; more is better."
    ranked = (("centre hidden", True), ("only centre seen", True))
    # CutMix, section 4.4: a figure, of which the direction is read.
    published = {"centre hidden": dict(cutout=1, cutmix=1), "only centre seen": dict(cutout=1, cutmix=1)}

    @dataclass(frozen=True)
    class Options:
        """What hides."""

        fill: str = option("mean", "what hides (default: mean)", choices=list(FILLS))

    def run(self, classifier, images, options, setting: Setting) -> Measured:
        return study_occlusion(classifier, images, options.fill, seed=setting.seed, log=setting.log)


@STUDIES.register_module(name="in-between")
class InBetween(Study):
    """Errors on pairs of images, blended or cut together."""

    title = "Between two classes"
    axes = ("share of the second image", "error, %")
    about = "Pairs of images of different classes for which neither class is predicted; less is better."
    ranked = (("Mixup-ed, error", False), ("CutMix-ed, error", False))
    # CutMix, section 4.4: a figure, of which the direction is read.
    published = {"Mixup-ed, error": dict(mixup=-1, cutmix=-1), "CutMix-ed, error": dict(cutmix=-1)}

    def run(self, classifier, images, options, setting: Setting) -> Measured:
        return study_between(classifier, images, seed=setting.seed, log=setting.log)


def centred_box(size_hw: tuple[int, int], share: float) -> tuple[int, int, int, int]:
    """``x1, y1, x2, y2`` of a box in the middle with sides of `share` (0..1) of the image's, rounded to whole px."""
    (height, width) = size_hw
    h, w = round(height * share), round(width * share)
    top, left = (height - h) // 2, (width - w) // 2
    return left, top, left + w, top + h


def occlude(pixels: Tensor, share: float, where: str, fill: Tensor) -> Tensor:
    """Hide a part of (N, 3, H, W) pixels.

    Args:
        share: side of the hole over the image's side, 0..1.
        where: ``centre`` hides the hole, ``boundary`` everything else.
        fill: (1, 3, 1, 1) what is put there.
    """
    x1, y1, x2, y2 = centred_box(pixels.shape[-2:], share)
    inside = torch.zeros(pixels.shape[-2:], dtype=torch.bool, device=pixels.device)
    inside[y1:y2, x1:x2] = True
    hidden = inside if where == "centre" else ~inside
    return torch.where(hidden, fill.expand_as(pixels), pixels)


def study_occlusion(
    classifier: StudyClassifier,
    images: StudyImages,
    fill: str = "mean",
    num_sizes: int = 9,
    seed: int = 0,
    log: Callable[[str], None] = print,
) -> Measured:
    """Top-1 accuracy in percent over the side of the hole, for both places.

    Args:
        fill: ``mean``: the mean pixel; ``black``.
        num_sizes: sides from 0 to the image's, evenly spaced, both ends included.

    The two numbers are means over the sizes between the ends, where one place hides nothing and the other all.
    """
    if fill not in FILLS or num_sizes < 3:
        raise InputError(f"expected a fill of {FILLS} and at least three sizes, got {fill!r} and {num_sizes} (--fill).")
    colour = classifier.mean if fill == "mean" else torch.zeros_like(classifier.mean)
    shares = np.linspace(0, 1, num_sizes)
    boot, found = Bootstrap(len(images), seed), Measured(notes=dict(fill=fill, num_images=len(images)))
    labels = images.labels.numpy()
    for where in ("centre", "boundary"):
        right = []
        for share in shares:
            logits = classifier.logits(
                images.pixels, lambda x, share=share, where=where: occlude(x, share, where, colour)
            )
            right.append(100.0 * (logits.argmax(1) == labels))
            log(f"occlusion, {where}: hole of {share:.0%}: top-1 {right[-1].mean():.1f}")
        table = np.stack(right, 1)  # (N, T)
        found.numbers[f"{where} hidden" if where == "centre" else "only centre seen"] = boot.mean(
            table[:, 1:-1].mean(1)
        )
        found.series[f"hole in the {where}" if where == "centre" else "all but the hole hidden"] = boot.means(
            shares, table
        )
    return found


def draw_partners(labels: np.ndarray, seed: int = 0) -> np.ndarray:
    """(N,) index of another image of another class for each image.

    Raises:
        InputError: images of one class only.
    """
    if len(np.unique(labels)) < 2:
        raise InputError("expected images of at least two classes to make pairs of, got one class.")
    rng = np.random.default_rng([seed, 1])
    partners = rng.integers(0, len(labels), len(labels))
    while (same := labels[partners] == labels).any():
        partners[same] = rng.integers(0, len(labels), int(same.sum()))
    return partners


def study_between(
    classifier: StudyClassifier,
    images: StudyImages,
    num_steps: int = 11,
    seed: int = 0,
    log: Callable[[str], None] = print,
) -> Measured:
    """Error in percent on images between two classes, over the second image's share.

    Args:
        num_steps: places from one image alone to the other alone, both ends included.

    Numbers are means over the places between the ends.
    """
    if num_steps < 3:
        raise InputError(f"expected at least three places between two images, got {num_steps}.")
    labels = images.labels.numpy()
    partners = draw_partners(labels, seed)
    shares = np.linspace(0, 1, num_steps)
    boot, found = Bootstrap(len(images), seed), Measured(notes=dict(num_pairs=len(images), mask="centre"))
    for kind in ("Mixup-ed", "CutMix-ed"):
        wrong = []
        for share in shares:
            predicted = _predict_pairs(classifier, images.pixels, partners, share, kind)
            wrong.append(100.0 * ((predicted != labels) & (predicted != labels[partners])))
            log(f"in-between, {kind}: second image {share:.0%}: error {wrong[-1].mean():.1f}")
        table = np.stack(wrong, 1)
        found.numbers[f"{kind}, error"] = boot.mean(table[:, 1:-1].mean(1))
        found.series[kind] = boot.means(shares, table)
    return found


def mix_pair(first: Tensor, second: Tensor, share: float, kind: str) -> Tensor:
    """(N, 3, H, W) pixels with `share` of the second: of the weight (``Mixup-ed``) or of the centred square's side."""
    if kind == "Mixup-ed":
        return (1 - share) * first + share * second
    x1, y1, x2, y2 = centred_box(first.shape[-2:], share)
    mixed = first.clone()
    mixed[..., y1:y2, x1:x2] = second[..., y1:y2, x1:x2]
    return mixed


def _predict_pairs(
    classifier: StudyClassifier, pixels: Tensor, partners: np.ndarray, share: float, kind: str
) -> np.ndarray:
    found = []
    with torch.no_grad():
        for first, other in zip(
            pixels.split(classifier.batch_size), torch.from_numpy(partners).split(classifier.batch_size)
        ):
            mixed = mix_pair(unit(first), unit(pixels[other]), share, kind)
            found.append(classifier(mixed.to(classifier.device)).argmax(1).cpu())
    return torch.cat(found).numpy()
