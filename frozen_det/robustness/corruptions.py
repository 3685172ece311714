"""Common corruptions, stability under small movements, and published sets of shifted images.

Corruptions are Hendrycks and Dietterich's fifteen at five severities (ICLR 2019) by the optional package
`imagecorruptions`; without it they are left out and the notes say so. Stability is their flip rate: the share of
neighbouring frames of a movement whose predictions differ. Frames are made by one bilinear resampling each, of the
original, with mirrored borders.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..datasets.images.pixels import upright_rgb
from ..errors import InputError
from ..registry import STUDIES
from .bootstrap import Bootstrap, Measured
from .candidates import StudyClassifier, StudyImages, unit
from .shifted_sets import ShiftedSet, read_shifted
from .study import Setting, Study, option

SEVERITIES = (1, 2, 3, 4, 5)
NUM_FRAMES = 9
# Over all frames: the image moves by a quarter of its side, grows by 24 %, turns by 24 degrees.
MOVEMENTS = {"shifts": 0.25, "scales": 0.24, "rotations": 24.0}


@STUDIES.register_module(name="corruptions")
class Corruptions(Study):
    """Flip rates under movements, top-1 under common corruptions and on shifted sets."""

    title = "Corrupted and moved"
    axes = ("severity", "top-1, %")
    about = (
        "Flip rates: how often the class changes between neighbouring frames, less is better; under "
        "corruptions top-1, more is better."
    )
    version = 2
    ranked = (("mean of corruptions", True), ("flip rate, shifts", False))

    @dataclass(frozen=True)
    class Options:
        """Images under corruptions, and published sets."""

        corruption_images: int = option(100, "images under them; 0: none (default: 100)", type=int, metavar="N")
        shifted: tuple[str, ...] = option((), "published sets as they unpack, v2, a, c, p", metavar="KIND=DIR")

    def run(self, classifier, images, options, setting: Setting) -> Measured:
        return study_corruptions(
            classifier, images, options.corruption_images, options.shifted, setting.seed, setting.log
        )


def moved(pixels: Tensor, movement: str, share: float) -> Tensor:
    """(N, 3, H, W) pixels after `share` (0..1) of a movement of :data:`MOVEMENTS`."""
    amount, matrix = MOVEMENTS[movement] * share, torch.eye(2, 3)
    if movement == "shifts":
        matrix[0, 2] = -2 * amount  # affine_grid's unit is half the side; content moves to the right
    elif movement == "scales":
        matrix[:, :2] /= 1 + amount
    else:
        angle = torch.deg2rad(torch.tensor(amount))
        matrix[:, :2] = torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    grid = F.affine_grid(matrix.to(pixels)[None].expand(len(pixels), -1, -1), pixels.shape, align_corners=False)
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def flip_rate(predicted: np.ndarray) -> np.ndarray:
    """(N, T) predictions of N movements with T frames -> (N,) share of neighbouring frames that differ."""
    if predicted.ndim != 2 or predicted.shape[1] < 2:
        raise InputError(f"expected predictions (N, T) of at least two frames, got shape {predicted.shape}.")
    return (predicted[:, 1:] != predicted[:, :-1]).mean(1)


def study_corruptions(
    classifier: StudyClassifier,
    images: StudyImages,
    num_corrupted: int = 100,
    shifted: Sequence[str] = (),
    seed: int = 0,
    log: Callable[[str], None] = print,
) -> Measured:
    """Flip rates, accuracy under corruptions and on shifted sets, in percent.

    Args:
        num_corrupted: corruptions run on that many of the images, drawn by seed; 0 leaves them out.
        shifted: ``KIND=DIR``, see :func:`.shifted_sets.read_shifted`.
        seed: of what corruptions draw, of draws from shifted sets and of the bootstrap.
    """
    found = Measured(notes=dict(num_frames=NUM_FRAMES, num_images=len(images)))
    boot = Bootstrap(len(images), seed)
    for movement in MOVEMENTS:
        frames = [
            classifier.logits(
                images.pixels, lambda x, share=share, movement=movement: moved(x, movement, share)
            ).argmax(1)
            for share in np.linspace(0, 1, NUM_FRAMES)
        ]
        found.numbers[f"flip rate, {movement}"] = boot.mean(100 * flip_rate(np.stack(frames, 1)))
        log(f"corruptions, {movement}: flip rate {found.numbers[f'flip rate, {movement}'].value:.1f}")
    if num_corrupted:
        _add_corruptions(found, classifier, images.draw(num_corrupted, seed), seed, log)
    for word in shifted:
        kind, _, folder = word.partition("=")
        own = images.classes if all(name.startswith("n") for name in images.classes) else None
        for one in read_shifted(kind, folder, own):
            found.numbers[one.name] = _shifted_number(classifier, images, one, seed)
            log(f"corruptions, {one.name}: {found.numbers[one.name].value:.1f}")
    return found


def corrupted(pixels: np.ndarray, name: str, severity: int, seeds: Sequence[int]) -> np.ndarray:
    """(N, 3, H, W) uint8 -> the same, corrupted; each image's draws follow from its seed.

    Raises:
        InputError: images below 32 px, on which the package fails.
    """
    from imagecorruptions import corrupt

    if min(pixels.shape[-2:]) < 32:
        raise InputError(
            f"expected images of at least 32 px for common corruptions, got {pixels.shape[-2:]}; leave "
            "them out with --corruption-images 0."
        )
    state, out = np.random.get_state(), []
    for image, seed in zip(pixels, seeds):
        np.random.seed(seed % 2**32)  # the package draws from numpy's global generator
        out.append(corrupt(np.ascontiguousarray(image.transpose(1, 2, 0)), corruption_name=name, severity=severity))
    np.random.set_state(state)
    return np.ascontiguousarray(np.stack(out).transpose(0, 3, 1, 2))


def _add_corruptions(found: Measured, classifier, images: StudyImages, seed: int, log) -> None:
    try:
        from imagecorruptions import get_corruption_names
    except ImportError as error:
        found.notes["corruptions"] = f"left out: pip install imagecorruptions-imaug ({error})"
        log(f"corruptions {found.notes['corruptions']}")
        return
    pixels, labels, count = images.pixels.numpy(), images.labels.numpy(), len(images)
    boot, names, right = Bootstrap(count, seed), get_corruption_names(), []
    for place, name in enumerate(names):
        by_severity = []
        for severity in SEVERITIES:
            seeds = [seed + 1_000_003 * index + 101 * place + severity for index in range(count)]
            changed = torch.from_numpy(corrupted(pixels, name, severity, seeds))
            by_severity.append(100.0 * (classifier.logits(changed).argmax(1) == labels))
        right.append(np.stack(by_severity, 1))  # (N, 5)
        found.numbers[name.replace("_", " ")] = boot.mean(right[-1].mean(1))
        log(f"corruptions, {name}: top-1 {right[-1].mean():.1f}")
    everything = np.stack(right).mean(0)  # (N, 5)
    found.numbers["mean of corruptions"] = boot.mean(everything.mean(1))
    found.series["accuracy by severity, mean of corruptions"] = boot.means(SEVERITIES, everything)
    found.notes["num_corrupted"] = count


def _shifted_number(classifier, images: StudyImages, one: ShiftedSet, seed: int):
    """Accuracy on images, flip rate on videos; of a seeded draw as large as the study's."""
    drawn = np.sort(np.random.default_rng(seed).permutation(len(one.files))[: len(images)])
    boot = Bootstrap(len(drawn), seed)
    if one.name.startswith("p/"):
        rates = [
            flip_rate(classifier.logits(_frames(one.files[place], images.fit)).argmax(1)[None])[0] for place in drawn
        ]
        return boot.mean(100 * np.array(rates))
    from PIL import Image

    pixels = torch.stack([torch.as_tensor(images.fit(upright_rgb(Image.open(one.files[place])))) for place in drawn])
    logits = classifier.logits(pixels)
    if one.subset is not None:
        others = np.setdiff1d(np.arange(logits.shape[1]), one.subset)
        logits[:, others] = -np.inf
    return boot.mean(100.0 * (logits.argmax(1) == np.array(one.labels)[drawn]))


def _frames(path, fit: Callable) -> Tensor:
    """(T, 3, H, W) in [0, 1] of a video."""
    import cv2
    from PIL import Image

    reader, frames = cv2.VideoCapture(str(path)), []
    while True:
        there, frame = reader.read()
        if not there:
            break
        frames.append(unit(torch.as_tensor(fit(Image.fromarray(frame[..., ::-1])))))
    reader.release()
    if len(frames) < 2:
        raise InputError(f"expected a video of at least two frames, got {len(frames)} in {path} (--shifted p=DIR).")
    return torch.stack(frames)
