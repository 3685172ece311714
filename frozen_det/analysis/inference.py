"""A trained detector as a function: `load_detector(config, checkpoint)`, then `detector(images)`.

Loads strictly: a checkpoint that does not fill the model raises. Lean checkpoints get their base through the one door.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..errors import InputError


@dataclass(frozen=True)
class Detections:
    """What was found in one image, best first.

    Attributes:
        boxes_xyxy: (N, 4) float, pixels of the original image.
        scores: (N,) float in 0..1.
        labels: (N,) int, index into `classes`.
        classes: class names.
        masks: (N, H, W) bool, or None for box detectors.
    """

    boxes_xyxy: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    masks: np.ndarray | None = None

    def above(self, score: float) -> "Detections":
        """Those with at least this score."""
        keep = self.scores >= score
        return Detections(self.boxes_xyxy[keep], self.scores[keep], self.labels[keep], self.classes,
                          None if self.masks is None else self.masks[keep])


class LoadedDetector:
    """A detector in eval mode with its test pipeline; call it with image files or arrays."""

    def __init__(self, model, pipeline, classes: tuple[str, ...]):
        self.model, self.pipeline, self.classes = model, pipeline, classes

    def __call__(self, images: Sequence) -> list[Detections]:
        """Detect.

        Args:
            images: image files, or (H, W, 3) uint8 arrays in BGR order as cv2 gives them.

        Returns:
            one :class:`Detections` per image.

        Raises:
            InputError: an image that is missing or cannot be decoded.
        """
        return [self._one(image, number) for number, image in enumerate(images)]

    def _one(self, image, number: int) -> Detections:
        if isinstance(image, np.ndarray):
            data = dict(img=image, img_id=number)
        else:
            if not Path(image).is_file():
                raise InputError(f"expected an image file, but {image} does not exist.")
            data = dict(img_path=str(image), img_id=number)
        try:
            data = self.pipeline["array" if "img" in data else "file"](data)
        except Exception as error:
            raise InputError(f"expected an image that can be decoded, but {image} cannot: {error}.") from error
        with torch.no_grad():
            result = self.model.test_step(dict(inputs=[data["inputs"]], data_samples=[data["data_samples"]]))[0]
        found = result.pred_instances.cpu()
        masks = found.masks.numpy().astype(bool) if "masks" in found else None
        return Detections(found.bboxes.numpy(), found.scores.numpy(), found.labels.numpy(), self.classes, masks)


def load_detector(config, checkpoint, device: str | None = None, options: dict | None = None) -> LoadedDetector:
    """Build the model of a config, fill it from a checkpoint of it, and make it ready to detect.

    Args:
        config: path, or shipped name.
        checkpoint: lean or full checkpoint file.
        device: by default the GPU where there is one.
        options: overrides of the config.

    Raises:
        InputError: the checkpoint does not fit the model.
    """
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules

    from ..checkpoints import read
    from ..config import load_config

    register_all_modules(init_default_scope=True)
    cfg = load_config(config, options)
    model = MODELS.build(cfg.model)
    loaded = read(checkpoint)
    if not isinstance(loaded, dict) or "state_dict" not in loaded:
        raise InputError(f"expected a checkpoint of a training run in {checkpoint}, with the entry `state_dict`.")
    try:
        model.load_state_dict(loaded["state_dict"], strict=True)
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:4]]
        raise InputError(f"{checkpoint} does not fit the model of {cfg.filename}: {' '.join(lines)[:600]} Give a "
                         "checkpoint that this config trained.") from error
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    classes = (loaded.get("meta") or {}).get("dataset_meta", {}).get("classes")
    if not classes:
        raise InputError(f"expected the class names in the meta of {checkpoint}, but it has none. Train with "
                         "frozen_det or mmdet's Runner, which write them.")
    return LoadedDetector(model.to(device).eval(), _pipelines(cfg), tuple(classes))


def _pipelines(cfg) -> dict:
    """The test pipeline without annotations, once for files and once for arrays."""
    from mmcv.transforms import Compose

    steps = [dict(step) for step in cfg.test_dataloader.dataset.pipeline
             if step["type"].split(".")[-1] != "LoadAnnotations"]
    from_array = [dict(steps[0], type="mmdet.LoadImageFromNDArray"), *steps[1:]]
    return {"file": Compose(steps), "array": Compose(from_array)}
