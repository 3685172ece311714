"""`frozen_det.RoleParameterGroups`: one optimiser group per role, its settings in one table at the start.

Roles: `adapters`, `backbone` (what of the backbone trains), `neck`, `heads` (everything else), and, where it is asked
for, `norms` (norm layers of any part except adapters). A role that is named but has nothing to train is an error:
a learning rate for nothing is a mistake somewhere else.
"""

import inspect
from collections.abc import Mapping

from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from ...errors import InputError, closest
from ...models.layers.norms import NORMS
from ...registry import OPTIM_WRAPPER_CONSTRUCTORS

ROLES = ("adapters", "norms", "backbone", "neck", "heads")


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class RoleParameterGroups(DefaultOptimWrapperConstructor):
    """Optimiser wrapper constructor.

    Args:
        optim_wrapper_cfg: ``dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, ...), ...)``.
        paramwise_cfg: ``dict(roles=dict(adapters=dict(lr_mult=1.0, weight_decay=1e-4), norms=dict(decay_mult=0)))``.
            A role's settings: `lr_mult` or `lr`, `decay_mult` or `weight_decay`, and any group option of the
            optimiser. Roles not named train with the optimiser's own settings.

    Raises:
        InputError: an unknown or empty role, an unknown setting, or nothing to train at all.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None):
        paramwise_cfg = dict(paramwise_cfg or {})
        unknown = set(paramwise_cfg) - {"roles"}
        if unknown:
            raise InputError(
                "expected only `roles` in optim_wrapper.paramwise_cfg with constructor="
                f"'frozen_det.RoleParameterGroups', got {sorted(unknown)}. Leave `constructor` out for "
                "mmengine's own options."
            )
        roles = dict(paramwise_cfg.get("roles") or {})
        for name in roles:
            if name not in ROLES:
                raise InputError(
                    f"expected roles among {ROLES} in optim_wrapper.paramwise_cfg.roles, got {name!r}; "
                    f"{closest(name, ROLES)}"
                )
        # The host builds groups only if these options are not empty.
        super().__init__(optim_wrapper_cfg, {"roles": roles})

    def add_params(self, params: list, module: nn.Module, **kwargs) -> None:
        """Append one group per role that has something to train (called once by the host, with the whole model)."""
        settings = self.paramwise_cfg["roles"]
        roles = parameter_roles(module, norms_apart="norms" in settings)
        if not roles:
            raise InputError(
                "expected a model with something to train, but no parameter has requires_grad. Look at "
                "model.backbone.freeze and whether the model has a neck and heads."
            )
        for role in settings:
            if role not in roles:
                raise InputError(
                    f"optim_wrapper.paramwise_cfg.roles has settings for {role!r}, but no parameter of "
                    f"that role trains; those that do: {sorted(roles)}. Take the role out, or let it "
                    "train (adapters: model.backbone.adapters; norms: adapters.train_norms; backbone: "
                    "model.backbone.freeze)."
                )
        for role in ROLES:
            if role in roles:
                params.append(
                    {"params": list(roles[role].values()), "role": role, **self._options(role, settings.get(role, {}))}
                )
        print_log(group_table(params, self.base_lr, self.base_wd, _frozen_count(module)), logger="current")

    def _options(self, role: str, settings: Mapping) -> dict:
        """Group options of a role, multipliers worked out."""
        settings, options = dict(settings), {}
        where = f"optim_wrapper.paramwise_cfg.roles.{role}"
        for key, factor, base in (("lr", "lr_mult", self.base_lr), ("weight_decay", "decay_mult", self.base_wd)):
            if key in settings and factor in settings:
                raise InputError(f"expected one of {key} and {factor} in {where}, got both. Keep one.")
            if factor in settings:
                if base is None:
                    raise InputError(
                        f"{where}.{factor} multiplies optim_wrapper.optimizer.{key}, which is not given. "
                        f"Give it, or write {where}.{key}."
                    )
                options[key] = base * settings.pop(factor)
        known = _group_options(self.optimizer_cfg["type"])
        for key in settings:
            if known is not None and key not in known:
                raise InputError(
                    f"{where} has no setting {key!r}; "
                    f"{closest(key, [*known, 'lr_mult', 'decay_mult'])} It takes "
                    f"{['lr_mult', 'decay_mult', *known]}."
                )
        return {**options, **settings}


def parameter_roles(model: nn.Module, norms_apart: bool = False) -> dict[str, dict[str, nn.Parameter]]:
    """Trainable parameters by role, each once, in the model's order.

    Args:
        model: a detector or classifier; wrappers are looked through.
        norms_apart: whether norm layers (outside adapters) form a role of their own.

    Returns:
        role -> {name: parameter}; only roles that have something.
    """
    bodies = [name for name, part in model.named_modules() if hasattr(part, "frozen_tensors")]
    norms = {f"{name}." for name, part in model.named_modules() if isinstance(part, NORMS)} if norms_apart else ()
    found: dict[str, dict] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            role = _role(name, bodies)
            if role != "adapters" and f"{name.rpartition('.')[0]}." in norms:
                role = "norms"
            found.setdefault(role, {})[name] = parameter
    return found


def group_table(groups: list[dict], base_lr, base_decay, frozen: int = 0) -> str:
    """The groups as text: role, tensors, parameters, learning rate, decay."""
    lines = [f"{'role':<12}{'tensors':>9}{'parameters':>13}{'lr':>12}{'decay':>12}"]
    for group in groups:
        count = sum(parameter.numel() for parameter in group["params"])
        lr, decay = group.get("lr", base_lr), group.get("weight_decay", base_decay)
        others = {k: v for k, v in group.items() if k not in ("params", "role", "lr", "weight_decay")}
        lines.append(
            f"{group['role']:<12}{len(group['params']):>9}{count:>13,}{_number(lr):>12}{_number(decay):>12}"
            + "".join(f"  {k}={v}" for k, v in others.items())
        )
    lines.append(f"{'frozen':<12}{'':>9}{frozen:>13,}{'-':>12}{'-':>12}")
    return "parameter groups\n" + "\n".join(lines)


def _role(name: str, bodies: list[str]) -> str:
    for body in bodies:
        prefix = f"{body}." if body else ""
        if name.startswith(f"{prefix}adapters."):
            return "adapters"
        if name.startswith(f"{prefix}body."):
            return "backbone"
    parts = name.split(".")
    if parts[0] == "module":  # a wrapper's
        parts = parts[1:]
    return parts[0] if parts[0] in ("backbone", "neck") else "heads"


def _group_options(optimizer_type) -> list[str] | None:
    """Names an optimiser takes per group, None if they cannot be known."""
    from mmengine.registry import OPTIMIZERS

    cls = OPTIMIZERS.get(optimizer_type) if isinstance(optimizer_type, str) else optimizer_type
    parameters = inspect.signature(cls).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    return list(parameters)[1:]


def _frozen_count(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if not p.requires_grad)


def _number(value) -> str:
    return "-" if value is None else f"{value:.4g}"
