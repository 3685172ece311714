"""How an image becomes a detector's input, as data that travel in an exported program, and the same in numpy.

What is described is what test pipelines do: load, resize, pack; then normalise and pad. Of a pipeline with another step
the reason travels instead, and images are prepared by the program's user.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np

from ..errors import InputError

# Of a program, in its metadata.
KEY = "frozen_det_detector"
_INTERPOLATIONS = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}


@dataclass(frozen=True)
class Preparation:
    """What happens to an image before the network, and what the network's labels mean.

    Attributes:
        classes, category_ids: by label.
        color_type, imdecode_backend: as of mmcv's LoadImageFromFile.
        scale_wh: the image is resized to this, or as large as fits into it with `keep_ratio`; None leaves it.
        keep_ratio, interpolation: as of mmcv's Resize.
        mean, std: of each channel in 0..255 units; None where the input is not normalised.
        rgb: whether red comes first.
        divisor: sides are padded to its multiples, at the right and the bottom.
        pad_value: of padding, after normalisation.
        mask_threshold: probability from which on a pixel belongs to a mask; None for detectors of boxes.
        thresholds: scores that the validation suggests to cut at, as in a checkpoint's meta, or None.
    """

    classes: tuple[str, ...]
    category_ids: tuple[int | str, ...]
    color_type: str
    imdecode_backend: str
    scale_wh: tuple[int, int] | None
    keep_ratio: bool
    interpolation: str
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    rgb: bool
    divisor: int
    pad_value: float
    mask_threshold: float | None
    thresholds: Mapping[str, Any] | None = None

    def resized(self, pixels_bgr: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 -> (h, w, 3) uint8."""
        if self.scale_wh is None:
            return pixels_bgr
        height, width = pixels_bgr.shape[:2]
        size = self.scale_wh
        if self.keep_ratio:
            factor = min(max(size) / max(height, width), min(size) / min(height, width))
            size = (int(width * factor + 0.5), int(height * factor + 0.5))
        return cv2.resize(pixels_bgr, size, interpolation=_INTERPOLATIONS[self.interpolation])

    def stacked(self, images: list[np.ndarray], size_hw: tuple[int, ...]) -> np.ndarray:
        """Images (h, w, 3) uint8, normalised and padded: (N, 3, H, W) float32."""
        batch = np.full((len(images), 3, *size_hw), self.pad_value, np.float32)
        for place, image in zip(batch, images, strict=True):
            values: np.ndarray = (image[..., ::-1] if self.rgb else image).astype(np.float32)
            if self.mean is not None:
                values = (values - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
            place[:, : image.shape[0], : image.shape[1]] = values.transpose(2, 0, 1)
        return batch

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


def from_json(text: str, where: str) -> Preparation:
    """The inverse of :meth:`Preparation.to_json`.

    Raises:
        InputError: text of another form, or the reason why the preparation could not be described.
    """
    try:
        found = dict(json.loads(text))
        if "unfit" in found:
            raise InputError(
                f"expected a program that says how its images are prepared, but the test pipeline of {where} has "
                f"{found['unfit']}, which no program describes; use its checkpoint."
            )
        given: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in found.items()}
        return Preparation(**given)
    except (ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"expected the description of a detector in the metadata of {where} ({KEY}), but it cannot be read: "
            f"{str(error).splitlines()[0]}. Export it again with this version."
        ) from error


def described(detector: Any) -> dict[str, str]:
    """Metadata of a program: how a :class:`.detector.LoadedDetector` prepares images, or why this cannot be said."""
    try:
        return {KEY: _described(detector).to_json()}
    except InputError as reason:
        return {KEY: json.dumps(dict(unfit=str(reason)))}


def _described(detector: Any) -> Preparation:
    reader, resize = detector.reader, None
    for step in detector.pipeline["file"].transforms:
        name, settings = type(step).__name__, vars(step)
        if type(step).__module__.split(".")[0] not in ("mmcv", "mmdet") or name not in (
            "LoadImageFromFile",
            "Resize",
            "PackDetInputs",
        ):
            raise InputError(f"the step {name}")
        if settings.get("to_float32"):
            raise InputError("the step LoadImageFromFile(to_float32=True)")
        if name == "Resize":
            if resize is not None or settings.get("scale") is None or settings.get("backend") != "cv2":
                raise InputError("a Resize without a scale, by Pillow or a second time")
            resize = settings
    if reader.imdecode_backend not in ("cv2", "pillow") or (resize or {}).get("interpolation", "area") not in (
        _INTERPOLATIONS
    ):
        raise InputError(f"the decoder {reader.imdecode_backend} or an unknown interpolation")
    given: Mapping[str, Any] = resize or dict(scale=None, keep_ratio=False, interpolation="bilinear")
    preprocessor = detector.model.data_preprocessor
    if type(preprocessor).__name__ != "DetDataPreprocessor":
        raise InputError(f"the preprocessor {type(preprocessor).__name__}")
    normalised = preprocessor._enable_normalize
    threshold = None
    if getattr(detector.model, "with_mask", False):
        threshold = float(detector.model.roi_head.test_cfg.mask_thr_binary)
    return Preparation(
        classes=tuple(detector.classes),
        category_ids=tuple(detector.category_ids or range(1, len(detector.classes) + 1)),
        color_type=reader.color_type,
        imdecode_backend=reader.imdecode_backend,
        scale_wh=None if given["scale"] is None else (int(given["scale"][0]), int(given["scale"][1])),
        keep_ratio=bool(given["keep_ratio"]),
        interpolation=given["interpolation"],
        mean=tuple(preprocessor.mean.flatten().tolist()) if normalised else None,
        std=tuple(preprocessor.std.flatten().tolist()) if normalised else None,
        rgb=bool(preprocessor._channel_conversion),
        divisor=int(preprocessor.pad_size_divisor),
        pad_value=float(preprocessor.pad_value),
        mask_threshold=threshold,
        thresholds=detector.threshold and detector.threshold.to_meta(detector.classes),
    )
