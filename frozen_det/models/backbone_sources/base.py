"""The interface of a feature extractor: features by stride, NCHW, with the library's state dict keys.

Strides and channels are measured by running the network once on meta tensors (no weights, no memory), at a non-square
size. An unavailable stride is an error.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ...errors import InputError

# Not square, to detect swapped axes and channels-last outputs.
PROBE_SIZE_HW = (256, 320)


@dataclass(frozen=True)
class Preprocess:
    """The input that weights expect: mean and std in 0..255 units, channel order, training size in px."""

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
        module: the library's module, with the library's state dict keys.
        strides: stride of each feature, ascending; a stride is repeated for several features of that stride.
        channels: number of channels of each feature.
        extract: ``extract(module, images) -> list`` of features (N, C, H / stride, W / stride), one per stride.
        architecture: library and name, e.g. ``timm/resnet50``.
        head_keys: state dict keys of the full architecture that are not needed here (classifier, last stages).
        preprocess: the input that the pretrained weights expect.
        maps_in_training: maps per image and stride in train mode; more than one only in TridentNet.
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
        found: stride of each feature in execution order; None for one that is not a map of the image.
        channels: of each feature.
        strides: wanted strides, ascending.
        where: name of the architecture, for the message.

    Returns:
        indices into `found` and channels, one per wanted stride.

    Raises:
        InputError: a stride that is not available.
    """
    have, wanted = Counter(stride for stride in found if stride is not None), Counter(strides)
    if wanted - have:
        hint = " A stride given twice requests two maps." if max(wanted.values()) > 1 else ""
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
    """Refuse options for a number of input channels other than three; the option's name depends on the library."""
    for name in ("in_chans", "in_channels"):
        if options.get(name, 3) != 3:
            raise InputError(
                f"expected a backbone for RGB images, got {name}={options[name]!r} in {where}: images are "
                "read as RGB only, and pretrained weights have three input channels. Leave it out; greyscale "
                "images are converted to RGB."
            )


def on_meta(build: Callable[[], nn.Module]) -> tuple[nn.Module, str]:
    """`build()` on meta tensors, and its device: 'meta', or 'cpu' for the few constructors that read values."""
    try:
        with torch.device("meta"):
            return build(), "meta"
    except (RuntimeError, NotImplementedError):
        return build(), "cpu"


class ListFeatures:
    """``extract`` for a module that returns a list of features: selects some, channels first."""

    def __init__(self, indices, channels_last=False):
        self.indices, self.channels_last = list(indices), channels_last

    def __call__(self, module, images):
        features = module(images)
        features = [features[i] for i in self.indices]
        if self.channels_last:
            features = [feature.permute(0, 3, 1, 2).contiguous() for feature in features]
        return features


class FeatureModule(nn.Module):
    """A module whose forward extracts features, for `torch.func.functional_call`."""

    def __init__(self, body, extract):
        super().__init__()
        self.body, self.extract = body, extract

    def forward(self, images):
        return self.extract(self.body, images)
