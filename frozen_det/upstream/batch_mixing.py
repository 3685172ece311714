"""`frozen_det.BatchMixing`: which mixing a batch gets, at which layer, with which label; refuses what cannot be mixed.

The variants of CutMix (arXiv 1905.04899, sections 3.1 and 4.1 with its ablations) and of "ResNet strikes back"
(arXiv 2110.00476) are values of one config: CutMix, Mixup, a switch between both, Cutout, Manifold Mixup (arXiv
1806.05236), Feature CutMix, box and label variants, a probability that grows over the run.
"""

import re

import torch
from torch import Tensor, nn

from ..errors import InputError, closest
from ..ops.mixing import Mixed, MixingDraw, cutmix_drawn, cutout, draw_mixing, mixup_drawn, partner_labels
from ..registry import MODELS

# The place before the first layer, where images are mixed.
IMAGE = "image"
_STAGE_NAME = re.compile(r"(^|\.)(layer\d+|stage\d+|stages\.\d+)$")
# What `target` may be; the paper's ablation calls the last two "one-hot" and "complete-label".
TARGETS = ("mixed", "one_hot", "complete")
# Standard deviation of a Gaussian box centre as a share of the side. The paper gives none.
_CENTRE_SPREAD = 0.25


@MODELS.register_module()
class BatchMixing(nn.Module):
    """Mixes batches on their way through a network; in evaluation mode it passes them on as they are.

    Each batch has one ratio, one box and one random permutation of partners. Every draw is from the caller's
    generator, so equal generator states give equal batches.

    Args:
        cutmix_alpha, mixup_alpha: of Beta(alpha, alpha); 0 switches the kind off. With both, `switch_prob` decides
            batch by batch.
        cutout_size: side in pixels of a hole in every image, cut before mixing; 0 for none.
        prob: probability that a batch is mixed. The CutMix authors use 0.5 for CIFAR and 1.0 elsewhere.
        switch_prob: probability of CutMix rather than Mixup.
        level: "image", or "feature": at a layer drawn for each batch (Feature CutMix, Manifold Mixup).
        layers: names of modules whose output may be mixed, "image" for the input; None for the image and the
            output of each stage, where the network lists them. For CutMix they put out (N, C, H, W). A layer inside
            activation checkpointing cannot be used: its second run would not be mixed.
        target: "mixed" weighs labels as pixels are; "one_hot" gives all to the larger share; "complete" gives half
            to each.
        box_size: side in image pixels of a CutMix box of fixed size (the paper's: 16 on CIFAR); None for the drawn
            size. On feature maps it covers the same share.
        centre: "uniform" or "gaussian" (about the middle, standard deviation a quarter of the side; the paper leaves
            it open).
        prob_schedule: None, or "linear": `prob` grows from 0 to its value with :meth:`set_progress`.
        cutout_prob: probability, batch by batch, of cutting holes.
        in_place: mixing at image level writes into the batch it is given; saves a copy of it.
    """

    def __init__(
        self,
        cutmix_alpha: float = 0.0,
        mixup_alpha: float = 0.0,
        cutout_size: int = 0,
        prob: float = 1.0,
        switch_prob: float = 0.5,
        level: str = "image",
        layers=None,
        target: str = "mixed",
        box_size: int | None = None,
        centre: str = "uniform",
        prob_schedule: str | None = None,
        cutout_prob: float = 1.0,
        in_place: bool = True,
    ):
        super().__init__()
        for key, value in dict(cutmix_alpha=cutmix_alpha, mixup_alpha=mixup_alpha, cutout_size=cutout_size).items():
            _require(value >= 0, f"{key} of 0 or more", key, value)
        for key, value in dict(prob=prob, switch_prob=switch_prob, cutout_prob=cutout_prob).items():
            _require(0 <= value <= 1, "a probability in [0, 1]", key, value)
        for key, value, known in (
            ("level", level, (IMAGE, "feature")),
            ("target", target, TARGETS),
            ("centre", centre, ("uniform", "gaussian")),
            ("prob_schedule", prob_schedule, (None, "linear")),
        ):
            _require(value in known, f"one of {', '.join(map(repr, known))}", key, value)
        _require(box_size is None or box_size >= 1, "None or a side of 1 px or more", "box_size", box_size)
        _require(
            layers is None or (level == "feature" and layers),
            "names of layers only with level='feature'",
            "layers",
            layers,
        )
        self.cutmix_alpha, self.mixup_alpha, self.cutout_size = cutmix_alpha, mixup_alpha, cutout_size
        self.prob, self.switch_prob, self.cutout_prob = prob, switch_prob, cutout_prob
        self.level, self.target, self.box_size, self.in_place = level, target, box_size, in_place
        self.layers = None if layers is None else tuple([layers] if isinstance(layers, str) else layers)
        self.centre_spread = _CENTRE_SPREAD if centre == "gaussian" else None
        self.prob_schedule = prob_schedule
        self.progress = 0.0 if prob_schedule else 1.0

    def set_progress(self, progress: float) -> None:
        """Set the share of the run that is over, in [0, 1]; only a probability with a schedule depends on it."""
        assert 0 <= progress <= 1, progress
        self.progress = float(progress)

    def forward(
        self, network: nn.Module, images: Tensor, labels: Tensor, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Mixed]:
        """Run a network on a batch that is mixed at its input or inside it.

        Args:
            network: images to logits (N, C).
            images: (N, 3, H, W), normalised. Overwritten where ``in_place`` is set.
            labels: (N,) int64 on the same device.
            generator: a CPU generator; None for torch's own.

        Returns:
            The logits and the batch with both labels and the weight of the first.
        """
        if labels.shape != images.shape[:1]:
            raise InputError(
                f"expected one label per image, got labels {tuple(labels.shape)} for images {tuple(images.shape)}."
            )
        if not self.training:
            return network(images), Mixed(images, labels, labels, 1.0)
        in_place = self.in_place and not images.requires_grad  # (N, 3, H, W)
        if self.cutout_size and self._hit(self.cutout_prob, generator):
            images = cutout(images, self.cutout_size, generator, in_place=in_place)
        kind, alpha = self._kind(generator)
        if kind is None:
            return network(images), Mixed(images, labels, labels, 1.0)
        layer = self._layer(network, generator)
        draw = draw_mixing(len(images), alpha, generator, self.centre_spread)
        if layer == IMAGE:
            images, lam = self._mixed(images, kind, draw, images.shape[-2:], in_place)
            logits = network(images)
        else:
            logits, lam = self._through(network, images, layer, kind, draw)
        return logits, Mixed(images, labels, partner_labels(labels, draw.partners), self._label_weight(lam))

    def _kind(self, generator) -> tuple[str | None, float]:
        """ "cutmix" or "mixup" with its alpha; None for a batch that is left alone."""
        kinds = [
            (kind, alpha) for kind, alpha in (("cutmix", self.cutmix_alpha), ("mixup", self.mixup_alpha)) if alpha > 0
        ]
        prob = self.prob * self.progress if self.prob_schedule else self.prob
        if not kinds or not self._hit(prob, generator):
            return None, 0.0
        if len(kinds) == 1:
            return kinds[0]
        return kinds[0] if self._hit(self.switch_prob, generator) else kinds[1]

    def _layer(self, network: nn.Module, generator) -> str:
        if self.level == IMAGE:
            return IMAGE
        layers = self.layers or stage_layers(network)
        return layers[int(torch.randint(len(layers), (), generator=generator))]

    def _through(
        self, network: nn.Module, images: Tensor, layer: str, kind: str, draw: MixingDraw
    ) -> tuple[Tensor, float]:
        """Logits with the output of one layer mixed on the way, and lam on that map."""
        modules = dict(network.named_modules())
        if layer not in modules:
            raise InputError(
                f"expected a layer of {type(network).__name__} in mixing.layers, got {layer!r}; "
                f"{closest(layer, modules)}".rstrip("; ")
                + "."
            )
        lams = []

        def mix(module, inputs, output):
            if lams:  # a module that is used more than once is mixed the first time
                return output
            maps, lam = self._mixed(_checked(output, images, layer, kind), kind, draw, images.shape[-2:], False)
            lams.append(lam)
            return maps

        hook = modules[layer].register_forward_hook(mix)
        try:
            logits = network(images)
        finally:
            hook.remove()
        if not lams:
            raise InputError(
                f"expected layer {layer!r} of mixing.layers to be used by {type(network).__name__}, but "
                "it was never run: name another."
            )
        return logits, lams[0]

    def _mixed(self, maps: Tensor, kind: str, draw: MixingDraw, image_hw, in_place: bool) -> tuple[Tensor, float]:
        """Images or a feature map mixed as drawn, and the share that stayed."""
        if kind == "mixup":
            return mixup_drawn(maps, draw, in_place), draw.lam
        cut_hw = None
        if self.box_size is not None:
            cut_hw = tuple(
                max(1, round(self.box_size * side / image_side)) for side, image_side in zip(maps.shape[-2:], image_hw)
            )
        return cutmix_drawn(maps, draw, cut_hw, in_place)

    def _label_weight(self, lam: float) -> float:
        if self.target == "mixed":
            return lam
        return 0.5 if self.target == "complete" else float(lam >= 0.5)

    @staticmethod
    def _hit(prob: float, generator) -> bool:
        # Drawn for 0 and 1 too: a batch's other draws do not depend on the probability then.
        return float(torch.rand((), generator=generator, dtype=torch.float64)) < prob


def stage_layers(network: nn.Module) -> tuple[str, ...]:
    """``"image"`` and the module names at the ends of the stages.

    They are the ones that timm lists in a model's ``feature_info``, or modules called ``layer1``, ``stage1`` or
    ``stages.0`` and on (torchvision's and our ResNets), at any depth of the network.
    """
    modules = dict(network.named_modules())
    for prefix, module in modules.items():
        info = getattr(module, "feature_info", None)
        if info:
            listed = [entry.get("module") for entry in info]
            names = [f"{prefix}.{name}" if prefix else name for name in listed if name]
            names = [name for name in names if name in modules]
            if names:
                return (IMAGE, *names)
    names = [name for name in modules if _STAGE_NAME.search(name)]
    if not names:
        raise InputError(
            f"expected a network that lists its stages, got {type(network).__name__}; name them in "
            f"mixing.layers, from {', '.join(name for name, _ in network.named_children())}."
        )
    return (IMAGE, *names)


def _require(good: bool, expected: str, key: str, value) -> None:
    if not good:
        raise InputError(f"expected {expected}, got {value!r} at mixing.{key}.")


def _checked(output, images: Tensor, layer: str, kind: str) -> Tensor:
    """A layer's output if it can be mixed: a tensor with a batch, for CutMix a map of the image's aspect ratio."""
    if not isinstance(output, Tensor) or output.ndim < 2 or len(output) != len(images):
        raise InputError(
            f"expected layer {layer!r} of mixing.layers to put out a tensor of {len(images)} samples, got "
            f"{type(output).__name__} {tuple(getattr(output, 'shape', ()))}: name another layer."
        )
    if kind == "mixup":
        return output
    (height, width), (image_h, image_w) = output.shape[-2:], images.shape[-2:]
    # Sides are rounded by less than one stride, which is less than one pixel of the map.
    if output.ndim != 4 or abs(height * image_w - width * image_h) > image_h + image_w:
        raise InputError(
            f"expected layer {layer!r} of mixing.layers to put out maps (N, C, H, W) of the images' "
            f"aspect ratio {image_h}:{image_w}, got {tuple(output.shape)}: CutMix pastes boxes, so name "
            "layers that keep channels first and the image's grid, or use Mixup."
        )
    return output
