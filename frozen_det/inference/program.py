"""A whole detector as an ONNX program, run by onnxruntime: numpy, OpenCV and Pillow around it, no torch, no mmdet.

How images are prepared, and what labels mean, comes from the file. Refused: programs of a backbone, a decoder or raw
maps.
"""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets.images.pixels import PixelReader
from ..errors import InputError
from ..weights.thresholds import KEY as THRESHOLDS
from ..weights.thresholds import Thresholds
from .detecting import Detecting
from .detections import Detections
from .pictures import Picture
from .preparation import KEY, from_json

SUFFIX = ".onnx"
_INPUTS, _OUTPUTS = {"images", "sizes"}, {"boxes", "scores", "labels"}


class ProgramDetector(Detecting):
    """A detector that runs as an ONNX program; call it with images.

    Args:
        session: of onnxruntime.
        path: of the file, for messages.

    Attributes:
        preparation: how an image becomes its input.
        classes, category_ids: by label.
        threshold: the scores that its validation suggests to cut at, or None.

    Raises:
        InputError: a program that gives no detections, or does not say how its images are prepared.
    """

    def __init__(self, session: Any, path: Path):
        self._session = session
        inputs = {one.name: one.shape for one in session.get_inputs()}
        outputs = {one.name for one in session.get_outputs()}
        if set(inputs) != _INPUTS or not outputs >= _OUTPUTS:
            raise InputError(
                f"expected a program of a whole detector, from images and sizes to boxes, scores and labels, got "
                f"{path} from {', '.join(sorted(inputs))} to {', '.join(sorted(outputs)[:4])}: a backbone, decoder or "
                "raw maps. Write it with `frozen-det export --part detector`, from a two-stage detector."
            )
        metadata = session.get_modelmeta().custom_metadata_map
        if KEY not in metadata:
            raise InputError(
                f"expected a program that says how its images are prepared, but {path} has no {KEY} in its metadata. "
                "Export it again with this version."
            )
        self.preparation = from_json(metadata[KEY], str(path))
        self.classes, self.category_ids = self.preparation.classes, self.preparation.category_ids
        meta = {THRESHOLDS: self.preparation.thresholds}
        self.threshold = Thresholds.in_meta(dict(meta=meta), self.classes, str(path))
        self.reader = PixelReader(self.preparation.color_type, self.preparation.imdecode_backend)
        self._path, self._step = path, int(metadata.get("input_size_multiple_of", 1))
        self._fixed_hw = tuple(side if isinstance(side, int) else None for side in inputs["images"][2:])
        self._outputs = [name for name in ("boxes", "scores", "labels", "masks") if name in outputs]

    @property
    def divisor(self) -> int:
        return math.lcm(max(self.preparation.divisor, 1), self._step)

    def prepared(self, picture: Picture) -> dict:
        pixels = picture.bgr()
        image = self.preparation.resized(pixels)
        if any(fixed is not None and side > fixed for side, fixed in zip(image.shape, self._fixed_hw)):
            raise InputError(
                f"expected an image of at most {self._fixed_hw} px after resizing, as {self._path} takes no other, got "
                f"{image.shape[:2]} of {picture}. Export it with open sizes, or with a --size that holds every image."
            )
        return dict(inputs=[image.transpose(2, 0, 1)], sizes_hw=[pixels.shape[:2]], pictures=[picture])

    def found(self, batch: dict) -> list[Detections]:
        images = [one.transpose(1, 2, 0) for one in batch["inputs"]]
        sizes = np.array([one.shape[:2] for one in images], np.int64)
        given = dict(images=self.preparation.stacked(images, self._padded(sizes)), sizes=sizes)
        results = dict(zip(self._outputs, self._session.run(self._outputs, given), strict=True))
        return [
            self._found({name: value[i] for name, value in results.items()}, tuple(sizes[i].tolist()), size_hw, picture)
            for i, (size_hw, picture) in enumerate(zip(batch["sizes_hw"], batch["pictures"], strict=True))
        ]

    def _padded(self, sizes: np.ndarray) -> tuple[int, ...]:
        """Height and width of a batch."""
        largest = zip(sizes.max(axis=0).tolist(), self._fixed_hw, strict=True)
        return tuple(-(-side // self.divisor) * self.divisor if fixed is None else fixed for side, fixed in largest)

    def _found(self, found: dict, seen_hw: tuple[int, int], size_hw: tuple[int, int], picture: Picture) -> Detections:
        holds = found["labels"] >= 0
        factors = np.array([seen_hw[1] / size_hw[1], seen_hw[0] / size_hw[0]] * 2, np.float32)
        boxes, masks = found["boxes"][holds] / factors, None
        if "masks" in found:
            parts = zip(found["masks"][holds], boxes, strict=True)
            masks = np.zeros((len(boxes), *size_hw), bool)
            for mask, (part, box) in zip(masks, parts, strict=True):
                paste(mask, part, box, self.preparation.mask_threshold or 0.5)
        scores, labels = found["scores"][holds], found["labels"][holds].astype(np.int64)
        return Detections(
            boxes,
            scores,
            labels,
            self.classes,
            masks,
            None,
            self.category_ids,
            (int(size_hw[0]), int(size_hw[1])),
            picture,
            None if self.threshold is None else self.threshold.overall,
        )


def paste(mask: np.ndarray, part: np.ndarray, box: np.ndarray, threshold: float) -> None:
    """Set the pixels of a mask (H, W) bool whose probability, bilinear between those of its box, reaches a threshold.

    Args:
        mask: changed in place.
        part: (m, m) probabilities over the box; outside it they are 0.
        box: (4,) xyxy in px of the mask.
    """
    low = np.maximum(np.floor(box[:2]) - 1, 0).astype(int)
    high = np.minimum(np.ceil(box[2:]) + 1, mask.shape[::-1]).astype(int)
    if (high <= low).any() or not (box[2:] > box[:2]).all():
        return
    columns, rows = (_weights(a, b, box[i], box[i + 2], part.shape[0]) for i, (a, b) in enumerate(zip(low, high)))
    mask[low[1] : high[1], low[0] : high[0]] = rows @ part.astype(np.float32) @ columns.T >= threshold


def _weights(first: int, last: int, start: float, end: float, count: int) -> np.ndarray:
    """(last - first, count): how much each of `count` cells between start and end counts at each pixel's centre."""
    places = (np.arange(first, last, dtype=np.float32) + 0.5 - start) / (end - start) * count - 0.5
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(count, dtype=np.float32)))


def load_program(path: str | Path) -> ProgramDetector:
    """A detector from an ONNX file that `export` wrote with ``--part detector``; neither torch nor mmdet is loaded.

    Args:
        path: of the file.

    Returns:
        a function of images (files, folders, Pillow images, arrays) that gives one :class:`frozen_det.Detections` for
        each, as :func:`frozen_det.load_detector` does.

    Raises:
        InputError: no such file, one that onnxruntime cannot read, or a program of something else; onnxruntime is not
            installed.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"expected an ONNX file, but {path} does not exist.")
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(
            f"expected the package onnxruntime to run {path}, got none; pip install 'frozen-det[export]'."
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it raises is told below
    threads = os.environ.get("OMP_NUM_THREADS", "")  # as of torch
    if threads.isdecimal() and int(threads):
        options.intra_op_num_threads = int(threads)
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # of pybind, one for each cause
        why = (str(error).strip() or "no detail").splitlines()[0].rstrip(".")
        raise InputError(f"expected an ONNX program, but {path} cannot be read: {why}. Export it again.") from error
    return ProgramDetector(session, path)
