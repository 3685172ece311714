"""The contract of a body: features by stride, NCHW, under the library's own keys. Refuses strides it does not have.

Strides and channels are measured by running a body once on meta tensors (no weights, no memory), at a size that is
not square.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ...errors import InputError

# Not square, so that height and width, and channels-first and channels-last, cannot be confused.
PROBE_SIZE_HW = (256, 320)


@dataclass(frozen=True)
class Preprocess:
    """What a body expects of its input: mean and std in 0..255 units, channel order, size it was trained at."""

    mean: tuple[float, ...] = (123.675, 116.28, 103.53)
    std: tuple[float, ...] = (58.395, 57.12, 57.375)
    channel_order: str = "rgb"
    input_size: int | None = None
    crop_ratio: float | None = None
    interpolation: str | None = None


@dataclass
class Body:
    """A feature extractor without its classifier.

    Attributes:
        module: the library's own module; its state-dict keys are the library's.
        strides: stride of each feature, ascending; equal ones stand for several features of one stride.
        channels: number of channels of each feature.
        extract: ``extract(module, images) -> list`` of features (N, C, H / stride, W / stride), one per stride.
        architecture: e.g. ``timm/resnet50``; library and name.
        head_keys: state-dict keys of the full architecture that the body does not need (classifier, last stages).
        preprocess: what the pretrained weights expect of the input.
        maps_in_training: maps for one image and stride in training mode, one in every family but TridentNet's.
    """

    module: nn.Module
    strides: tuple[int, ...]
    channels: tuple[int, ...]
    extract: Callable[[nn.Module, Tensor], list[Tensor]]
    architecture: str
    head_keys: frozenset[str] = field(default_factory=frozenset)
    preprocess: Preprocess | None = None
    maps_in_training: int = 1


def select_by_stride(
    found: Sequence[int | None], channels: Sequence[int], strides: Sequence[int], where: str
) -> tuple[list[int], list[int]]:
    """The last (deepest) feature of each wanted stride; the last n, in order, of a stride wanted n times.

    Args:
        found: stride of each feature in the order of computation; None for one that is no map of the image.
        channels: of each feature.
        strides: wanted strides, equal ones side by side.
        where: name of the body, for the message.

    Returns:
        indices into `found` and channels, one per wanted stride.

    Raises:
        InputError: a stride that is not among those found.
    """
    have, wanted = Counter(stride for stride in found if stride is not None), Counter(strides)
    if wanted - have:
        hint = " A stride named twice asks for two maps of it." if max(wanted.values()) > 1 else ""
        if len(have) == 1 and set(have) != set(wanted):
            hint = " All its features have one stride, as in plain vision transformers; ask for that stride alone."
        raise InputError(
            f"expected features at strides {tuple(strides)} (model.backbone.strides), but {where} has "
            f"strides {tuple(sorted(have.elements() if max(wanted.values()) > 1 else have))}.{hint} Ask "
            "for strides among these."
        )
    indices = [
        index
        for stride in dict.fromkeys(strides)
        for index in [i for i, s in enumerate(found) if s == stride][-wanted[stride] :]
    ]
    return indices, [channels[index] for index in indices]


def check_input_channels(options: dict, where: str) -> None:
    """Refuse a body for other images than RGB; the name of that option is the library's."""
    for name in ("in_chans", "in_channels"):
        if options.get(name, 3) != 3:
            raise InputError(
                f"expected a body for RGB images, got {name}={options[name]!r} in {where}: images are "
                "read as RGB only, and pretrained weights have three input channels. Leave it out; grey "
                "images become RGB by themselves."
            )


def on_meta(build: Callable[[], nn.Module]) -> tuple[nn.Module, str]:
    """`build()` on meta tensors, and where it ended up: 'meta', or 'cpu' for the few constructors that read values."""
    try:
        with torch.device("meta"):
            return build(), "meta"
    except (RuntimeError, NotImplementedError):
        return build(), "cpu"


class ListFeatures:
    """A module that returns a list of features already; picks some, channels first."""

    def __init__(self, indices, channels_last=False):
        self.indices, self.channels_last = list(indices), channels_last

    def __call__(self, module, images):
        features = module(images)
        features = [features[i] for i in self.indices]
        if self.channels_last:
            features = [feature.permute(0, 3, 1, 2).contiguous() for feature in features]
        return features


class FeatureModule(nn.Module):
    """Gives `torch.func.functional_call` a forward that extracts features."""

    def __init__(self, body, extract):
        super().__init__()
        self.body, self.extract = body, extract

    def forward(self, images):
        return self.extract(self.body, images)
