"""Does the classifier look at the object: class activation maps, cut, boxed and held against annotated boxes.

By three protocols (:mod:`.wsol_protocols`): the candidate's own test transform, CutMix's (Yun et al., ICCV 2019,
appendix B), and clovaai/wsolevaluation's (Choe et al., CVPR 2020). Data: images with boxes of one category each, COCO's
json or CUB-200-2011 (:mod:`.boxed_images`); ``toy`` writes single-digit scenes.
Where the model does not have the categories, a linear head is fitted on frozen features of the training images.
The map is the class activation map where the network has one, Grad-CAM++ (:mod:`.grad_cam`) elsewhere.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..datasets.toy.toy_scenes import write_toy_scenes
from ..errors import InputError
from ..registry import STUDIES
from ..upstream.stored_network import linear_head
from .bootstrap import Measured
from .boxed_images import read_boxed
from .candidates import StudyClassifier, StudyImages
from .features import (
    feature_maps,
    finer_last_stage,
    fit_linear,
    images_through,
    mapped_layer,
    normalised,
    pooled_features,
)
from .grad_cam import GradientLayer, gradient_layer, gradient_maps
from .localization import class_activation_map
from .study import Setting, Study, option
from .wsol_protocols import PROTOCOLS, protocol_of

MAPS = ("cam", "gradcam++")


@STUDIES.register_module(name="wsol")
class WSOL(Study):
    """Weakly supervised localisation: boxes of class activation maps against annotated ones."""

    title = "Localisation by class activation maps"
    axes = ("threshold, share of the maximum", "share of images, %")
    about = "Boxes from maps held against annotated ones; more is better."
    ranked = (("GT-known localisation", True),)
    # CutMix, Table 11.
    published = {"top-1 localisation": dict(mixup=-0.5, cutout=0.4, cutmix=0.95)}

    @dataclass(frozen=True)
    class Options:
        """Data with boxes, and how maps are made and counted."""

        wsol_data: str | None = option(
            None,
            "images with boxes of one category each, COCO's json in DIR/annotations/{train,val}.json, or "
            "CUB_200_2011; toy: single-digit scenes, written once",
            metavar="DIR",
        )
        wsol_protocol: str = option(
            "own",
            "what the network sees, how boxes are cut and counted (default: own, the candidate's own test transform)",
            choices=list(PROTOCOLS),
        )
        last_stride: int | None = option(None, "let the last stage run at stride 1", type=int, choices=[1])
        map: str | None = option(
            None,
            "kind of map (default: cam where the head gets the mean of a feature map, else gradcam++, which needs "
            "grad-cam)",
            choices=list(MAPS),
        )

    def is_part_of_all(self, options) -> bool:
        return bool(options.wsol_data)

    def run(self, classifier, images, options, setting: Setting) -> Measured:
        root = options.wsol_data
        if root is None:
            raise InputError("expected data with boxes for wsol, got none: give --wsol-data DIR, or toy.")
        if root == "toy":
            folder = setting.out / "toy_single_objects"
            root = write_toy_scenes(folder, num_train=400, num_val=200, num_objects=(1, 1), report=lambda line: None)
        return study_wsol(
            classifier,
            images,
            root,
            options.last_stride,
            setting.num_images,
            options.map,
            options.wsol_protocol,
            setting.seed,
            setting.log,
        )


def study_wsol(
    classifier: StudyClassifier,
    images: StudyImages,
    root,
    last_stride: int | None = None,
    num_images: int | None = None,
    map_kind: str | None = None,
    protocol: str = "own",
    seed: int = 0,
    log: Callable[[str], None] = print,
) -> Measured:
    """Localisation in percent.

    Args:
        images: the candidate's own test images, for its transform and classes.
        root: data, see :func:`~.boxed_images.read_boxed`; splits ``train`` (for a fitted head) and ``val``.
        last_stride: 1: the last stage does not stride; None: as trained.
        num_images: most images of each split, drawn by seed.
        map_kind: one of :data:`MAPS`; None: ``cam`` where it is defined, else ``gradcam++``.
        protocol: a name in :data:`~.wsol_protocols.PROTOCOLS`.
    """
    if last_stride not in (None, 1):
        raise InputError(f"expected --last-stride 1 or none, got {last_stride}.")
    rules = protocol_of(protocol, images)
    boxed, left_out = read_boxed(root, "val")
    boxed = _draw(boxed, num_images, seed)
    pixels = images_through([one.path for one in boxed], rules.fit)
    head = linear_head(classifier.network)
    layer = _layer(classifier, head, pixels, map_kind)
    if last_stride == 1:
        if getattr(layer, "layout", "NCHW") != "NCHW":
            raise InputError(
                f"expected a convolutional last stage for --last-stride 1, got {layer.layout} at "
                f"{layer.name}; leave it out for this network."
            )
        classifier = finer_last_stage(classifier, pixels)
        layer = _layer(classifier, head, pixels, map_kind)
    names, weights, biases, fitted = _head(classifier, images, rules.fit, head, root, boxed, num_images, seed)
    labels = np.array([names.index(one.category) for one in boxed])
    right, found = [], []
    for start in range(0, len(boxed), classifier.batch_size):
        part = slice(start, start + classifier.batch_size)
        maps, scores = _maps(
            classifier, pixels[part], layer, head, weights, biases, labels[part], rules.cuts_below_zero
        )
        right.append(scores.argmax(1) == labels[part])
        found += [rules.ious(one, map_hw) for one, map_hw in zip(boxed[part], maps)]
        log(f"wsol: {min(start + classifier.batch_size, len(boxed))} of {len(boxed)} images")
    numbers, series = rules.numbers(np.array(found), np.concatenate(right), seed)
    return Measured(
        numbers,
        series,
        dict(
            protocol=protocol,
            map="CAM" if isinstance(layer, str) else f"Grad-CAM++ at {layer.name}",
            head="fitted on frozen features" if fitted else "the model's own",
            num_images=len(boxed),
            num_left_out=left_out,
            map_side=int(maps.shape[-1]),
            threshold=rules.threshold,
        ),
    )


def _layer(classifier: StudyClassifier, head: str, pixels: torch.Tensor, kind: str | None) -> str | GradientLayer:
    """Name of the layer whose mean is the head's input; where there is none or by wish, a layer for Grad-CAM++."""
    if kind not in (None, *MAPS):
        raise InputError(f"expected --map as one of {', '.join(MAPS)}, got {kind!r}.")
    probe = normalised(classifier, pixels[:2])
    if kind != "gradcam++":
        try:
            return mapped_layer(classifier.network, head, probe)
        except InputError:
            if kind == "cam":
                raise
    return gradient_layer(classifier.network, head, probe)


def _maps(
    classifier: StudyClassifier,
    pixels: torch.Tensor,
    layer: str | GradientLayer,
    head: str,
    weights: np.ndarray,
    biases: np.ndarray,
    labels: np.ndarray,
    cut: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """((N, h, w) maps of the given classes, (N, C) scores)."""
    if not isinstance(layer, str):
        return gradient_maps(classifier, pixels, layer, head, weights, biases, labels)
    features = feature_maps(classifier, pixels, layer)[0].numpy()
    maps = np.stack([class_activation_map(image, weights[label], cut) for image, label in zip(features, labels)])
    return maps, features.mean((2, 3)) @ weights.T + biases


def _head(classifier, images: StudyImages, fit: Callable, head: str, root, boxed, num_images, seed: int):
    """(category names, weights (C, D), biases (C,), whether they were fitted)."""
    if {one.category for one in boxed} <= set(images.classes):
        linear = classifier.network.get_submodule(head)
        bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias.detach().cpu()
        return list(images.classes), linear.weight.detach().cpu().numpy(), bias.numpy(), False
    train = _draw(read_boxed(root, "train")[0], num_images, seed)
    names = sorted({one.category for one in (*train, *boxed)})
    features = []
    for start in range(0, len(train), classifier.batch_size):
        part = images_through([one.path for one in train[start : start + classifier.batch_size]], fit)
        features.append(pooled_features(classifier, part, head))
    labels = np.array([names.index(one.category) for one in train])
    weights, biases = fit_linear(np.concatenate(features), labels, len(names))
    return names, weights, biases, True


def _draw(boxed: list, num: int | None, seed: int) -> list:
    if num is None or num >= len(boxed):
        return boxed
    return [boxed[place] for place in np.sort(np.random.default_rng(seed).permutation(len(boxed))[:num])]
