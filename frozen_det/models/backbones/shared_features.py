"""One pass of a frozen backbone for several detectors: equal frozen tensors are stored once, equal inputs run once.

A frozen backbone is a pure function of (digest, images), so detectors with the same backbone can share its outputs. Two
wholly frozen backbones share their feature maps; if one of them has adapters or trained stages, only the modules before
these are shared. Tensors are compared by digest and inputs by value, and an output that a consumer changed in place is
computed again. Results are bit-identical to those without sharing.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ...host.torch_versions import autocast_dtype
from ...weights.digest import Fingerprint, canonical
from .bn_memory import lets_values_be


class LastResult:
    """The last input of a pure function, and its result.

    Attributes:
        computed, reused: number of calls that ran the function, and that returned the last result.
    """

    def __init__(self) -> None:
        self.computed = self.reused = 0
        self._changed_in_place = False
        self.forget()

    def forget(self) -> None:
        """Release the stored input and output."""
        self._state, self._given, self._found = None, None, ()

    def __call__(self, given: Tensor, compute: Callable[[Tensor], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """``compute(given)``, or the stored result if the input equals the last one."""
        state = _precision(given)
        if self._fits(given, state):
            self.reused += 1
        else:
            found = compute(given)
            self.computed += 1
            # Once a consumer has written into a result, every consumer gets a copy.
            kept = tuple(one.clone() for one in found) if self._changed_in_place else found
            self._state, self._given = state, (given, given._version)
            self._found = tuple((one, one._version) for one in kept)
            if not self._changed_in_place:
                return found
        return tuple(one.clone() if self._changed_in_place else one for one, _ in self._found)

    def _fits(self, given: Tensor, state) -> bool:
        if state != self._state:
            return False
        last, version = self._given
        if last._version != version or not (last is given or torch.equal(last, given)):
            return False
        if any(one._version != before for one, before in self._found):
            self._changed_in_place = True
            return False
        return True

    def __deepcopy__(self, memo: dict) -> "LastResult":
        return self


class Remembered:
    """Replaces a module's ``forward`` and reuses the last result for an equal input, unless the input needs grad."""

    def __init__(self, module: nn.Module, result: LastResult):
        self.module, self.result = module, result

    def __call__(self, *args, **kwargs):
        """The module's forward, or its last result."""
        own = type(self.module).forward
        if kwargs or len(args) != 1 or not isinstance(args[0], Tensor) or args[0].requires_grad:
            return own(self.module, *args, **kwargs)
        return self.result(args[0], lambda given: (own(self.module, given),))[0]


@dataclass(frozen=True)
class _Member:
    """A backbone that has joined: the key of its features if it is wholly frozen, and its frozen tensors by digest."""

    whole: tuple | None
    joined_as: Fingerprint


class SharedFeatures:
    """Frozen tensors and features shared by several :class:`.frozen_backbone.FrozenBackbone`.

    Set it as ``backbone.shared``. A backbone joins at its first forward after loading. Before it is loaded again or
    part of it becomes trainable, it leaves and gets its own copy of the tensors.
    """

    def __init__(self) -> None:
        self._tensors: dict[tuple, Tensor] = {}
        self._results: dict[tuple, LastResult] = {}
        self._members: WeakKeyDictionary = WeakKeyDictionary()

    @property
    def results(self) -> list[LastResult]:
        """The cached results, for counting."""
        return list(self._results.values())

    def forget(self) -> None:
        """Release the cached inputs and features; the frozen tensors stay shared."""
        for result in self._results.values():
            result.forget()

    def features(self, backbone, images: Tensor, compute: Callable[[Tensor], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """``compute(images)``, or a cached result.

        Args:
            backbone: the caller.
            images: (N, 3, H, W), normalised.
            compute: the caller's own forward; a pure function of the images if the backbone is wholly frozen.
        """
        if backbone not in self._members:
            self._join(backbone)
        whole = self._members[backbone].whole
        return compute(images) if whole is None else self._results[whole](images, compute)

    def leave(self, backbone) -> None:
        """Give a backbone its own copy of the tensors. Does nothing for one that has not joined."""
        if backbone not in self._members:
            return
        del self._members[backbone]
        for module in backbone.body.modules():
            if isinstance(vars(module).get("forward"), Remembered):
                del module.forward
        for name in backbone.frozen_tensors():
            _put(backbone.body, name, _get(backbone.body, name).detach().clone())

    def _join(self, backbone) -> None:
        now = backbone.frozen_fingerprint()
        for name, tensor in backbone.frozen_tensors().items():
            key = (backbone.architecture, name, now.tensors[canonical(name)], tensor.device)
            _put(backbone.body, name, self._tensors.setdefault(key, tensor.detach()))
        kind = _kind(backbone)
        whole = whole_function(backbone, now) if backbone.is_wholly_frozen else None
        if whole is not None:
            self._results.setdefault(whole, LastResult())
        self._members[backbone] = _Member(whole, now)
        alike = {one: member for one, member in self._members.items() if _kind(one) == kind}
        if whole is None or len({member.whole for member in alike.values()}) > 1:
            for one, member in alike.items():
                self._remember_modules(one, kind, member.joined_as.tensors)

    def _remember_modules(self, backbone, kind: tuple, digests: Mapping[str, str]) -> None:
        for name, module in _outermost_frozen(backbone):
            if "forward" not in vars(module):
                own = tuple(digests[canonical(f"{name}.{key}")] for key in module.state_dict())
                module.forward = Remembered(module, self._results.setdefault((*kind, name, own), LastResult()))

    def __deepcopy__(self, memo: dict) -> "SharedFeatures":
        return self


def whole_function(backbone, now: Fingerprint) -> tuple:
    """What the feature maps of a wholly frozen backbone follow from besides images and precision.

    Args:
        now: fingerprint of its frozen tensors.
    """
    return (*_kind(backbone), backbone.strides, now.digest)


def _kind(backbone) -> tuple:
    """Key that is equal for backbones whose modules of the same name compute the same from equal tensors."""
    return backbone.architecture, repr(sorted(backbone.body_cfg.items(), key=str)), repr(backbone.switches)


def _outermost_frozen(backbone) -> Iterator[tuple[str, nn.Module]]:
    """Outermost modules that depend on their input only: wholly frozen, with tensors, without hooks inside."""
    frozen = set(backbone.frozen_tensors())

    def below(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
        keys = [f"{name}.{key}" for key in module.state_dict()]
        # Libraries iterate over some of their containers without calling them.
        called = not isinstance(module, nn.Sequential | nn.ModuleList)
        if called and keys and frozen.issuperset(keys) and not module.training and not _is_hooked_inside(module):
            yield name, module
        else:
            for leaf, child in module.named_children():
                yield from below(f"{name}.{leaf}", child)

    for name, module in backbone.body.named_children():
        yield from below(name, module)


def _is_hooked_inside(module: nn.Module) -> bool:
    hooks = [
        hook
        for part in list(module.modules())[1:]
        for hook in (*part._forward_hooks.values(), *part._forward_pre_hooks.values())
    ]
    return not all(lets_values_be(hook) for hook in hooks)


def _get(body: nn.Module, name: str) -> Tensor:
    owner, _, leaf = name.rpartition(".")
    return getattr(body.get_submodule(owner), leaf)


def _put(body: nn.Module, name: str, tensor: Tensor) -> None:
    """Make an entry of the state dict use another tensor's memory; a parameter stays the same object."""
    owner, _, leaf = name.rpartition(".")
    module = body.get_submodule(owner)
    if leaf in module._parameters:
        module._parameters[leaf].data = tensor
    else:
        module._buffers[leaf] = tensor


def _precision(given: Tensor) -> tuple:
    """What a result depends on besides the input's values."""
    return given.shape, given.dtype, given.device, autocast_dtype(given.device.type)
