"""`frozen_det.Lamb` (timm's) and `frozen_det.DecayGroups`: optimisers as the ResNet-strikes-back recipes use them.

Lamb clips the gradients' global norm itself; a second clip by the wrapper is refused.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatch

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from ...errors import InputError
from ...registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIMIZERS
from .parameter_groups import group_table


@OPTIMIZERS.register_module()
def Lamb(
    params,
    lr: float = 1e-3,
    betas: Sequence[float] = (0.9, 0.999),
    eps: float = 1e-6,  # noqa: N802
    weight_decay: float = 0.01,
    bias_correction: bool = True,
    grad_averaging: bool = True,
    max_grad_norm: float | None = 1.0,
    trust_clip: bool = False,
    always_adapt: bool = False,
):
    """timm's LAMB (You et al., arXiv 1904.00962, in NVIDIA's form), the optimiser of RSB A1 to A3.

    Args:
        params: parameters or groups of them.
        lr, betas, eps, weight_decay, bias_correction, grad_averaging, trust_clip, always_adapt: as in timm.
        max_grad_norm: the global norm that gradients are clipped to before the step, after mixed precision's scale is
            taken out of them; None for no clip. Parameters without decay take the plain step (ratio 1).
    """
    from timm.optim import Lamb as TimmLamb

    return TimmLamb(
        params,
        lr=lr,
        betas=tuple(betas),
        eps=eps,
        weight_decay=weight_decay,
        bias_correction=bias_correction,
        grad_averaging=grad_averaging,
        max_grad_norm=max_grad_norm,
        trust_clip=trust_clip,
        always_adapt=always_adapt,
    )


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DecayGroups(DefaultOptimWrapperConstructor):
    """Two parameter groups: weight decay on matrices and kernels, none on what has one dimension (norms, biases).

    Args:
        optim_wrapper_cfg: ``dict(type='OptimWrapper', optimizer=dict(type='frozen_det.Lamb', lr=5e-3, ...), ...)``.
        paramwise_cfg: ``dict(no_decay=[patterns])``: names (shell patterns) that get no decay either. Names that the
            network itself states (timm: position embeddings, class tokens) are added.

    Raises:
        InputError: Lamb's own clip and ``clip_grad`` together, another option, or a pattern that fits nothing.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: Mapping | None = None):
        paramwise_cfg = dict(paramwise_cfg or {})
        if set(paramwise_cfg) - {"no_decay"}:
            raise InputError(
                "expected only `no_decay` in optim_wrapper.paramwise_cfg with constructor="
                f"'frozen_det.DecayGroups', got {sorted(paramwise_cfg)}. Leave `constructor` out for "
                "mmengine's own options."
            )
        refuse_second_clip(optim_wrapper_cfg)
        # The host builds groups only if these options are not empty.
        super().__init__(optim_wrapper_cfg, {"no_decay": list(paramwise_cfg.get("no_decay") or [])})

    def add_params(self, params: list, module: nn.Module, **kwargs) -> None:
        """Append both groups (called once by the host, with the whole model)."""
        patterns = self.paramwise_cfg["no_decay"]
        decay, plain = decay_split(module, patterns)
        if not decay and not plain:
            raise InputError("expected a model with something to train, but no parameter has requires_grad.")
        for role, group, weight_decay in (("decay", decay, self.base_wd), ("no decay", plain, 0.0)):
            if group:
                options = {} if weight_decay is None else {"weight_decay": weight_decay}
                params.append({"params": list(group.values()), "role": role, **options})
        frozen = sum(p.numel() for p in module.parameters() if not p.requires_grad)
        print_log(group_table(params, self.base_lr, self.base_wd, frozen), logger="current")


def decay_split(model: nn.Module, patterns: Sequence[str] = ()) -> tuple[dict, dict]:
    """(parameters with decay, parameters without) by name, of those that train.

    Args:
        model: any model; wrappers are looked through.
        patterns: shell patterns of names to leave without decay.

    Raises:
        InputError: a pattern that fits no trained parameter.
    """
    stated = {
        f"{prefix}.{name}" if prefix else name
        for prefix, part in model.named_modules()
        if callable(getattr(part, "no_weight_decay", None))
        for name in part.no_weight_decay()
    }
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in trained):
            raise InputError(
                f"optim_wrapper.paramwise_cfg.no_decay has {pattern!r}, which fits no parameter that "
                f"trains; the first of {len(trained)} are {list(trained)[:3]}."
            )
    plain = {
        name: value
        for name, value in trained.items()
        if value.ndim <= 1
        or name.endswith(".bias")
        or name in stated
        or any(fnmatch(name, pattern) for pattern in patterns)
    }
    return {name: value for name, value in trained.items() if name not in plain}, plain


def refuse_second_clip(optim_wrapper_cfg: Mapping) -> None:
    """Raise where gradients would be clipped twice: by Lamb and by the wrapper.

    Raises:
        InputError: they would.
    """
    optimizer = optim_wrapper_cfg.get("optimizer") or {}
    own = optimizer.get("max_grad_norm", 1.0)
    if optimizer.get("type") == "frozen_det.Lamb" and own is not None and optim_wrapper_cfg.get("clip_grad"):
        raise InputError(
            f"expected one clip of the gradients, got two: frozen_det.Lamb clips their global norm to "
            f"{own} itself, and optim_wrapper.clip_grad={dict(optim_wrapper_cfg['clip_grad'])} would clip "
            "them before. Remove clip_grad, or set optim_wrapper.optimizer.max_grad_norm=None."
        )
