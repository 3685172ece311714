"""Target layers: the layers that can take an adapter, found by running the network once on meta tensors.

Roles, strides and stages are measured, not derived from module names. A target layer is a convolution or linear layer
that runs when features are computed. Layers that no adapter fits are listed too, with the reason.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from ...errors import InputError
from ...registry import ADAPTERS
from ..backbone_sources.base import PROBE_SIZE_HW, Body, FeatureModule
from ..layers.norms import NORMS

ROLES = {
    "stem": "convolutions before the first block",
    "conv3x3": "3x3 convolutions",
    "conv": "other dense convolutions with an odd kernel",
    "grouped": "k x k convolutions in groups",
    "depthwise": "k x k convolutions, one channel at a time",
    "pointwise": "1x1 convolutions and linear layers of a block that has a depthwise convolution",
    "bottleneck": "1x1 convolutions of other blocks",
    "shortcut": "convolutions on the shortcut",
    "patch": "patch embedding, patch merging and strided downsampling between stages",
    "attention": "linear layers of an attention",
    "mlp": "linear layers of a transformer's feed-forward part",
    "gate": "layers on pooled features, as in squeeze-and-excitation",
    "unreachable": "weights that no module call reads",
}


@dataclass(frozen=True)
class Site:
    """A target layer.

    Attributes:
        name: module name in the wrapped network, e.g. ``layer1.0.conv2``.
        role: one of :data:`ROLES`.
        stage: number (from 1) of the finest feature that depends on it; 0 if no feature does.
        stride: of the layer's output relative to the image; 0 if the output is not a map.
        in_channels, out_channels: of the layer.
        layer: short description, e.g. ``3x3/2`` or ``linear``.
        norm: name of the norm that is the only consumer of the output, or None.
        fits: kinds of adapters that fit.
        reasons: kind -> why it does not fit.
    """

    name: str
    role: str
    stage: int
    stride: int
    in_channels: int
    out_channels: int
    layer: str
    norm: str | None = None
    fits: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Survey:
    """Result of running a network once: its target layers, and its norms with their stage."""

    sites: tuple[Site, ...]
    norms: Mapping[str, int]


def list_sites(body: Body) -> list[Site]:
    """All target layers in execution order, followed by unreachable weights.

    Args:
        body: from :func:`frozen_det.models.backbone_sources.build.build_body`, without adapters.
    """
    return list(survey(body).sites)


def survey(body: Body) -> Survey:
    """Run the network once and describe every layer; see :func:`list_sites`.

    Raises:
        InputError: the network does not run at any known size.
    """
    trace, size_hw = _trace(body)
    stem = _stem_prefix(trace)
    sites, stride = [], 0
    for name in reversed(trace.order):
        module = body.module.get_submodule(name)
        shape = trace.shapes[name]
        # Window padding distorts the measured stride, so it is taken from the next layer that runs on the whole map.
        if not stride or shape[0] == 1:
            stride = _stride(shape, size_hw, isinstance(module, nn.Linear))
        role = _role(name, module, shape, trace, stem)
        sites.insert(
            0,
            Site(
                name,
                role,
                trace.stages.get(f"{name}.weight", 0),
                stride,
                *_channels(module),
                _layer(module),
                trace.following.get(name),
            ),
        )
    sites += _unreachable(body.module, trace)
    sites = tuple(_with_fits(site, body.module) for site in sites)
    norms = {name: max(stages) for name, stages in trace.norm_stages.items() if max(stages) > 0}
    return Survey(sites, norms)


def site_table(sites: Sequence[Site]) -> str:
    """Target layers as text, one per line: name, description, and the kinds that fit or why none does."""
    width = max((len(site.name) for site in sites), default=4) + 2
    lines = [f"{'site':<{width}}{'role':<13}{'stage':>5}{'stride':>7}{'channels':>12}  {'layer':<22}kinds that fit"]
    for site in sites:
        channels = f"{site.in_channels}>{site.out_channels}"
        fits = ", ".join(site.fits) or f"none: {next(iter(site.reasons.values()))}"
        lines.append(
            f"{site.name:<{width}}{site.role:<13}{site.stage:>5}{site.stride or '-':>7}{channels:>12}  "
            f"{site.layer:<22}{fits}"
        )
    return "\n".join(lines)


# ---- one run -------------------------------------------------------------------------------------------------------


@dataclass
class _Trace:
    order: list[str]
    shapes: dict[str, tuple[int, ...]]
    following: dict[str, str]
    stages: dict[str, int]
    norm_stages: dict[str, list[int]]
    spatial: dict[str, str]  # layers with a kernel larger than 1x1, or attention: they decide the kind of a block


def _trace(body: Body) -> tuple[_Trace, tuple[int, int]]:
    own = body.preprocess.input_size if body.preprocess else None
    sizes = [PROBE_SIZE_HW] + ([(own, own)] if own else [])
    error = None
    for device in ("meta", "cpu"):
        for size_hw in sizes:
            try:
                return _trace_at(body, size_hw, device), size_hw
            except (AssertionError, RuntimeError, NotImplementedError, ValueError) as caught:
                error = caught
    raise InputError(
        f"the target layers of {body.architecture} could not be measured at sizes {sizes} "
        f"(model.backbone.adapters): {error}. Leave adapters out for this backbone."
    )


def _trace_at(body: Body, size_hw, device: str) -> _Trace:
    """One forward pass on `device`: hooks record what runs, autograd which features depend on it."""
    module = body.module
    modes = [(part, part.training) for part in module.modules()]
    order, shapes, outputs, reads = [], {}, {}, {}

    def ran(name, output):
        if name not in shapes:
            order.append(name)
        shapes[name] = tuple(output.shape)
        outputs[id(output)] = (
            name,
            output,
            output.grad_fn,
        )  # stored, as an id is unique only while its object is alive

    def norm_reads(name, value):
        reads[name] = outputs.get(id(value))

    handles = []
    for name, part in module.named_modules():
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            handles.append(part.register_forward_hook(lambda _, args, output, name=name: ran(name, output)))
        elif isinstance(part, NORMS):
            handles.append(part.register_forward_pre_hook(lambda _, args, name=name: norm_reads(name, args[0])))
    try:
        module.eval()
        features, parameters = _features(body, size_hw, device)
    finally:
        for handle in handles:
            handle.remove()
        for part, mode in modes:
            part.training = mode
    stages, uses = _stages(features, parameters), _uses(features)
    following = {read[0]: norm for norm, read in reads.items() if read and uses[read[2]] == 1}
    norm_stages = {
        name: [stages.get(f"{name}.{p}", 0) for p, _ in module.get_submodule(name).named_parameters()]
        for name in reads
        if any(True for _ in module.get_submodule(name).parameters())
    }
    spatial = {name: _spatial_kind(name, module) for name in order}
    return _Trace(order, shapes, following, stages, norm_stages, {k: v for k, v in spatial.items() if v})


def _features(body: Body, size_hw, device: str):
    """Features of a zero image with autograd history, and the stand-in parameters they depend on."""
    parameters = {
        name: torch.empty_like(value, device=device).normal_().requires_grad_()
        for name, value in body.module.named_parameters()
    }
    buffers = {
        name: torch.empty_like(value, device=device) if device == "meta" else value
        for name, value in body.module.named_buffers()
    }
    tensors = {f"body.{name}": value for name, value in {**parameters, **buffers}.items()}
    with torch.enable_grad():
        features = torch.func.functional_call(
            FeatureModule(body.module, body.extract), tensors, (torch.zeros(1, 3, *size_hw, device=device),)
        )
    return list(features), parameters


def _stages(features, parameters: Mapping) -> dict[str, int]:
    """Parameter name -> number (from 1) of the finest feature that depends on it; 0 for none."""
    stages = dict.fromkeys(parameters, 0)
    for number, feature in enumerate(features, start=1):
        open_names = [name for name, stage in stages.items() if stage == 0]
        if open_names:
            grads = torch.autograd.grad(
                feature.sum(), [parameters[name] for name in open_names], allow_unused=True, retain_graph=True
            )
            stages.update({name: number for name, grad in zip(open_names, grads) if grad is not None})
    return stages


def _uses(features) -> Counter:
    """Autograd node -> number of uses of its result; being a feature counts as one."""
    uses = Counter(feature.grad_fn for feature in features)
    waiting, seen = list(uses), set(uses)
    while waiting:
        for node, _ in waiting.pop().next_functions:
            if node is not None:
                uses[node] += 1
                if node not in seen:
                    seen.add(node)
                    waiting.append(node)
    return uses


# ---- roles ---------------------------------------------------------------------------------------------------------


def _spatial_kind(name: str, module: nn.Module) -> str | None:
    part = module.get_submodule(name)
    if isinstance(part, nn.Linear):
        return "attention" if _in_attention(name, module) else None
    if max(part.kernel_size) == 1 or part.kernel_size == part.stride:
        return None
    return "depthwise" if part.groups == part.in_channels > 1 else "dense"


def _in_attention(name: str, module: nn.Module) -> bool:
    parent = module.get_submodule(name.rpartition(".")[0])
    return "ttention" in type(parent).__name__ or any("attn" in p or "attention" in p for p in name.split(".")[:-1])


def _role(name: str, module: nn.Module, shape, trace: _Trace, stem: str) -> str:
    if len(shape) == 4 and isinstance(module, nn.Conv2d) and shape[2:] == (1, 1):
        return "gate"
    if isinstance(module, nn.Linear) and len(shape) == 2:
        return "gate"
    path = name.split(".")
    between = any(part in ("downsample", "reduction", "downsample_layers") for part in path)
    if isinstance(module, nn.Linear):
        if trace.spatial.get(name) == "attention":
            return "attention"
        if between:
            return "patch"
        return "pointwise" if _block_has(name, trace) == "depthwise" else "mlp"
    if module.kernel_size == module.stride and max(module.stride) > 1:
        return "patch"
    if name == stem or name.startswith(f"{stem}."):
        return "stem"
    if between or "shortcut" in path:
        return "shortcut"
    if max(module.kernel_size) == 1:
        return "pointwise" if _block_has(name, trace) == "depthwise" else "bottleneck"
    if module.groups > 1:
        return "depthwise" if module.groups == module.in_channels else "grouped"
    return "conv3x3" if module.kernel_size == (3, 3) else "conv"


def _block_has(name: str, trace: _Trace) -> str | None:
    """The kind of spatial layer in the smallest enclosing module that has one."""
    for prefix in _ancestors(name):
        kinds = {kind for other, kind in trace.spatial.items() if other.startswith(prefix) and other != name}
        if kinds:
            return "depthwise" if "depthwise" in kinds else sorted(kinds)[0]
    return None


def _ancestors(name: str) -> Iterator[str]:
    """`a.b.`, `a.`, `` for `a.b.c`."""
    while name:
        name = name.rpartition(".")[0]
        yield f"{name}." if name else ""


def _stem_prefix(trace: _Trace) -> str:
    """The outermost module around the first layer that contains less than half of all layers."""
    if not trace.order or trace.order[0] not in trace.spatial:  # a patch embedding is not a stem
        return ""
    first = trace.order[0].split(".")
    for depth in range(1, len(first)):
        prefix = ".".join(first[:depth])
        if 2 * sum(name.startswith(f"{prefix}.") for name in trace.order) < len(trace.order):
            return prefix
    return trace.order[0]


def _stride(shape, size_hw, channels_last: bool) -> int:
    """Stride of an output: exact for maps, the nearest power of two for tokens (window padding, class token)."""
    if len(shape) == 4 and shape[0] == 1:
        height = shape[1] if channels_last else shape[2]
        return round(size_hw[0] / height) if height > 1 else 0
    positions = math.prod(shape[:-1])
    return 2 ** round(math.log2(size_hw[0] * size_hw[1] / positions) / 2) if positions > 1 else 0


def _channels(module: nn.Module) -> tuple[int, int]:
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    return module.in_channels, module.out_channels


def _layer(module: nn.Module) -> str:
    if isinstance(module, nn.Linear):
        return "linear"
    height, width = module.kernel_size
    groups = f" in {module.groups} groups" if module.groups > 1 else ""
    return f"{height}x{width}{'' if max(module.stride) == 1 else f'/{max(module.stride)}'}{groups}"


def _unreachable(module: nn.Module, trace: _Trace) -> list[Site]:
    """Matrices and kernels that features depend on without a call of a listed module."""
    found = defaultdict(list)
    for name, value in module.named_parameters():
        owner, _, last = name.rpartition(".")
        if owner not in trace.shapes and value.ndim in (2, 4) and last.endswith("weight") and trace.stages[name]:
            found[owner].append((last, value))
    return [
        Site(
            owner if last == "weight" else f"{owner}.{last}",
            "unreachable",
            trace.stages[f"{owner}.{last}"],
            0,
            value.shape[1],
            value.shape[0],
            "weight read by a function",
        )
        for owner, values in found.items()
        for last, value in values
    ]


def _with_fits(site: Site, module: nn.Module) -> Site:
    fits, reasons = [], {}
    for kind, cls in ADAPTERS.module_dict.items():
        reason = _common_reason(site) or cls.unfit_reason(site, module.get_submodule(site.name))
        if reason:
            reasons[kind] = reason
        else:
            fits.append(kind)
    return replace(site, fits=tuple(fits), reasons=reasons)


def _common_reason(site: Site) -> str | None:
    if site.role == "unreachable":
        return "a function reads this weight; no module is called that an adapter could hook"
    if site.role == "gate":
        return "it works on pooled features; there is no map to adapt"
    if site.stage == 0:
        return "none of the requested features depends on it"
    return None
