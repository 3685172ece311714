"""A trained detector as a function: `load_detector("best.pth")`, then `detector(images)`.

Loads strictly: a checkpoint that does not fill the model raises. The frozen weights of a lean one come from its base.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..datasets.images.pixels import PixelReader
from ..errors import InputError
from ..host.devices import device_of
from ..weights.class_names import RENAME, counts_by_label, stated_category_ids, stated_classes
from ..weights.extends import Extended
from ..weights.thresholds import Thresholds
from .detecting import Detecting
from .detections import Detections
from .pictures import Picture


class LoadedDetector(Detecting):
    """A detector in eval mode with its test pipeline; call it with images.

    Args:
        model: the detector, in eval mode.
        pipeline: the test pipeline for a ``file`` and for an ``array``.
        classes: names, in the order of the labels.
        extends: what its checkpoint says it extends, or None.
        category_ids: of the classes, in the annotation file of the training data; None counts from 1.
        threshold: the scores that its checkpoint's validation suggests to cut at, ``threshold.overall`` and
            ``threshold.by_class``; None where it was not validated.

    Attributes:
        reader: opens files as the pipeline does, with the same EXIF rotation: boxes refer to its output.
    """

    def __init__(
        self,
        model: nn.Module,
        pipeline: Mapping[str, Any],
        classes: tuple[str, ...],
        extends: Extended | None = None,
        category_ids: tuple[int | str, ...] | None = None,
        threshold: Thresholds | None = None,
    ):
        self.threshold = threshold
        self.model: Any = model  # of the host, whose types say less than its models have
        self.pipeline, self.classes, self.extends, self.category_ids = pipeline, classes, extends, category_ids
        self.reader = PixelReader.of(pipeline["file"].transforms)

    @property
    def divisor(self) -> int:
        return getattr(self.model.data_preprocessor, "pad_size_divisor", 1)

    @property
    def preparation(self) -> str:
        """How an image reaches the backbone, as text; equal for detectors that may share a prepared image."""
        steps = [repr(step) for step in self.pipeline["array"].transforms[1:]]
        preprocessor = self.model.data_preprocessor
        settings = {key: value for key, value in vars(preprocessor).items() if isinstance(value, int | float | str)}
        numbers = {key: value.flatten().tolist() for key, value in preprocessor.named_buffers()}
        return f"{', '.join(steps)}; {type(preprocessor).__name__} {settings | numbers}"

    def prepared(self, picture: Picture) -> dict:
        data = dict(picture.loaded(), img_id=0)
        try:
            data = self.pipeline["array" if "img" in data else "file"](data)
        except Exception as error:
            raise InputError(
                f"expected an image that can be decoded and resized, but {picture} cannot: {error}."
            ) from error
        return dict(inputs=[data["inputs"]], data_samples=[data["data_samples"]], pictures=[picture])

    def found(self, batch: dict) -> list[Detections]:
        given = {key: batch[key] for key in ("inputs", "data_samples")}
        with torch.no_grad():
            results = self.model.test_step(given)
        return [self._found(*one) for one in zip(results, batch["pictures"], strict=True)]

    def _found(self, result, picture: Picture) -> Detections:
        panoptic = result.pred_panoptic_seg.sem_seg if "pred_panoptic_seg" in result else None
        if panoptic is not None:
            panoptic = torch.as_tensor(panoptic).cpu().numpy().reshape(panoptic.shape[-2:])
        boxes, scores, labels, masks = (
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.float32),
            np.zeros(0, np.int64),
            None,
        )
        if "pred_instances" in result:
            found = result.pred_instances.cpu()
            boxes, scores, labels = found.bboxes.numpy(), found.scores.numpy(), found.labels.numpy()
            masks = torch.as_tensor(found.masks).numpy().astype(bool) if "masks" in found else None
        height, width = result.metainfo["ori_shape"][:2]
        return Detections(
            boxes,
            scores,
            labels,
            self.classes,
            masks,
            panoptic,
            self.category_ids,
            (int(height), int(width)),
            picture,
            None if self.threshold is None else self.threshold.overall,
        )


def load_detector(
    config: str | Path | None = None,
    checkpoint: str | Path | None = None,
    device: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> LoadedDetector:
    """Build a trained detector, fill it strictly, and make it ready to detect: ``load_detector("best.pth")``.

    Args:
        config: path, or name of a config that ships; a checkpoint alone in its place, or None, takes the config that
            its training recorded in it.
        checkpoint: that the config trained, lean or full.
        device: ``cpu``, ``cuda``, ``cuda:1``; by default the GPU where there is one.
        options: overrides of the config, ``{"data_root": "my/data"}``.

    Returns:
        a function of images (files, folders, Pillow images, arrays) that gives one :class:`frozen_det.Detections` for
        each; its ``model`` is the mmdet detector, ``classes`` its class names, ``threshold`` the scores that the
        validation of this checkpoint suggests to cut at, or None.

    Raises:
        InputError: the checkpoint does not fit the model, or its classes are not those of the config's data (another
            order of them is fine: the names are the checkpoint's); no such device.
    """
    from mmdet.utils import register_all_modules

    from ..config import load_config
    from ..weights.loading import read
    from ..weights.whole_checkpoint import with_state_dict
    from .recorded import building_recorded, recorded_config

    config, checkpoint = _config_and_checkpoint(config, checkpoint)
    if Path(checkpoint).suffix == ".onnx":
        raise InputError(f"expected a checkpoint, got the program {checkpoint}: frozen_det.load_program(FILE).")
    device = device_of(device)
    register_all_modules(init_default_scope=True)
    loaded = read(checkpoint)
    with_state_dict(loaded, str(checkpoint))
    classes = stated_classes(loaded, str(checkpoint))
    if config is not None:
        detector = _filled(load_config(config, options), checkpoint, loaded, classes)
    else:
        cfg = recorded_config(loaded, checkpoint, classes, options)
        with building_recorded(checkpoint, options):
            detector = _filled(cfg, checkpoint, loaded, classes)
    detector.model.to(device)
    return detector


def _filled(cfg, checkpoint: str | Path, loaded: dict, classes: tuple[str, ...] | None) -> LoadedDetector:
    """The detector of a config with a checkpoint in it."""
    from mmdet.registry import MODELS

    from ..config.classifiers import is_classifier
    from ..engine.runner.label_classes import order_for
    from ..weights.whole_checkpoint import load_whole

    if is_classifier(cfg.model):
        raise InputError(
            f"expected the checkpoint of a detector, got {checkpoint} of a classifier ({cfg.model.type}). `frozen-det "
            "test` measures it, and a detector takes it as its backbone (`frozen-det train custom --backbone`)."
        )
    data = data_tested_on(cfg)
    if data is not None:
        order_for(data, classes, str(checkpoint), marked=counts_by_label(loaded))
    if classes is None:
        raise InputError(f"expected the class names in the meta of {checkpoint}, but it has none. {RENAME}.")
    model = MODELS.build(cfg.model)
    load_whole(model, loaded, str(checkpoint))
    ids = stated_category_ids(loaded, len(classes), str(checkpoint))
    extends = Extended.in_meta(loaded, str(checkpoint))
    threshold = Thresholds.in_meta(loaded, classes, str(checkpoint))
    return LoadedDetector(model.eval(), _pipelines(cfg), classes, extends, ids, threshold)


def _config_and_checkpoint(config, checkpoint) -> tuple[str | Path | None, str | Path]:
    """Which is which, where one was given alone."""
    from ..config.finding import list_configs

    if checkpoint is not None:
        return config, checkpoint
    if config is None:
        raise InputError('expected a checkpoint, got none: load_detector("best.pth").')
    if Path(config).suffix == ".py" or (not Path(config).exists() and str(config) in list_configs()):
        raise InputError(
            f"expected a checkpoint as the only argument of load_detector, got the config {config}; give both, "
            f'load_detector("{config}", "best.pth"), or the checkpoint alone.'
        )
    return None, config


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


def data_tested_on(cfg):
    """The config's test data, unread but for their classes; None where they are not there: detecting needs none."""
    from mmdet.registry import DATASETS

    loader = _loader_tested_on(cfg)
    if loader is None:
        return None
    try:
        return DATASETS.build(_unread(copy.deepcopy(loader.dataset.to_dict())))
    except (InputError, OSError):
        return None


def _unread(dataset: dict) -> dict:
    """The config of a data set, and of those in it, that reads no annotations and prepares no images."""
    read = {**dataset, "lazy_init": True, "pipeline": []}
    if isinstance(dataset.get("dataset"), dict):
        read["dataset"] = _unread(dataset["dataset"])
    if isinstance(dataset.get("datasets"), list):
        read["datasets"] = [_unread(one) for one in dataset["datasets"]]
    return read


def _loader_tested_on(cfg):
    return cfg.get("test_dataloader") or cfg.get("val_dataloader")


def _pipelines(cfg) -> dict:
    """The test pipeline without annotations, once for files and once for arrays."""
    from mmcv.transforms import Compose

    loader = _loader_tested_on(cfg)
    if loader is None:
        raise InputError(
            f"expected a test pipeline in {cfg.filename or 'the config'}, got neither test_dataloader nor "
            "val_dataloader; add one, whose dataset has the pipeline that images are prepared by: its data need not be "
            "there."
        )
    steps = [dict(step) for step in loader.dataset.pipeline if step["type"].split(".")[-1] != "LoadAnnotations"]
    from_array = [dict(steps[0], type="mmdet.LoadImageFromNDArray"), *steps[1:]]
    return {"file": Compose(steps), "array": Compose(from_array)}
