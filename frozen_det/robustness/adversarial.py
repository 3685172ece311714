"""Accuracy under attack: the fast gradient sign method over a sweep of strengths, and PGD as the stronger check.

Goodfellow et al., ICLR 2015; Madry et al., ICLR 2018. White box, on the true label. The strength is in [0, 1] pixel
space (8/255 by default), the attacked image is cut to [0, 1], and norms use their running statistics. What the network
sees is normalised afterwards, so a channel with a small std moves further there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InputError
from ..registry import STUDIES
from .bootstrap import Bootstrap, Measured
from .candidates import StudyClassifier, StudyImages, unit
from .study import Setting, Study, option

EPSILON = 8
SWEEP = (0, 1, 2, 4, 8, 16)


@STUDIES.register_module(name="fgsm")
class FGSM(Study):
    """Top-1 under FGSM, over a sweep of strengths, and under PGD."""

    title = "Under attack"
    axes = ("strength, 1/255", "top-1, %")
    about = "Top-1 that is left when pixels are changed against the classifier; more is better."
    version = 2
    ranked = (("FGSM 8/255", True),)
    # CutMix (Yun et al., ICCV 2019), Table 8.
    published = {"FGSM 8/255": dict(mixup=16.2, cutout=3.3, cutmix=22.8)}

    @dataclass(frozen=True)
    class Options:
        """Strengths in 1/255 of the pixel range."""

        epsilons: tuple[float, ...] = option(
            SWEEP, "sweep of FGSM, in 1/255 of the pixel range (default: 0 1 2 4 8 16)", type=float, metavar="E"
        )
        epsilon: float = option(EPSILON, "the one reported (default: 8)", type=float, metavar="E")
        pgd_steps: int = option(10, "steps of PGD; 0: none (default: 10)", type=int, metavar="N")
        pgd_images: int = option(200, "images under PGD (default: 200)", type=int, metavar="N")

    def run(self, classifier, images, options, setting: Setting) -> Measured:
        return study_fgsm(
            classifier,
            images,
            options.epsilons,
            options.epsilon,
            options.pgd_steps,
            options.pgd_images,
            setting.seed,
            setting.log,
        )


def gradient_sign(classifier: StudyClassifier, pixels: Tensor, labels: Tensor) -> Tensor:
    """Sign of the loss's gradient at pixels (N, 3, H, W) in [0, 1], for labels (N,)."""
    pixels = pixels.detach().requires_grad_()
    loss = F.cross_entropy(classifier(pixels), labels, reduction="sum")  # each image its own gradient
    return torch.autograd.grad(loss, pixels)[0].sign()


def fgsm(classifier: StudyClassifier, pixels: Tensor, labels: Tensor, epsilon: float) -> Tensor:
    """Attacked pixels, at most `epsilon` (in [0, 1] pixel space) from `pixels`, in [0, 1]."""
    return (pixels + epsilon * gradient_sign(classifier, pixels, labels)).clamp(0, 1)


def pgd(
    classifier: StudyClassifier,
    pixels: Tensor,
    labels: Tensor,
    epsilon: float,
    num_steps: int,
    generator: torch.Generator,
) -> Tensor:
    """Projected gradient ascent from a random start in the ball; steps of ``2.5 * epsilon / num_steps``.

    Args:
        pixels: (N, 3, H, W) in [0, 1].
        epsilon: radius of the ball (largest change of a value), in [0, 1] pixel space.
        generator: on the CPU, of the random start.
    """
    start = torch.rand(pixels.shape, generator=generator).to(pixels.device)
    attacked = (pixels + epsilon * (2 * start - 1)).clamp(0, 1)
    for _ in range(num_steps):
        stepped = attacked + 2.5 * epsilon / num_steps * gradient_sign(classifier, attacked, labels)
        attacked = torch.minimum(torch.maximum(stepped, pixels - epsilon), pixels + epsilon).clamp(0, 1)
    return attacked


def study_fgsm(
    classifier: StudyClassifier,
    images: StudyImages,
    sweep: Sequence[float] = SWEEP,
    epsilon: float = EPSILON,
    pgd_steps: int = 10,
    pgd_images: int = 200,
    seed: int = 0,
    log: Callable[[str], None] = print,
) -> Measured:
    """Top-1 accuracy in percent under attack.

    Args:
        sweep: strengths in 1/255, FGSM.
        epsilon: the strength that is reported, in 1/255; FGSM and PGD.
        pgd_steps: of PGD; 0 leaves it out.
        pgd_images: PGD runs on that many of the images, drawn by seed.
        seed: of PGD's starts and the bootstrap.
    """
    if min(sweep, default=-1) < 0 or epsilon < 0 or pgd_steps < 0:
        raise InputError(
            f"expected attack strengths from 0 on (in 1/255) and PGD steps from 0 on, got {list(sweep)}, "
            f"{epsilon}, {pgd_steps} (--epsilons, --pgd-steps)."
        )
    strengths = sorted({*map(float, sweep), 0.0, float(epsilon)})
    right = [[] for _ in strengths]
    for start in range(0, len(images), classifier.batch_size):
        pixels, labels = _batch(classifier, images, start)
        sign = gradient_sign(classifier, pixels, labels)
        with torch.no_grad():
            for place, strength in enumerate(strengths):
                attacked = (pixels + strength / 255 * sign).clamp(0, 1)
                right[place].append((classifier(attacked).argmax(1) == labels).cpu().numpy())
        log(f"fgsm: {start + len(labels)} of {len(images)} images")
    table = 100.0 * np.stack([np.concatenate(one) for one in right], 1)  # (N, T)
    boot = Bootstrap(len(images), seed)
    found = Measured(
        dict(
            clean=boot.mean(table[:, 0]),
            **{f"FGSM {epsilon:g}/255": boot.mean(table[:, strengths.index(float(epsilon))])},
        ),
        {"FGSM": boot.means(strengths, table)},
        dict(space="[0, 1] pixels", norms="running statistics", num_images=len(images)),
    )
    if pgd_steps:
        attacked = images.draw(pgd_images, seed)
        count, stood = len(attacked), _under_pgd(classifier, attacked, epsilon / 255, pgd_steps, seed, log)
        found.numbers[f"PGD-{pgd_steps} {epsilon:g}/255"] = Bootstrap(count, seed).mean(100.0 * stood)
        found.notes["num_pgd_images"] = count
    return found


def _under_pgd(classifier, images: StudyImages, epsilon: float, num_steps: int, seed: int, log) -> np.ndarray:
    """(N,) whether an image is still classified right."""
    generator, right = torch.Generator().manual_seed(seed), []
    for start in range(0, len(images), classifier.batch_size):
        pixels, labels = _batch(classifier, images, start)
        attacked = pgd(classifier, pixels, labels, epsilon, num_steps, generator)
        with torch.no_grad():
            right.append((classifier(attacked).argmax(1) == labels).cpu().numpy())
        log(f"pgd: {start + len(labels)} of {len(images)} images")
    return np.concatenate(right)


def _batch(classifier, images: StudyImages, start: int) -> tuple[Tensor, Tensor]:
    part = slice(start, start + classifier.batch_size)
    return unit(images.pixels[part]).to(classifier.device), images.labels[part].to(classifier.device)
