"""Bodies of torchvision's classification models, traced at the ends of their stages. Refuses unknown names."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import InputError, closest
from .body_contract import PROBE_SIZE_HW, Body, Preprocess, on_meta, select_by_stride


def torchvision_body(name: str, options: dict, strides) -> Body:
    """A classification model of torchvision as a :class:`Body`, traced.

    Args:
        name: as in `torchvision.models.list_models()`.
        options: of the library's constructor.
        strides: wanted strides, ascending.

    Raises:
        InputError: an unknown name, or a stride that the model does not have.
    """
    import torchvision
    from torchvision.models.feature_extraction import create_feature_extractor

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise InputError(f"torchvision has no classification model {name!r} (model.backbone.body.name); "
                         f"{closest(name, known) or 'see torchvision.models.list_models()'}")
    where = f"torchvision/{name}"
    probe, device = on_meta(lambda: torchvision.models.get_model(name, weights=None, **options))
    nodes = _torchvision_nodes(probe.eval(), device, where)
    indices, channels = select_by_stride([shape for _, shape, _ in nodes], strides, where)
    names = {nodes[index][0]: str(i) for i, index in enumerate(indices)}
    full_keys = frozenset(probe.state_dict())
    module = create_feature_extractor(torchvision.models.get_model(name, weights=None, **options), names)
    return Body(module, tuple(strides), tuple(channels), _NodeFeatures([nodes[i][2] for i in indices]), where,
                full_keys - frozenset(module.state_dict()), torchvision_preprocess(name))


def torchvision_shapes(name: str, options: dict) -> tuple[tuple[int, int], list[tuple[int, ...]]]:
    """Size of the probe in px (height, width), and NCHW shapes of a model's stages in order of running."""
    import torchvision

    probe, device = on_meta(lambda: torchvision.models.get_model(name, weights=None, **options))
    return PROBE_SIZE_HW, [shape for _, shape, _ in _torchvision_nodes(probe.eval(), device, f"torchvision/{name}")]


def torchvision_preprocess(name: str) -> Preprocess:
    """What the default weights of a torchvision model expect of their input."""
    import torchvision

    weights = torchvision.models.get_model_weights(name)
    card = weights.DEFAULT.transforms() if len(weights) else None
    if card is None or not hasattr(card, "mean"):
        return Preprocess()
    return Preprocess(tuple(255 * m for m in card.mean), tuple(255 * s for s in card.std), "rgb",
                      card.crop_size[0], card.crop_size[0] / card.resize_size[0], card.interpolation.value)


class _NodeFeatures:
    """Features of a traced torchvision model, in stride order, channels first."""

    def __init__(self, channels_last: Sequence[bool]):
        self.channels_last = list(channels_last)

    def __call__(self, module, images):
        features = module(images)
        return [feature.permute(0, 3, 1, 2).contiguous() if last else feature
                for feature, last in zip((features[str(i)] for i in range(len(self.channels_last))),
                                         self.channels_last)]


def _torchvision_nodes(probe: nn.Module, device: str, where: str) -> list[tuple[str, tuple[int, ...], bool]]:
    """(module name, NCHW shape, is channels-last) of every stage whose output is a feature map, in order of running.

    A stage is a child of the model; a Sequential that spans more than one halving is opened into its children, so
    that what comes out is the end of a stage and never the inside of a block.
    """
    height, width = PROBE_SIZE_HW
    found = []

    def visit(prefix: str, module: nn.Module):
        for name, child in module.named_children():
            handles.append(child.register_forward_hook(
                lambda _, inputs, output, path=prefix + name: record(path, inputs, output)))
            if isinstance(child, nn.Sequential):
                visit(f"{prefix}{name}.", child)

    def record(path, inputs, output):
        shape = _map_shape(output, height, width)
        if shape is not None:
            before = _map_shape(inputs[0], height, width) if inputs else None
            spans = before is not None and before[0][2] > 2 * shape[0][2]
            found.append((path, *shape, spans))

    handles = []
    visit("", probe)
    try:
        with torch.no_grad():
            probe(torch.zeros(1, 3, height, width, device=device))
    except Exception as error:
        raise InputError(f"{where} cannot be measured at {PROBE_SIZE_HW}: {error}. Use the timm model of the same "
                         "architecture.") from error
    for handle in handles:
        handle.remove()
    # A Sequential reports after its children. Keep it alone unless it spans several halvings; then keep the children.
    closed = [path for path, _, _, spans in found if not spans]
    return [(path, shape, last) for path, shape, last, spans in found
            if not spans and not any(path.startswith(outer + ".") for outer in closed)]


def _map_shape(value, height, width):
    """(NCHW shape, is channels-last) of a feature map of an input of that size; None for anything else."""
    if not isinstance(value, Tensor) or value.ndim != 4:
        return None
    first, second, third = value.shape[1:]
    if min(second, third) > 1 and second * width == third * height:
        return tuple(value.shape), False
    if min(first, second) > 1 and first * width == second * height:
        return (value.shape[0], third, first, second), True
    return None
