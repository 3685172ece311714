"""Where a class is seen, by gradients: Grad-CAM++ for backbones without global average pooling before one linear layer.

Chattopadhay et al., WACV 2018, eq. 10 to 19, by the library `grad-cam` (`pytorch_grad_cam`), on logits.
The map's layer is the last one whose output varies over places and has a gradient of the class at most of them; tokens
are laid out as the grid they come from. The score is a linear function of the head's input, the model's own or one that
was fitted. Refuses networks without such a layer, and an environment without the library.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError
from .candidates import StudyClassifier
from .features import normalised, recorded

#: Most tokens in front of the grid: class, distillation and register tokens.
_MOST_PREFIX = 16


@dataclass(frozen=True)
class GradientLayer:
    """A layer that maps are taken from.

    Attributes:
        name: of the module.
        layout: ``NCHW``, ``NHWC`` or ``tokens``.
        num_prefix: tokens before the grid's.
        grid_hw: height and width of the map.
    """

    name: str
    layout: str
    num_prefix: int
    grid_hw: tuple[int, int]

    def to_maps(self, output: Tensor) -> Tensor:
        """A layer's output as (N, D, h, w)."""
        if self.layout == "tokens":
            return output[:, self.num_prefix :].transpose(1, 2).unflatten(2, self.grid_hw)
        return output.permute(0, 3, 1, 2) if self.layout == "NHWC" else output


def gradient_layer(network: nn.Module, head: str, probe: Tensor) -> GradientLayer:
    """The last layer with a map that the head's input depends on at most places.

    Args:
        network: in eval mode.
        head: of :func:`frozen_det.upstream.stored_network.linear_head`.
        probe: (N, 3, H, W) normalised images, not constant.

    Raises:
        InputError: no such layer.
    """
    with torch.enable_grad(), recorded(network, head) as (outputs, inputs):
        network(probe.clone().requires_grad_())
    score = inputs[-1].square().sum()  # any function of all of it
    for name, out in reversed(outputs):
        layer = _layout(name, out, tuple(probe.shape[-2:]), inputs[-1].shape[-1])
        if layer is None or float(layer.to_maps(out).detach().std((2, 3)).max()) <= 0:
            continue
        slopes = torch.autograd.grad(score, out, retain_graph=True, allow_unused=True)[0]
        if slopes is not None and float((layer.to_maps(slopes) != 0).any(1).float().mean()) > 0.5:
            return layer
    raise InputError(
        f"expected a network with a feature map that its head ({head}) depends on, got "
        f"{type(network).__name__} without."
    )


def _layout(name: str, out, size_hw: tuple[int, int], width: int) -> GradientLayer | None:
    """How an output is aligned with the image; None if it is not a map: attention matrices, vectors, single places."""
    if not isinstance(out, Tensor) or not out.requires_grad:
        return None
    if out.dim() == 4:
        for layout, grid in (("NCHW", tuple(out.shape[2:])), ("NHWC", tuple(out.shape[1:3]))):
            if grid[0] * size_hw[1] == grid[1] * size_hw[0] and 1 < grid[0] * grid[1] <= size_hw[0] * size_hw[1]:
                return GradientLayer(name, layout, 0, grid)
    if out.dim() == 3 and out.shape[2] == width:
        for prefix in range(_MOST_PREFIX + 1):
            count = out.shape[1] - prefix
            side = math.isqrt(max(0, count * size_hw[0] // size_hw[1]))
            if side and count == side * (side * size_hw[1] // size_hw[0]) and count > 1:
                return GradientLayer(name, "tokens", prefix, (side, count // side))
    return None


def gradient_maps(
    classifier: StudyClassifier,
    images: Tensor,
    layer: GradientLayer,
    head: str,
    weights: np.ndarray,
    biases: np.ndarray,
    labels: np.ndarray,
    method: str = "gradcam++",
) -> tuple[np.ndarray, np.ndarray]:
    """Maps of one class for each image.

    Args:
        images: (N, 3, H, W) uint8 or in [0, 1].
        layer: of :func:`gradient_layer`.
        head: name of the linear layer whose input is scored.
        weights: (C, D), and biases (C,), of the score.
        labels: (N,) classes whose maps are wanted.
        method: ``gradcam++``, or ``gradcam`` (Selvaraju et al., ICCV 2017).

    Returns:
        (N, h, w) maps, from 0 on, not scaled; (N, C) scores.
    """
    kinds = _library()
    found: list[np.ndarray] = []
    scored: list[np.ndarray] = []
    weight, bias = (torch.from_numpy(np.asarray(one)).float().to(classifier.device) for one in (weights, biases))
    module = classifier.network.get_submodule(layer.name)
    with _leaf_at(classifier.network, layer.name), _input_of(classifier.network, head) as taken, torch.enable_grad():
        extractor = kinds[method](classifier.network, [module], reshape_transform=layer.to_maps)
        seen = extractor.activations_and_grads
        try:
            for start in range(0, len(images), classifier.batch_size):
                part = slice(start, start + classifier.batch_size)
                seen(normalised(classifier, images[part]))
                scores = taken.pop().flatten(1).float() @ weight.T + bias  # (N, C)
                wanted = torch.from_numpy(np.asarray(labels[part])).to(scores.device)
                scores.gather(1, wanted[:, None]).sum().backward()
                maps = extractor.get_cam_image(
                    None, module, None, seen.activations[0].numpy(), seen.gradients[0].numpy()
                )
                found.append(np.maximum(maps, 0).astype(np.float32))
                scored.append(scores.detach().cpu().numpy())
        finally:
            seen.release()
    return np.concatenate(found), np.concatenate(scored)


def _library() -> dict[str, Callable]:
    try:
        from pytorch_grad_cam import GradCAM, GradCAMPlusPlus
    except ImportError as error:
        raise InputError(
            "expected the package grad-cam for Grad-CAM++ (wsol), got none: pip install grad-cam; or "
            "leave this network out."
        ) from error
    return {"gradcam": GradCAM, "gradcam++": GradCAMPlusPlus}


@contextmanager
def _leaf_at(network: nn.Module, name: str) -> Iterator[None]:
    """Let gradients begin at a layer's output: nothing before it is kept for the way back."""
    # A copy of the leaf, since a ReLU in place behind the layer may not write into a leaf.
    hook = network.get_submodule(name).register_forward_hook(
        lambda _, given, out: out.detach().requires_grad_().clone()
    )
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _input_of(network: nn.Module, name: str) -> Iterator[list[Tensor]]:
    taken: list[Tensor] = []
    hook = network.get_submodule(name).register_forward_pre_hook(lambda _, given: taken.append(given[0]))
    try:
        yield taken
    finally:
        hook.remove()
