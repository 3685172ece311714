"""A trained detector as a function: `load_detector(config, checkpoint)`, then `detector(images)`.

Loads strictly: a checkpoint that does not fill the model raises. The frozen weights of a lean one come from its base.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..datasets.images.head import read_head
from ..datasets.images.pixels import PixelReader
from ..errors import InputError
from ..host.devices import device_of
from ..weights.class_names import RENAME, counts_by_label, stated_classes
from ..weights.extends import Extended


@dataclass(frozen=True)
class Detections:
    """What was found in one image, best first.

    Attributes:
        boxes_xyxy: (N, 4) float, pixels of the original image.
        scores: (N,) float in 0..1.
        labels: (N,) int, index into `classes`.
        classes: class names.
        masks: (N, H, W) bool, or None for box detectors.
        panoptic: (H, W) int, class + 1000 * number of the instance, or the number of classes where nothing is; None for
            detectors that give none. A detector that gives this alone has no boxes.
    """

    boxes_xyxy: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    masks: np.ndarray | None = None
    panoptic: np.ndarray | None = None

    def above(self, score: float) -> "Detections":
        """Those with at least this score; the panoptic map stays whole."""
        keep = self.scores >= score
        return Detections(
            self.boxes_xyxy[keep],
            self.scores[keep],
            self.labels[keep],
            self.classes,
            None if self.masks is None else self.masks[keep],
            self.panoptic,
        )


class LoadedDetector:
    """A detector in eval mode with its test pipeline; call it with image files or arrays.

    Args:
        model: the detector, in eval mode.
        pipeline: the test pipeline for a ``file`` and for an ``array``.
        classes: names, in the order of the labels.
        extends: what its checkpoint says it extends, or None.

    Attributes:
        reader: opens files as the pipeline does, with the same EXIF rotation: boxes refer to its output.
    """

    def __init__(
        self,
        model: nn.Module,
        pipeline: Mapping[str, Any],
        classes: tuple[str, ...],
        extends: Extended | None = None,
    ):
        self.model: Any = model  # of the host, whose types say less than its models have
        self.pipeline, self.classes, self.extends = pipeline, classes, extends
        self.reader = PixelReader.of(pipeline["file"].transforms)

    def __call__(self, images: Sequence[str | Path | np.ndarray]) -> list[Detections]:
        """Detect in images.

        Args:
            images: image files, or (H, W, 3) uint8 arrays in BGR order as cv2 gives them.

        Returns:
            one :class:`Detections` per image.

        Raises:
            InputError: an image that is missing, cannot be decoded or has another form.
        """
        return [self._one(image, number) for number, image in enumerate(images)]

    def _one(self, image, number: int) -> Detections:
        return self.found(self.prepared(image, number))

    @property
    def preparation(self) -> str:
        """How an image reaches the backbone, as text; equal for detectors that may share a prepared image."""
        steps = [repr(step) for step in self.pipeline["array"].transforms[1:]]
        preprocessor = self.model.data_preprocessor
        settings = {key: value for key, value in vars(preprocessor).items() if isinstance(value, int | float | str)}
        numbers = {key: value.flatten().tolist() for key, value in preprocessor.named_buffers()}
        return f"{', '.join(steps)}; {type(preprocessor).__name__} {settings | numbers}"

    def prepared(self, image, number: int = 0) -> dict:
        """An image, file or array as in a call, as a batch of one.

        Raises:
            InputError: it is missing, cannot be decoded or has another form.
        """
        if isinstance(image, np.ndarray):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise InputError(
                    f"expected arrays (H, W, 3) of uint8 from 0 to 255, blue first, got {image.shape} of "
                    f"{image.dtype} as image {number}; convert it."
                )
            data = dict(img=image, img_id=number)
        else:
            _check_file(image)
            data = dict(img_path=str(image), img_id=number)
        try:
            data = self.pipeline["array" if "img" in data else "file"](data)
        except Exception as error:
            raise InputError(f"expected an image that can be decoded, but {image} cannot: {error}.") from error
        return dict(inputs=[data["inputs"]], data_samples=[data["data_samples"]])

    def found(self, batch: dict) -> Detections:
        """What is in a batch of one that :meth:`prepared` gave."""
        with torch.no_grad():
            result = self.model.test_step(batch)[0]
        panoptic = result.pred_panoptic_seg.sem_seg if "pred_panoptic_seg" in result else None
        if panoptic is not None:
            panoptic = torch.as_tensor(panoptic).cpu().numpy().reshape(panoptic.shape[-2:])
        if "pred_instances" not in result:
            return Detections(
                np.zeros((0, 4), np.float32),
                np.zeros(0, np.float32),
                np.zeros(0, np.int64),
                self.classes,
                panoptic=panoptic,
            )
        found = result.pred_instances.cpu()
        masks = torch.as_tensor(found.masks).numpy().astype(bool) if "masks" in found else None
        return Detections(
            found.bboxes.numpy(), found.scores.numpy(), found.labels.numpy(), self.classes, masks, panoptic
        )


def _check_file(path) -> None:
    if not Path(path).is_file():
        raise InputError(f"expected an image file, but {path} does not exist.")
    try:
        fault = read_head(path).fault
    except OSError as error:
        fault = str(error)
    if fault is not None:
        raise InputError(f"expected an image that can be decoded, got {path}: {fault}.")


def load_detector(
    config: str | Path | None,
    checkpoint: str | Path,
    device: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> LoadedDetector:
    """Build the detector of a config, fill it strictly from a checkpoint, and make it ready to detect.

    Args:
        config: path, or name of a config that ships; None for the one that the checkpoint's training recorded in it.
        checkpoint: that the config trained, lean or full.
        device: ``cpu``, ``cuda``, ``cuda:1``; by default the GPU where there is one.
        options: overrides of the config, ``{"data_root": "my/data"}``.

    Returns:
        a function of image files or (H, W, 3) uint8 arrays (blue first) that gives one
        :class:`frozen_det.Detections` for each; its ``model`` is the mmdet detector, ``classes`` its class names.

    Raises:
        InputError: the checkpoint does not fit the model, or its classes are not those of the config's data (another
            order of them is fine: the names are the checkpoint's); no such device.
    """
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules

    from ..config import load_config
    from ..engine.runner.label_classes import order_for
    from ..weights.loading import read
    from ..weights.whole_checkpoint import load_whole, with_state_dict

    device = device_of(device)
    register_all_modules(init_default_scope=True)
    loaded = read(checkpoint)
    with_state_dict(loaded, str(checkpoint))
    classes = stated_classes(loaded, str(checkpoint))
    cfg = load_config(config, options) if config is not None else recorded_config(loaded, checkpoint, classes, options)
    data = data_tested_on(cfg)
    if data is not None:
        order_for(data, classes, str(checkpoint), marked=counts_by_label(loaded))
    if classes is None:
        raise InputError(f"expected the class names in the meta of {checkpoint}, but it has none. {RENAME}.")
    model = MODELS.build(cfg.model)
    load_whole(model, loaded, str(checkpoint))
    return LoadedDetector(model.to(device).eval(), _pipelines(cfg), classes, Extended.in_meta(loaded, str(checkpoint)))


def new_detector(config, backbone: Mapping[str, Any] | None = None, device: str | None = None) -> LoadedDetector:
    """Build the detector of a config as at the start of training: backbone loaded, decoder initialised.

    Args:
        config: path, name of a config that ships, or mmengine's Config.
        backbone: config of a :class:`frozen_det.FrozenBackbone` in place of the detector's own, whose `adapters` and
            `freeze` stay where it does not give them.
        device: by default the GPU where there is one.

    Raises:
        InputError: a config that cannot be built, weights that do not fit, no such device.
    """
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules

    from ..config import load_config
    from ..models.detectors.swapping import with_backbone

    device = device_of(device)
    register_all_modules(init_default_scope=True)
    cfg = copy.deepcopy(config) if hasattr(config, "test_dataloader") else load_config(config)
    model = cfg.model if backbone is None else with_backbone(cfg.model, backbone)
    model = MODELS.build(model)
    model.init_weights()
    data = data_tested_on(cfg)
    classes = () if data is None else data.metainfo.get("classes", ())
    return LoadedDetector(model.to(device).eval(), _pipelines(cfg), tuple(classes))


def load_backbone(config: str | Path, checkpoint: str | Path, options: Mapping[str, Any] | None = None) -> nn.Module:
    """Build the backbone of a config's model alone, and fill it from a checkpoint of the whole model.

    Args:
        config: path, or name of a config that ships, of a detector or classifier.
        checkpoint: that the config trained, lean or full.
        options: overrides of the config.

    Returns:
        a :class:`frozen_det.FrozenBackbone` in eval mode: normalised images (N, 3, H, W) to a tuple of features, one
        (N, C, H / s, W / s) for each of its `strides` s.

    Raises:
        InputError: the checkpoint does not hold this backbone.
    """
    from ..config import load_config
    from ..models.detectors.trained_backbone import trained_backbone

    cfg = load_config(config, options)
    return trained_backbone(cfg.model, checkpoint, cfg.filename)


def recorded_config(loaded: Mapping, checkpoint, classes: tuple[str, ...] | None, options: Mapping | None = None):
    """The config in a checkpoint; its training data are not read for the number of classes.

    Args:
        loaded: what :func:`frozen_det.weights.loading.read` gave; checkpoint: its file.
        classes: that it states, or None.
        options: overrides.

    Raises:
        InputError: it holds no config, or an override that cannot be right.
    """
    from ..config.load import load_recorded_text

    text = (loaded.get("meta") or {}).get("cfg")
    if not isinstance(text, str):
        raise InputError(f"expected the config of its training in the meta of {checkpoint}, got none; name the config.")
    cfg = load_recorded_text(text, f"{checkpoint} (meta.cfg)", options)
    if classes is not None and cfg.model.get("classes_from"):
        del cfg.model["classes_from"]
        cfg.model.num_classes = len(classes)
    return cfg


def data_tested_on(cfg):
    """The config's test data, unread but for their classes; None where they are not there: detecting needs none."""
    from mmdet.registry import DATASETS

    wanted = (cfg.get("test_dataloader") or cfg.get("val_dataloader")).dataset.to_dict()
    try:
        return DATASETS.build({**copy.deepcopy(wanted), "lazy_init": True, "pipeline": []})
    except (InputError, OSError):
        return None


def _pipelines(cfg) -> dict:
    """The test pipeline without annotations, once for files and once for arrays."""
    from mmcv.transforms import Compose

    steps = [
        dict(step) for step in cfg.test_dataloader.dataset.pipeline if step["type"].split(".")[-1] != "LoadAnnotations"
    ]
    from_array = [dict(steps[0], type="mmdet.LoadImageFromNDArray"), *steps[1:]]
    return {"file": Compose(steps), "array": Compose(from_array)}
