"""From a classifier's training config to the config that tunes it at the test resolution, for mmengine's Runner.

A config whose model is a ``frozen_det.FixResClassifier`` is one already: only what is said is changed in it. Any other
classifier's config gets the released recipe: SGD with momentum 0.9, 1e-3 for 64 images, weight decay 1e-4, a tenth of
the rate every 30 epochs, no mixing. Refuses configs without training images and test sizes below one pixel.
"""

import copy
from dataclasses import dataclass

from ...errors import InputError

TYPE = "frozen_det.FixResClassifier"
NOISY = "frozen_det.NoisyClassifier"
TRANSFORMS = {
    "v1": "frozen_det.EvalTransform",
    "v2": "frozen_det.FixResTransform",
    "train": "frozen_det.TrainTransform",
}
#: Of ``train``: facebookresearch/FixRes, imnet_resnet50_scratch/transforms.py.
TRAINING = dict(preset="basic", color_jitter=0.3)
#: For a config that says nothing: the released v2 run on the CutMix ResNet-50.
EPOCHS, LEARNING_RATE, BASE_BATCH = 11, 1e-3, 64


#: What a part of a config may say of a tuning.
SETTINGS = ("test_size", "crop_ratio", "transform", "affine", "norm", "epochs", "lr", "label_smoothing")


@dataclass(frozen=True)
class FixResSettings:
    """What is said about a tuning; None leaves what the config has.

    Attributes:
        test_size: side of the test crop, in px.
        crop_ratio: the crop's share of the resized short side.
        transform: ``v1``, the test's own transform, ``v2``, light augmentation, or ``train``, the crops, flips and
            colours of the training at the test size: the paper's control.
        affine: whether the last norm's scale and shift train.
        norm: see :class:`frozen_det.upstream.fixres.classifier.FixResClassifier`.
        epochs: of the tuning.
        lr: learning rate for ``auto_scale_lr.base_batch_size`` images (64), scaled linearly.
        label_smoothing: of the loss.
        pseudo_labels: image folder or list with pseudo-labelled images, mixed in; None for none.
    """

    test_size: int | None = None
    crop_ratio: float | None = None
    transform: str | None = None
    affine: bool | None = None
    norm: object = None
    epochs: int | None = None
    lr: float | None = None
    label_smoothing: float | None = None
    pseudo_labels: dict | None = None


def fixres_config(cfg, weights, settings: FixResSettings):
    """The Runner's config of a tuning.

    Args:
        cfg: a loaded classifier's config, left as it is.
        weights: what to start from; a form that :class:`ImageClassifier` takes. None keeps the config's.
        settings: what differs from the config.

    Raises:
        InputError: a config of something else, without training data, without a test size or weights; a bad value.
    """
    check_classifier(cfg)
    _check(settings)
    if (cfg.get("fixres") or {}).get("parametric"):
        raise InputError(
            f"{cfg.filename} maps the pooled activations (fixres.parametric) and tunes nothing: run it as frozen-det "
            "fixres CONFIG CHECKPOINT. To tune, take a recipe without it."
        )
    cfg = without_noise(cfg)
    out = copy.deepcopy(cfg)
    if cfg.model.type != TYPE:
        _released_recipe(out)
    out.model.weights = weights if weights is not None else out.model.get("weights")
    if not out.model.weights:
        raise InputError(
            f"expected a finished classifier to tune: give a CHECKPOINT after {cfg.filename}, or model.weights in it."
        )
    if not out.get("train_dataloader"):
        raise InputError(
            f"expected train_dataloader in {cfg.filename}: tuning at the test resolution needs labelled "
            "images. With few of them, --statistics-only --split-half needs the test images alone."
        )
    _set_model(out, settings)
    _set_data(out, cfg, settings)
    if settings.epochs is not None:
        out.train_cfg.max_epochs = settings.epochs
    out.train_cfg.val_interval = out.train_cfg.max_epochs  # the last epoch counts; there is nothing to pick
    if settings.lr is not None:
        out.optim_wrapper.optimizer.lr = settings.lr
    return out


def settings_of_part(part) -> FixResSettings:
    """The settings that a part of a larger config says, beside keys of its own."""
    return FixResSettings(**{key: value for key, value in part.items() if key in SETTINGS})


def check_classifier(cfg) -> None:
    """Refuse a config that is no classifier's.

    Raises:
        InputError: another model.
    """
    kind = (cfg.get("model") or {}).get("type")
    if kind not in ("frozen_det.ImageClassifier", NOISY, TYPE):
        raise InputError(
            f"expected a classifier's config (model.type='frozen_det.ImageClassifier'), got {kind!r} in {cfg.filename}."
        )


def without_noise(cfg):
    """A Noisy Student's config as a plain classifier's, with its labelled images alone; any other config as it is.

    The paper tunes its last student "on unaugmented labeled images" (Xie et al., arXiv 1911.04252, section 3.1).
    """
    if (cfg.get("model") or {}).get("type") != NOISY:
        return cfg
    out = copy.deepcopy(cfg)
    out.model = {key: value for key, value in out.model.items() if key not in ("pseudo", "noise")}
    out.model.type = "frozen_det.ImageClassifier"
    loader = out.get("train_dataloader")
    if loader and "labelled" in loader.dataset:
        loader.batch_size = loader.sampler.batch_size
        loader.dataset = loader.dataset.labelled
        loader.sampler = dict(type="frozen_det.EpochSampler", shuffle=True)
    return out


def eval_settings(cfg) -> dict:
    """`size`, `crop_ratio` and `interpolation` of the test's transform; torchvision's `resize` becomes a ratio.

    Raises:
        InputError: the test images are neither resized nor cropped by ``frozen_det.EvalTransform``.
    """
    loader = cfg.get("val_dataloader") or cfg.get("test_dataloader") or {}
    step = (loader.get("dataset") or {}).get("transform") or {}
    if not hasattr(step, "get") or step.get("type") != "frozen_det.EvalTransform":
        raise InputError(
            f"expected frozen_det.EvalTransform as the transform of val_dataloader or test_dataloader in "
            f"{cfg.filename}, got {step!r}: only with a resize and a crop is there a test size."
        )
    size, resize = step.get("size", 224), step.get("resize")
    return dict(
        size=size,
        crop_ratio=size / resize if resize else step.get("crop_ratio", 0.875),
        interpolation=step.get("interpolation", "bicubic"),
    )


def train_size(cfg) -> int:
    """Side of the training crop, in px: ``fixres.train_size`` of a tuning's config, else of the training's transform,
    else the test's size."""
    stated = (cfg.get("fixres") or {}).get("train_size")
    if stated:
        return stated
    step = ((cfg.get("train_dataloader") or {}).get("dataset") or {}).get("transform")
    size = step.get("size") if hasattr(step, "get") else None
    return size or eval_settings(cfg)["size"]


def _released_recipe(out) -> None:
    """Replace what trained the classifier by what tunes it."""
    out.model.type = TYPE
    out.model.mixing = None
    out.model.loss = dict(type="frozen_det.SoftTargetCrossEntropy")
    out.accumulate = 1
    out.auto_scale_lr = dict(enable=True, base_batch_size=BASE_BATCH)
    out.optim_wrapper = dict(
        type="OptimWrapper", optimizer=dict(type="SGD", lr=LEARNING_RATE, momentum=0.9, weight_decay=1e-4)
    )
    out.param_scheduler = [dict(type="StepLR", by_epoch=True, step_size=30, gamma=0.1)]
    out.train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=EPOCHS)
    # No average: what is proven to stay is the weights themselves.
    hooks = [hook for hook in out.get("custom_hooks") or [] if not str(hook["type"]).endswith("EMAHook")]
    if not any(hook["type"] == "frozen_det.FrozenProofHook" for hook in hooks):
        hooks.append(dict(type="frozen_det.FrozenProofHook"))
    out.custom_hooks = hooks
    out.default_hooks.checkpoint = dict(type="frozen_det.LeanCheckpointHook", interval=1, max_keep_ckpts=2)
    if out.get("train_dataloader"):
        out.train_dataloader.sampler = dict(type="frozen_det.EpochSampler", shuffle=True)


def _set_model(out, settings: FixResSettings) -> None:
    if settings.affine is not None:
        out.model.affine = settings.affine
    if settings.norm is not None:
        out.model.norm = settings.norm
    if settings.label_smoothing is not None:
        out.model.loss = dict(type="frozen_det.SoftTargetCrossEntropy", label_smoothing=settings.label_smoothing)


def _set_data(out, cfg, settings: FixResSettings) -> None:
    """Train and test transforms at the test size: the same resize and crop."""
    tested = eval_settings(cfg)
    said = cfg.get("fixres") or {}
    size, ratio = settings.test_size or tested["size"], settings.crop_ratio or tested["crop_ratio"]
    kind = settings.transform or said.get("transform", "v1")
    common = dict(size=size, crop_ratio=ratio, interpolation=tested["interpolation"])
    if kind == "train":
        out.train_dataloader.dataset.transform = dict(
            type=TRANSFORMS[kind], size=size, interpolation=tested["interpolation"], **TRAINING
        )
    else:
        out.train_dataloader.dataset.transform = dict(type=TRANSFORMS[kind], **common)
    for name in ("val_dataloader", "test_dataloader"):
        if out.get(name):
            out[name].dataset.transform = dict(type=TRANSFORMS["v1"], **common)
    if not out.get("val_dataloader"):
        out.val_dataloader = copy.deepcopy(out.test_dataloader)
        out.val_evaluator = copy.deepcopy(out.test_evaluator)
    out.val_cfg = out.get("val_cfg") or dict(type="ValLoop")
    out.fixres = {**said, "train_size": train_size(cfg), "test_size": size, "transform": kind}
    pseudo = settings.pseudo_labels or said.get("pseudo_labels")
    if pseudo:
        _mix_pseudo_labels(out, pseudo)


def _mix_pseudo_labels(out, pseudo) -> None:
    """Train on labelled and pseudo-labelled images together: one listing after the other."""
    labelled = out.train_dataloader.dataset
    other = {**copy.deepcopy(dict(pseudo)), "transform": copy.deepcopy(labelled.transform)}
    out.train_dataloader.dataset = dict(type="frozen_det.JoinedImages", datasets=[labelled, other])


def _check(settings: FixResSettings) -> None:
    if settings.test_size is not None and settings.test_size < 1:
        raise InputError(f"expected a test size of at least 1 px, got {settings.test_size} (--test-size).")
    if settings.transform is not None and settings.transform not in TRANSFORMS:
        raise InputError(
            f"expected the transform of the tuning as one of {sorted(TRANSFORMS)}, got "
            f"{settings.transform!r} (--transform)."
        )
    if settings.epochs is not None and settings.epochs < 1:
        raise InputError(f"expected at least one epoch, got {settings.epochs} (--epochs).")
