"""Which parameters get no gradient and which modules stay in eval mode. A pattern that matches nothing is an error.

Frozen means both ``requires_grad=False`` and ``.eval()``: the authors' ``backbone.trainable = False`` (Vasconcelos et
al., CVPR 2022, released code) also fixes the norm statistics, because Keras runs an untrainable BatchNorm in inference
mode. In PyTorch, ``requires_grad=False`` alone lets the running statistics drift.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import nn

from ...errors import InputError, closest
from ..backbone_sources.base import PROBE_SIZE_HW, FeatureModule
from ..layers.norms import NORMS

#: Stands in a list of name patterns for all normalisation layers.
ALL_NORMS = "norms"


@dataclass(frozen=True)
class FrozenPart:
    """The frozen part of a network.

    Attributes:
        parameters: names of the parameters without gradient.
        modules: names of the outermost modules that stay in eval mode ('' is the whole network).
        trained: names of modules inside these that train anyway (norms that train with adapters).
    """

    parameters: frozenset[str]
    modules: tuple[str, ...]
    trained: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether the whole network is frozen, so that its forward pass needs no autograd."""
        return "" in self.modules and not self.trained

    def covers(self, name: str) -> bool:
        """Whether a state-dict entry (parameter or buffer) belongs to the frozen part."""
        if any(name.startswith(module + ".") for module in self.trained):
            return False
        return name in self.parameters or any(module == "" or name.startswith(module + ".") for module in self.modules)

    def holds(self, name: str) -> bool:
        """Whether a module belongs to the part that stays in eval mode."""
        inside = any(module in ("", name) or name.startswith(module + ".") for module in self.modules)
        return inside and not any(name == one or name.startswith(one + ".") for one in self.trained)

    def training(self, names: Sequence[str]) -> "FrozenPart":
        """This part without the modules `names`, even if the modules around them stay frozen."""
        trained = (*self.trained, *names)
        kept = (p for p in self.parameters if not any(p.startswith(f"{name}.") for name in trained))
        return FrozenPart(frozenset(kept), self.modules, trained)

    def without(self, module: nn.Module, what) -> "FrozenPart":
        """This part of `module` without the parameters selected by `what` (True for all, or patterns).

        Raises:
            InputError: a pattern matches no parameter, or no match is frozen.
        """
        names = [name for name, _ in module.named_parameters()]
        chosen = set(names) if what is True else _matching(module, what, "the patterns to unfreeze")
        kept = self.parameters - chosen
        if kept == self.parameters:
            raise InputError(f"expected frozen parameters to unfreeze, but all matches of {what!r} train already.")
        held = kept | {n for n in names if any(n.startswith(f"{t}.") for t in self.trained)} if kept else kept
        bare = [] if what is True or ALL_NORMS in what else [n for n in self.modules if n in _bare_norms(module)]
        return FrozenPart(kept, (*_eval_modules(module, held), *bare), self.trained if kept else ())


def frozen_part(module: nn.Module, extract: Callable, num_features: int, freeze) -> FrozenPart:
    """Resolve `freeze` to the frozen part of a network.

    Args:
        module: the network.
        extract: ``extract(module, images) -> features``.
        num_features: number of features (stages).
        freeze: True (all), False (nothing), a number of stages (everything the first n features depend on; 0 is
            nothing), or a list of parameter or module names, where `*` and `?` match any text, and "norms" is all
            normalisation layers, whatever their names.

    Raises:
        InputError: a pattern that matches nothing, or a number of stages the network does not have.
    """
    names = [name for name, _ in module.named_parameters()]
    if freeze is True:
        chosen = set(names)
        if not chosen:
            raise InputError("expected a backbone with parameters to freeze (model.backbone.freeze=True), got none.")
    elif freeze is False or freeze == 0:
        return FrozenPart(frozenset(), ())
    elif isinstance(freeze, int):
        if not 1 <= freeze <= num_features:
            raise InputError(
                f"expected model.backbone.freeze as a number of stages from 0 to {num_features}, got "
                f"{freeze}. True freezes everything."
            )
        chosen = _needed_by_first(module, extract, freeze)
    elif isinstance(freeze, Sequence) and not isinstance(freeze, str):
        chosen = _matching(module, freeze)
    else:
        raise InputError(
            f"expected model.backbone.freeze as True, False, a number of stages or a list of name "
            f"patterns, got {freeze!r}."
        )
    bare = _bare_norms(module) if isinstance(freeze, Sequence) and ALL_NORMS in freeze else []
    return FrozenPart(frozenset(chosen), (*_eval_modules(module, chosen), *bare))


def _matching(module: nn.Module, patterns: Sequence[str], where: str = "model.backbone.freeze") -> set[str]:
    names = [name for name, _ in module.named_parameters()]
    chosen = set()
    for pattern in patterns:
        found = {n for n in names if fnmatchcase(n, pattern) or fnmatchcase(n, f"{pattern}.*")}
        if pattern == ALL_NORMS:
            found |= {
                f"{n}.{own}"
                for n, m in module.named_modules()
                if isinstance(m, NORMS)
                for own in dict(m.named_parameters())
            }
        if not found:
            parts = {".".join(n.split(".")[:depth]) for n in names for depth in (1, 2, 3)}
            raise InputError(
                f"the pattern {pattern!r} in {where} matches no parameter of the backbone; "
                f"{closest(pattern.strip('.*'), parts) or f'its names begin like {sorted(parts)[:6]}'}"
            )
        chosen |= found
    return chosen


def _bare_norms(module: nn.Module) -> list[str]:
    """Norms without parameters, whose statistics move all the same."""
    return [name for name, one in module.named_modules() if isinstance(one, NORMS) and not list(one.parameters())]


def _needed_by_first(module: nn.Module, extract: Callable, count: int) -> set[str]:
    """Parameters that the first `count` features depend on, found by autograd on meta tensors, for any stage naming."""
    was_training = module.training
    module.eval()
    tensors = {
        f"body.{n}": torch.empty_like(t, device="meta")
        for n, t in [*module.named_parameters(), *module.named_buffers()]
    }
    parameters = {n: tensors[f"body.{n}"].requires_grad_() for n, _ in module.named_parameters()}
    features = torch.func.functional_call(
        FeatureModule(module, extract), tensors, (torch.zeros(1, 3, *PROBE_SIZE_HW, device="meta"),)
    )
    module.train(was_training)
    total = sum(feature.sum() for feature in list(features)[:count])
    grads = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
    return {name for name, grad in zip(parameters, grads) if grad is not None}


def _eval_modules(module: nn.Module, chosen: set[str]) -> list[str]:
    """Outermost modules that have parameters, all of them chosen."""
    held = []

    def visit(prefix: str, part: nn.Module):
        own = [f"{prefix}.{n}" if prefix else n for n, _ in part.named_parameters()]
        if own and all(n in chosen for n in own):
            held.append(prefix)
            return
        for name, child in part.named_children():
            visit(f"{prefix}.{name}" if prefix else name, child)

    visit("", module)
    return held


def set_norm_momentum(body: nn.Module, momentum: float | None) -> None:
    """Set the momentum of every BatchNorm in `body`; None keeps the library's.

    Raises:
        InputError: there is no BatchNorm, or the momentum is outside (0, 1].
    """
    if momentum is None:
        return
    norms = [module for module in body.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms or not 0.0 < momentum <= 1.0:
        raise InputError(
            f"expected model.backbone.norm_momentum in (0, 1] for a backbone with batch norms, got {momentum} "
            f"for one with {len(norms)}. Leave it out to keep the library's."
        )
    for norm in norms:
        norm.momentum = momentum
