"""The inputs of a classifier's head: pooled features, the map they are the mean of, a last stage at stride 1.

The map is found by its value: its mean over all positions is the head's input. Refuses networks without one linear
layer behind a global mean, for which class activation maps are not defined.
"""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from ..datasets.images.pixels import upright_rgb
from ..errors import InputError
from ..upstream.last_stride import run_last_stage_at_stride_one
from .candidates import StudyClassifier, unit


def pooled_features(classifier: StudyClassifier, images: Tensor, head: str) -> np.ndarray:
    """(N, D) inputs of the head for (N, 3, H, W) images."""
    found: list[Tensor] = []
    layer = classifier.network.get_submodule(head)
    hook = layer.register_forward_pre_hook(lambda _, given: found.append(given[0].detach().float().cpu()))
    try:
        classifier.logits(images)
    finally:
        hook.remove()
    return torch.cat(found).flatten(1).numpy()


@contextmanager
def recorded(network: nn.Module, head: str) -> Iterator[tuple[list[tuple[str, Tensor]], list[Tensor]]]:
    """What a forward pass inside gives: (name, output) of every module in order of running, and the head's inputs."""
    outputs: list[tuple[str, Tensor]] = []
    inputs: list[Tensor] = []
    hooks = [network.get_submodule(head).register_forward_pre_hook(lambda _, given: inputs.append(given[0]))]
    hooks += [
        module.register_forward_hook(lambda _, given, out, name=name: outputs.append((name, out)))
        for name, module in network.named_modules()
        if name
    ]
    try:
        yield outputs, inputs
    finally:
        for hook in hooks:
            hook.remove()


def mapped_layer(network: nn.Module, head: str, probe: Tensor) -> str:
    """Name of the module whose output, averaged over all positions, is the head's input.

    Args:
        network: in eval mode.
        head: of :func:`frozen_det.upstream.stored_network.linear_head`.
        probe: (N, 3, H, W) normalised images, not constant.

    Raises:
        InputError: no such module.
    """
    with torch.no_grad(), recorded(network, head) as (outputs, pooled):
        network(probe)
    wanted = pooled[-1].flatten(1)
    for name, out in reversed(outputs):
        if (
            isinstance(out, Tensor)
            and out.dim() == 4
            and out.shape[1] == wanted.shape[1]
            and out[0, 0].numel() > 1
            and torch.allclose(out.mean((2, 3)), wanted, rtol=1e-3, atol=1e-4)
        ):
            return name
    raise InputError(
        f"expected a network whose head gets the mean of a feature map, got {type(network).__name__}: "
        f"no module's output averages to the input of {head}. Class activation maps need global average "
        "pooling and one linear layer."
    )


def feature_maps(classifier: StudyClassifier, images: Tensor, layer: str) -> tuple[Tensor, np.ndarray]:
    """((N, D, h, w) outputs of a layer, (N, C) logits) of images."""
    found: list[Tensor] = []
    hook = classifier.network.get_submodule(layer).register_forward_hook(
        lambda _, given, out: found.append(out.detach().float().cpu())
    )
    try:
        logits = classifier.logits(images)
    finally:
        hook.remove()
    return torch.cat(found), logits


def finer_last_stage(classifier: StudyClassifier, probe: Tensor) -> StudyClassifier:
    """A copy of the classifier whose last stage does not stride, so that its maps have twice the side.

    The weights stay as they are; CutMix's protocol trains them so (``model.last_stride=1``, a new head).

    Args:
        probe: (N, 3, H, W) uint8 or in [0, 1].

    Raises:
        InputError: of :func:`frozen_det.upstream.last_stride.run_last_stage_at_stride_one`.
    """
    finer = copy.copy(classifier)
    finer.network = copy.deepcopy(classifier.network)
    run_last_stage_at_stride_one(finer.network, normalised(classifier, probe[:1]), "--last-stride 1")
    return finer


def fit_linear(
    features: np.ndarray, labels: np.ndarray, num_classes: int, weight_decay: float = 1e-3, num_steps: int = 200
) -> tuple[np.ndarray, np.ndarray]:
    """Multinomial logistic regression on standardised features, by L-BFGS from zero: no draw, no learning rate.

    Args:
        features: (N, D).
        labels: (N,) in 0..num_classes - 1.
        weight_decay: of ``mean loss + weight_decay / 2 * |W|^2`` on standardised features.
        num_steps: most L-BFGS steps.

    Returns:
        (num_classes, D) weights and (num_classes,) biases for the features as they came in.
    """
    values = torch.from_numpy(features).double()
    mean, std = values.mean(0), values.std(0).clamp_min(1e-6)
    values, targets = (values - mean) / std, torch.from_numpy(np.asarray(labels)).long()
    weight = torch.zeros(num_classes, values.shape[1], dtype=torch.double, requires_grad=True)
    bias = torch.zeros(num_classes, dtype=torch.double, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight, bias], max_iter=num_steps, history_size=20, tolerance_grad=1e-6, line_search_fn="strong_wolfe"
    )

    def closure():
        solver.zero_grad()
        loss = nn.functional.cross_entropy(values @ weight.T + bias, targets) + weight_decay / 2 * weight.square().sum()
        loss.backward()
        return loss

    solver.step(closure)
    scaled = weight.detach() / std
    return scaled.numpy(), (bias.detach() - scaled @ mean).numpy()


def nearest_neighbours(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, num_neighbours: int = 20, temperature: float = 0.07
) -> np.ndarray:
    """(M,) classes by a vote of the nearest training features by cosine, weighted by ``exp(cosine / temperature)``
    (Wu et al., CVPR 2018).

    Args:
        train: (N, D); labels: (N,).
        test: (M, D).
        num_neighbours: of N at most.
    """
    first, second = (torch.nn.functional.normalize(torch.from_numpy(part).float(), dim=1) for part in (train, test))
    targets, count = torch.from_numpy(np.asarray(labels)).long(), int(np.max(labels)) + 1
    found = []
    for part in second.split(512):
        near, places = (part @ first.T).topk(min(num_neighbours, len(first)), 1)
        votes = torch.zeros(len(part), count).scatter_add_(1, targets[places], (near / temperature).exp())
        found.append(votes.argmax(1))
    return torch.cat(found).numpy()


def images_through(paths, fit: Callable) -> Tensor:
    """(N, 3, H, W) uint8 of image files."""
    from PIL import Image

    pixels = []
    for path in paths:
        with Image.open(path) as image:
            pixels.append(torch.as_tensor(fit(upright_rgb(image))))
    return torch.stack(pixels)


def normalised(classifier: StudyClassifier, images: Tensor) -> Tensor:
    """What the network itself gets."""
    return classifier.normalised(unit(images).to(classifier.device))
