"""Does a classifier know what it does not know: out-of-distribution detection, and calibration on its own images.

CutMix (Yun et al., ICCV 2019), appendix E, uses the largest softmax probability alone, without temperature and without
perturbed inputs; energy and largest logit are shown beside it. In-distribution images are the positive class, right or
wrong. Refuses sets without a readable image.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..datasets.images.pixels import upright_rgb
from ..errors import InputError
from ..pages.plots import Curve
from ..registry import STUDIES
from .bootstrap import NUM_REPLICATES, Bootstrap, Measured, Series, average, estimate
from .candidates import StudyClassifier, StudyImages
from .study import Setting, Study, option
from .uncertainty import SCORES, calibration, detection_measures, max_softmax

NOISE = ("uniform", "gaussian")
EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".webp", ".tif", ".tiff")


_WORDS = {"tnr_at_tpr95": "TNR at TPR 95", "auroc": "AUROC", "detection_accuracy": "detection accuracy"}


@STUDIES.register_module(name="ood")
class OutOfDistribution(Study):
    """Separate test images from noise and from images of other data sets."""

    title = "Out of distribution"
    axes = ("", "AUROC, %")
    about = (
        "Images of no known class separated from test images by the classifier's own scores; more is better. An "
        "AUROC below 50 means surer of the unknown."
    )
    rows = (
        "mean, max-softmax, tnr_at_tpr95",
        "mean, max-softmax, auroc",
        "mean, max-softmax, detection_accuracy",
        "mean, energy, auroc",
        "mean, max-logit, auroc",
        "*, max-softmax, tnr_at_tpr95",
        "*, max-softmax, auroc",
    )
    ranked = (("mean, max-softmax, auroc", True), ("mean, energy, auroc", True))
    # CutMix, Table 10.
    published = {
        "mean, max-softmax, tnr_at_tpr95": dict(mixup=-14.5, cutout=-7.5, cutmix=42.7),
        "mean, max-softmax, auroc": dict(mixup=-38.0, cutout=-18.6, cutmix=7.1),
        "mean, max-softmax, detection_accuracy": dict(mixup=-21.1, cutout=-10.7, cutmix=7.1),
    }

    @dataclass(frozen=True)
    class Options:
        """Images of no known class."""

        ood: tuple[str, ...] = option(
            (), "folders of other images, beside uniform and Gaussian noise", metavar="[NAME=]DIR"
        )

    def run(self, classifier, images, options, setting: Setting) -> Measured:
        return study_ood(classifier, images, options.ood, setting.seed, setting.log)

    def number_words(self, name: str) -> str:
        """``mean, energy, auroc`` -> ``mean, energy, AUROC``."""
        head, comma, last = name.rpartition(", ")
        return f"{head}{comma}{_WORDS.get(last, last)}"


@STUDIES.register_module(name="calibration")
class CalibrationStudy(Study):
    """Whether confidence is accuracy, on the test images."""

    title = "Calibration"
    axes = ("confidence, %", "accuracy, %")
    about = "Whether confidence is accuracy; ECE less is better."
    ranked = (("accuracy", True), ("ECE", False))
    leads_ranking = True

    @dataclass(frozen=True)
    class Options:
        """Bins of equal width."""

        num_bins: int = option(15, "bins (default: 15)", "--bins", type=int, metavar="N")

    def run(self, classifier, images, options, setting: Setting) -> Measured:
        return study_calibration(classifier, images, options.num_bins, setting.seed, setting.log)

    def reference_curves(self) -> list[Curve]:
        return [Curve("confidence = accuracy", [0, 100], [0, 100], dashed=True, color="#888888")]


def noise_images(kind: str, num: int, size_hw: tuple[int, int], seed: int = 0) -> Tensor:
    """(num, 3, H, W) in [0, 1]: every value uniform, or normal with mean 0.5 and deviation 1, cut to [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    if kind == "uniform":
        return torch.rand((num, 3, *size_hw), generator=generator)
    if kind != "gaussian":
        raise InputError(f"expected noise as one of {NOISE}, got {kind!r}.")
    return torch.randn((num, 3, *size_hw), generator=generator).add_(0.5).clamp_(0, 1)


def folder_images(folder, num: int, fit: Callable, seed: int = 0) -> tuple[Tensor, int]:
    """A seeded draw of up to `num` images anywhere below a folder, through `fit`.

    Returns:
        (N, 3, H, W) uint8, and how many files did not decode and were left out.

    Raises:
        InputError: no folder, or no readable image in it.
    """
    folder = Path(folder).expanduser()
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS)
    if not files:
        raise InputError(f"expected a folder with images ({', '.join(EXTENSIONS)}), got {folder} with none (--ood).")
    drawn = np.sort(np.random.default_rng(seed).permutation(len(files))[:num])
    pixels, num_broken = [], 0
    for place in drawn.tolist():
        try:
            with Image.open(files[place]) as image:
                pixels.append(torch.as_tensor(fit(upright_rgb(image))))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            num_broken += 1
    if not pixels:
        raise InputError(f"expected readable images in {folder}, got none of {len(drawn)} (--ood).")
    return torch.stack(pixels), num_broken


def named_folders(words: Sequence[str]) -> dict[str, Path]:
    """``NAME=DIR`` or ``DIR`` (its last part is the name) -> name: folder.

    Raises:
        InputError: two sets of one name, or a name of the noise sets.
    """
    found: dict[str, Path] = {}
    for word in words:
        name, sign, folder = word.partition("=")
        path = Path(folder if sign else word).expanduser()
        name = name if sign else path.name
        if name in found or name in NOISE:
            raise InputError(
                f"expected different names of out-of-distribution sets, got {name!r} twice or as a kind "
                "of noise; write NAME=DIR (--ood)."
            )
        found[name] = path
    return found


def study_ood(
    classifier: StudyClassifier,
    images: StudyImages,
    folders: Sequence[str] = (),
    seed: int = 0,
    log: Callable[[str], None] = print,
) -> Measured:
    """All measures of all scores, on every set and as their mean over the sets, in percent.

    Args:
        folders: of :func:`named_folders`; the two kinds of noise are always there.
        seed: of draws, noise and bootstrap.

    Numbers are called ``SET, SCORE, MEASURE``, with ``mean`` for the mean over all sets.
    """
    inside = classifier.logits(images.pixels)
    found = Measured(notes=dict(num_in=len(images), num_out={}, num_broken={}, positive="in-distribution"))
    sets = [*named_folders(folders).items(), *((kind, None) for kind in NOISE)]
    for name, folder in sets:
        if folder is None:
            pixels, broken = noise_images(name, len(images), images.size_hw, seed), 0
        else:
            pixels, broken = folder_images(folder, len(images), images.fit, seed)
        found.notes["num_out"][name], found.notes["num_broken"][name] = len(pixels), broken
        outside = classifier.logits(pixels)
        for score, of in SCORES.items():
            for measure, value in _measures(of(inside), of(outside), seed).items():
                found.numbers[f"{name}, {score}, {measure}"] = value
        log(f"ood, {name}: AUROC {found.numbers[f'{name}, max-softmax, auroc'].value:.1f} by max-softmax")
    _add_means(found, [name for name, _ in sets])
    return found


def _measures(inside: np.ndarray, outside: np.ndarray, seed: int) -> dict:
    """Every measure with its interval; both sets are resampled."""
    whole = detection_measures(inside, outside)
    first, second = (
        Bootstrap(len(one), seed + place, NUM_REPLICATES).indices for place, one in enumerate((inside, outside))
    )
    drawn = [detection_measures(inside[a], outside[b]) for a, b in zip(first, second)]
    return {name: estimate(value, np.array([one[name] for one in drawn])) for name, value in whole.items()}


def _add_means(found: Measured, sets: list[str]) -> None:
    measures = sorted({name.rpartition(", ")[2] for name in found.numbers})
    for score in SCORES:
        for measure in measures:
            found.numbers[f"mean, {score}, {measure}"] = average(
                [found.numbers[f"{name}, {score}, {measure}"] for name in sets]
            )
    points = [found.numbers[f"{name}, max-softmax, auroc"] for name in (*sets, "mean")]
    found.series["AUROC, max-softmax"] = Series(
        [float(x) for x in range(len(points))],
        *([getattr(one, side) for one in points] for side in ("value", "low", "high")),
        names=[*sets, "mean"],
    )


def study_calibration(
    classifier: StudyClassifier,
    images: StudyImages,
    num_bins: int = 15,
    seed: int = 0,
    log: Callable[[str], None] = print,
) -> Measured:
    """Accuracy, mean confidence, loss and calibration error, with the reliability curve.

    Args:
        num_bins: of equal width.

    ``ECE`` is in percent. Its interval is of resamples, on which the error comes out larger than on the whole set.
    """
    logits = classifier.logits(images.pixels).astype(np.float64)
    confidence, labels = max_softmax(logits), images.labels.numpy()
    right = logits.argmax(1) == labels
    top = logits.max(1, keepdims=True)
    loss = np.log(np.exp(logits - top).sum(1)) + top[:, 0] - logits[np.arange(len(labels)), labels]
    boot = Bootstrap(len(images), seed)
    whole = calibration(confidence, right, num_bins)
    some = whole.count > 0
    numbers = {
        "accuracy": boot.mean(100.0 * right),
        "mean confidence": boot.mean(100 * confidence),
        "loss": boot.mean(loss),
        "ECE": boot.of(lambda drawn: 100 * calibration(confidence[drawn], right[drawn], num_bins).error),
        "largest gap": boot.of(lambda drawn: 100 * calibration(confidence[drawn], right[drawn], num_bins).largest_gap),
    }
    log(f"calibration: ECE {numbers['ECE'].value:.1f}, accuracy {numbers['accuracy'].value:.1f}")
    curve = Series((100 * whole.confidence[some]).tolist(), (100 * whole.accuracy[some]).tolist())
    return Measured(
        numbers, {"reliability": curve}, dict(num_bins=num_bins, num_images=len(images), count=whole.count.tolist())
    )
