"""The source `torchvision`: its classification models, traced at the ends of their stages, and its weights."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...errors import InputError, closest
from ...registry import BACKBONE_SOURCES
from .base import Body, Preprocess, on_meta, select_by_stride
from .classifier import Network, built, changing_names
from .input_size import Measured, any_size, measure
from .source import BackboneSource, fetching

# Output layouts of a stage: (N, C, H, W), (N, H, W, C), or tokens (N, 1 + H * W, C) with a class token first.
_LAYOUTS = ("NCHW", "NHWC", "NLC")
# Largest number of input cells lost by one unpadded downsampling.
_ROUNDING = 4


@BACKBONE_SOURCES.register_module(name="torchvision")
class TorchvisionSource(BackboneSource):
    """Models of `torchvision.models.list_models()`. ``weights='torchvision:IMAGENET1K_V2'`` loads those weights."""

    weights_form = "'torchvision' or 'torchvision:IMAGENET1K_V2'"
    preprocess = Preprocess()

    def names(self) -> list[str]:
        import torchvision

        return torchvision.models.list_models(module=torchvision.models)

    def build(self, name: str, options: dict, strides) -> Body:
        import torchvision
        from torchvision.models.feature_extraction import create_feature_extractor

        _require_known(name, "model.backbone.body.name")
        where = f"torchvision/{name}"
        full, nodes, measured = _stages(name, options)
        indices, channels = select_by_stride(measured.strides, measured.channels, strides, where)
        names = {nodes[index][0]: str(i) for i, index in enumerate(indices)}
        full_keys = frozenset(full.state_dict())
        module = create_feature_extractor(torchvision.models.get_model(name, weights=None, **options), names)
        extract = any_size(_NodeFeatures(tuple(nodes[i][1] for i in indices)), strides, measured.rule)
        return Body(
            module,
            tuple(strides),
            tuple(channels),
            extract,
            where,
            full_keys - frozenset(module.state_dict()),
            torchvision_preprocess(name),
        )

    def strides(self, name: str, options: dict) -> tuple[int | None, ...]:
        _require_known(name, "model.backbone.body.name")
        return _stages(name, options)[2].strides

    def classifier(self, name: str, options: dict, num_classes: int) -> Network:
        import torchvision

        _require_known(name, "model.backbone.name")
        where = f"torchvision/{name}"

        def build(count: int) -> nn.Module:
            return torchvision.models.get_model(name, weights=None, num_classes=count, **options)

        module = built(lambda: build(num_classes), where, options)
        if getattr(module, "aux_logits", False):
            raise InputError(
                f"torchvision's {name} trains with auxiliary classifiers, which this version does not support "
                "(model.backbone.name). Take timm's model of the same name."
            )
        return Network(module, where, changing_names(build, num_classes), torchvision_preprocess(name))

    def has_pretrained(self, name: str) -> bool:
        import torchvision

        return len(torchvision.models.get_model_weights(name)) > 0

    def load_pretrained(self, body_cfg: dict, tag: str) -> dict[str, Tensor]:
        import torchvision

        # mmdet uses 'torchvision://resnet50' for its own ResNet, which has the same keys as torchvision's.
        if tag.startswith("//"):
            name, tag = tag.removeprefix("//"), "IMAGENET1K_V1"
        else:
            self.require_own(body_cfg)
            name = body_cfg["name"]
        choices = torchvision.models.get_model_weights(name)
        if tag and tag not in choices.__members__:
            raise InputError(f"torchvision's {name} has the weights {list(choices.__members__)}, not {tag!r}.")
        with fetching(f"torchvision's weights of {name}"):
            return (choices[tag] if tag else choices.DEFAULT).get_state_dict(progress=False)


def _require_known(name: str, key: str) -> None:
    import torchvision

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise InputError(
            f"torchvision has no classification model {name!r} ({key}); "
            f"{closest(name, known) or 'see torchvision.models.list_models()'}"
        )


def torchvision_preprocess(name: str) -> Preprocess:
    """The input expected by the default weights of a torchvision model."""
    import torchvision

    weights = torchvision.models.get_model_weights(name)
    card = weights.DEFAULT.transforms() if len(weights) else None
    if card is None or not hasattr(card, "mean"):
        return Preprocess()
    return Preprocess(
        tuple(255 * m for m in card.mean),
        tuple(255 * s for s in card.std),
        "rgb",
        card.crop_size[0],
        card.crop_size[0] / card.resize_size[0],
        card.interpolation.value,
    )


@dataclass(frozen=True)
class _NodeFeatures:
    """Features of a traced torchvision model, in stride order, channels first."""

    layouts: tuple[str, ...]

    def __call__(self, module: nn.Module, images: Tensor) -> list[Tensor]:
        """One (N, C, H / stride, W / stride) for each of `layouts`."""
        features = module(images)
        return [_channels_first(features[str(i)], layout, images.shape[-2:]) for i, layout in enumerate(self.layouts)]


def _channels_first(feature: Tensor, layout: str, size_hw) -> Tensor:
    if layout == "NHWC":
        return feature.permute(0, 3, 1, 2).contiguous()
    if layout == "NLC":
        num, channels, height, width = _as_map(feature.shape, layout, size_hw)
        return feature[:, 1:].transpose(1, 2).reshape(num, channels, height, width)
    return feature


def _as_map(shape, layout: str, size_hw) -> tuple[int, ...]:
    """(N, C, H, W) of an output in that layout, of an input of `size_hw`; () where it cannot be one."""
    if len(shape) != (3 if layout == "NLC" else 4):
        return ()
    if layout == "NLC":
        height = round(math.sqrt((shape[1] - 1) * size_hw[0] / size_hw[1]))
        width = (shape[1] - 1) // max(height, 1)
        return (shape[0], shape[2], height, width) if height * width == shape[1] - 1 > 1 else ()
    return tuple(shape) if layout == "NCHW" else (shape[0], shape[3], shape[1], shape[2])


def _height(shape, size_hw) -> int:
    """Height of a four-dimensional output, in the layout whose aspect ratio is closer to the input's."""
    ratio = size_hw[0] / size_hw[1]
    return min((shape[2], shape[3]), (shape[1], shape[2]), key=lambda hw: abs(math.log(hw[0] / hw[1] / ratio)))[0]


def _stages(name: str, options: dict) -> tuple[nn.Module, list[tuple[str, str]], Measured]:
    """The model (on meta tensors if possible), (node, layout) of each stage that may be a map, and the measurements.

    A stage is a child of the model. A Sequential with more than one downsampling is split into its children, so that
    features are taken at the end of a stage and not inside a block. The last stage of a stride is used, so that
    transformer blocks take precedence over their patch embedding.
    """
    import torchvision

    full, device = on_meta(lambda: torchvision.models.get_model(name, weights=None, **options))
    full.eval()
    nodes = []

    def run(size_hw):
        outputs = _outputs(full, device, size_hw)
        nodes[:] = [(path, layout) for path in outputs for layout in _LAYOUTS]
        return [_as_map(outputs[path], layout, size_hw) for path, layout in nodes]

    own = getattr(full, "image_size", None) or torchvision_preprocess(name).input_size
    measured = measure(run, options.get("input_size") or ((own, own) if own else None), f"torchvision/{name}")
    return full, nodes, measured


def _outputs(full: nn.Module, device: str, size_hw) -> dict[str, tuple[int, ...]]:
    """Shape of the output of every stage, in execution order."""
    shapes, spanning = {}, set()

    def visit(prefix: str, module: nn.Module):
        for name, child in module.named_children():
            handles.append(
                child.register_forward_hook(
                    lambda part, inputs, output, path=prefix + name: record(path, part, inputs, output)
                )
            )
            if isinstance(child, (nn.Sequential, nn.ModuleList)):
                visit(f"{prefix}{name}.", child)

    def record(path, part, inputs, output):
        if not isinstance(output, Tensor):
            return
        shapes[path] = tuple(output.shape)
        if (
            isinstance(part, nn.Sequential)
            and inputs[0].ndim == output.ndim == 4
            and _height(inputs[0].shape, size_hw) > 2 * _height(output.shape, size_hw) + _ROUNDING
        ):
            spanning.add(path)

    handles = []
    visit("", full)
    try:
        with torch.no_grad():
            full(torch.zeros(1, 3, *size_hw, device=device))
    finally:
        for handle in handles:
            handle.remove()
    # The last child is the classifier; SqueezeNet's returns a map of logits.
    classifier = [name for name, _ in full.named_children()][-1]
    shapes = {path: shape for path, shape in shapes.items() if path.split(".")[0] != classifier}
    # A Sequential reports after its children. Keep it alone unless it spans several halvings; then keep the children.
    return {
        path: shape
        for path, shape in shapes.items()
        if path not in spanning and not any(path.startswith(f"{o}.") for o in shapes if o not in spanning)
    }
