"""Sanity-check images of mixed training batches, with both labels and their weights.

Every picture has a draw of its own from the run's mixing; the run itself draws nothing for it. Feature maps cannot be
looked at, so where those are mixed the picture shows the same mixing on the image, and says so.
"""

import copy
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from torch import Tensor, nn

from ..datasets.samplers.seeding import sample_seed
from ..errors import InputError
from ..registry import HOOKS
from ..weights.atomic_write import replacing, write_json

FOLDER = "mixed"
_CELL_PX = 224
_STRIP_PX = 40
_GAP_PX = 8


class _Watched(nn.Module):
    """Replaces the network: keeps the images that it would have seen."""

    def __init__(self):
        super().__init__()
        self.images = None

    def forward(self, images: Tensor) -> Tensor:  # (N, 3, H, W) -> (N, 1)
        self.images = images
        return images.new_zeros(len(images), 1)


def mixed_pictures(
    model, batch: dict, classes: Sequence[str], count: int = 8, seed: int = 0, training: bool = True
) -> list[tuple[np.ndarray, str]]:
    """What the network gets of the first images of a batch.

    Args:
        model: an ``ImageClassifier``.
        batch: as collated: ``inputs`` (N, 3, H, W) uint8, ``data_samples`` with `label` (N,).
        classes: their names.
        count: pictures, at most N.
        seed: of the draws.
        training: False mixes nothing.

    Returns:
        ``(image, words)``: (H, W, 3) uint8 RGB after normalisation and back, and e.g. "cat 0.62 + dog 0.38".
    """
    pre = model.data_preprocessor
    data = pre(batch, training)
    images, labels = data["inputs"], data["data_samples"]["label"]
    pictures = []
    for place in range(min(count, len(images))):
        words = str(classes[int(labels[place])])
        image, more = images[place], ""
        if training and model.mixing is not None:
            generator = torch.Generator().manual_seed(sample_seed(seed, 0, place) % 2**63)
            image, words, more = _one_mixed(model.mixing, images, labels, classes, place, generator)
        pixels = (image * pre.std + pre.mean).clamp(0, 255).round().to(torch.uint8)  # (3, H, W)
        pictures.append((pixels.cpu().numpy().transpose(1, 2, 0), words + more))
    return pictures


def _one_mixed(mixing, images: Tensor, labels: Tensor, classes, place: int, generator) -> tuple[Tensor, str, str]:
    shown, more = copy.copy(mixing), ""
    if shown.level != "image":
        shown.level, shown.layers, more = "image", None, " (on features)"
    shown.in_place = False
    if shown.prob_schedule:
        shown.set_progress(1.0)
    watched = _Watched()
    shown.training = True
    _, mixed = shown.forward(watched, images, labels, generator)
    own, other = (str(classes[int(of[place])]) for of in (mixed.labels_a, mixed.labels_b))
    if mixed.lam == 1.0:
        return watched.images[place], own, ""
    return watched.images[place], f"{own} {mixed.lam:.2f} + {other} {1 - mixed.lam:.2f}", more


def montage(pictures: Sequence[tuple[np.ndarray, str]], columns: int = 4) -> np.ndarray:
    """One (H, W, 3) uint8 picture of all, in rows, with the words below each; small images in whole pixels."""
    from PIL import Image, ImageDraw

    from ..datasets.visualization.fonts import font_for, plain_font

    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    step_x, step_y = _CELL_PX + _GAP_PX, _CELL_PX + _STRIP_PX + _GAP_PX
    sheet = Image.new("RGB", (columns * step_x + _GAP_PX, rows * step_y + _GAP_PX), "white")
    draw = ImageDraw.Draw(sheet)
    font = font_for("".join(words for _, words in pictures), 15) or plain_font(15)
    for place, (pixels, words) in enumerate(pictures):
        left, top = _GAP_PX + place % columns * step_x, _GAP_PX + place // columns * step_y
        image = Image.fromarray(pixels)
        scale = _CELL_PX / max(image.size)
        how = Image.Resampling.NEAREST if scale >= 2 else Image.Resampling.LANCZOS
        sheet.paste(image.resize([max(1, round(side * scale)) for side in image.size], how), (left, top))
        draw.multiline_text(
            (left, top + _CELL_PX + 3), "\n".join(_lines(words, font)), fill="black", font=font, spacing=1
        )
    return np.asarray(sheet)


def _lines(words: str, font) -> list[str]:
    """Broken before the plus where one line is too short; at most two lines, cut to the cell."""
    lines = [words] if font.getlength(words) <= _CELL_PX else words.replace(" + ", "\n+ ", 1).split("\n")
    cut = []
    for line in lines[:2]:
        while font.getlength(line) > _CELL_PX:
            line = line[:-2] + "…"
        cut.append(line)
    return cut


def write_pictures(pictures: Sequence[tuple[np.ndarray, str]], folder: Path, name: str = "batch") -> Path:
    """Write the montage as ``NAME.png`` and its words as ``NAME.json``; returns the picture's path."""
    from PIL import Image

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.png"
    with replacing(path) as partial, open(partial, "wb") as file:
        Image.fromarray(montage(pictures)).save(file, format="PNG")
    write_json(path.with_suffix(".json"), [words for _, words in pictures])
    return path


@HOOKS.register_module()
class MixedPicturesHook(Hook):
    """Writes ``mixed/batch.png`` into the work directory from the first training batch; changes nothing in the run.

    Args:
        count: pictures.

    Raises:
        InputError: fewer than one.
    """

    def __init__(self, count: int = 8):
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise InputError(
                f"expected count of 1 or more in frozen_det.MixedPicturesHook, got {count!r} (custom_hooks)."
            )
        self.count, self._is_done = count, False

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """The first batch that the process sees; a resumed run keeps its pictures."""
        if self._is_done or not is_main_process():
            return
        self._is_done = True
        folder = Path(runner.work_dir) / FOLDER
        if (folder / "batch.png").is_file() and runner.iter > 0:
            return
        model = getattr(runner.model, "module", runner.model)
        known = getattr(runner.train_dataloader.dataset, "metainfo", None) or {}
        classes = known.get("classes") or range(model.num_classes)
        write_pictures(mixed_pictures(model, data_batch, classes, self.count, runner.seed or 0), folder)


@HOOKS.register_module()
class HostMemoryHook(Hook):
    """Writes the training process' peak memory in MiB to ``host_memory.json`` after every epoch, and at the end.

    The log has a GPU's peak alone. Where the system does not report it (Windows), nothing is written.
    """

    def after_train_epoch(self, runner) -> None:
        """Write it down: the peak so far, of a resumed run the highest of its parts."""
        _write_peak(runner)

    def after_train(self, runner) -> None:
        """Write it once more, for runs without epochs."""
        _write_peak(runner)


def _write_peak(runner) -> None:
    try:
        import resource
        import sys
    except ImportError:
        return
    if not is_main_process():
        return
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kilobytes elsewhere
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    path = Path(runner.work_dir) / "host_memory.json"
    if path.is_file():
        peak = max(peak, json.loads(path.read_text(encoding="utf-8"))["peak_mib"])
    write_json(path, {"peak_mib": round(peak, 1)}, indent=None)
