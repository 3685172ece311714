"""One pass of a frozen backbone for several detectors: equal frozen tensors are stored once, equal inputs run once.

A frozen backbone is a pure function of (digest, images), so detectors with the same backbone can share its outputs. Two
wholly frozen backbones share their feature maps; if one of them has adapters or trained stages, only the modules before
these are shared. Tensors are compared by digest and inputs by value, and an output that a consumer changed in place is
computed again. A result is held until its last consumer has it. Results are bit-identical to those without sharing.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary, WeakSet

import torch
from torch import Tensor, nn

from ...host.torch_versions import autocast_dtype
from ...weights.digest import Fingerprint, canonical
from .bn_memory import lets_values_be

# A module behind a trained one gets another input from each consumer, which shows only by none being reused: after so
# many in vain, one in so many results is held.
_IN_VAIN, _TRIED = 8, 7


class LastResult:
    """The last input of a pure function, and its result until all consumers have it.

    Args:
        expected: backbones that will be consumers, it is not known of which results; while there are any, all are held.

    Attributes:
        consumers: who asks for the result; what none but its first asker will ask for is not held.
        computed, reused: number of calls that ran the function, and that returned the last result.
    """

    def __init__(self, expected: Collection = ()) -> None:
        self.consumers: WeakSet = WeakSet()
        self._expected = expected
        self.computed = self.reused = 0
        self._in_vain = 0
        self._changed_in_place = False
        self.forget()

    def forget(self) -> None:
        """Release the stored input and output."""
        self._state, self._given, self._found, self._waiting = None, None, (), WeakSet()

    def __call__(self, consumer, given: Tensor, compute: Callable[[Tensor], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """``compute(given)``, or the stored result if the input equals the last one."""
        state = _precision(given)
        if self._fits(given, state):
            self.reused += 1
            self._in_vain = 0
            found = tuple(one for one, _ in self._found)
        else:
            found = compute(given)
            self.computed += 1
            self._in_vain += 1
            self._state, self._given = state, (given, given._version)
            self._found = tuple((one, one._version) for one in found)
            self._waiting = WeakSet(self.consumers)
        self._waiting.discard(consumer)
        held = self._waiting or self._expected
        if not held or (self._in_vain > _IN_VAIN and self.computed % _TRIED):
            self.forget()
        elif self._changed_in_place:  # once a consumer has written into a result, those before the last get copies
            found = tuple(one.clone() for one in found)
        return found

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

    def __init__(self, module: nn.Module, result: LastResult, consumer):
        self.module, self.result, self.consumer = module, result, consumer

    def __call__(self, *args, **kwargs):
        """The module's forward, or its last result."""
        own = type(self.module).forward
        if kwargs or len(args) != 1 or not isinstance(args[0], Tensor) or args[0].requires_grad:
            return own(self.module, *args, **kwargs)
        return self.result(self.consumer, args[0], lambda given: (own(self.module, given),))[0]


@dataclass(frozen=True)
class _Member:
    """A backbone that has joined: the key of its features if it is wholly frozen, and its frozen tensors by digest."""

    whole: tuple | None
    joined_as: Fingerprint


class SharedFeatures:
    """Frozen tensors and features shared by several :class:`.frozen_backbone.FrozenBackbone`.

    A backbone given to :meth:`expect` joins at its first forward after loading. Before it is loaded again or part of it
    becomes trainable, it leaves and gets its own copy of the tensors.
    """

    def __init__(self) -> None:
        self._tensors: dict[tuple, Tensor] = {}
        self._results: dict[tuple, LastResult] = {}
        self._members: WeakKeyDictionary = WeakKeyDictionary()
        self._expected: WeakSet = WeakSet()

    @property
    def results(self) -> list[LastResult]:
        """The cached results, for counting."""
        return list(self._results.values())

    def forget(self) -> None:
        """Release the cached inputs and features; the frozen tensors stay shared."""
        for result in self._results.values():
            result.forget()

    def expect(self, backbone) -> None:
        """Announce a backbone: it joins by itself, and until then results are held for it."""
        backbone.shared = self
        self._expected.add(backbone)

    def features(self, backbone, images: Tensor, compute: Callable[[Tensor], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """``compute(images)``, or a cached result.

        Args:
            backbone: the caller.
            images: (N, 3, H, W), normalised.
            compute: the caller's own forward; a pure function of the images if the backbone is wholly frozen.
        """
        if backbone not in self._members:
            self.join(backbone, backbone.frozen_fingerprint())
        whole = self._members[backbone].whole
        return compute(images) if whole is None else self._results[whole](backbone, images, compute)

    def fingerprint_of(self, backbone) -> Fingerprint:
        """That of the frozen tensors of a backbone that has joined."""
        return self._members[backbone].joined_as

    def leave(self, backbone) -> None:
        """Give a backbone its own copy of the tensors, if it has joined."""
        _run_modules(backbone)
        if backbone not in self._members:
            return
        del self._members[backbone]
        for result in self._results.values():
            result.consumers.discard(backbone)
        self._results = {key: one for key, one in self._results.items() if one.consumers}
        for name in backbone.frozen_tensors():
            _put(backbone.body, name, _get(backbone.body, name).detach().clone())
        if not self._members:
            self._tensors.clear()

    def join(self, backbone, now: Fingerprint) -> None:
        """Let a backbone share from here on; `now` is its ``frozen_fingerprint()``."""
        _run_modules(backbone)
        backbone.shared = self
        self._expected.discard(backbone)
        for name, tensor in backbone.frozen_tensors().items():
            key = (backbone.architecture, name, now.tensors[canonical(name)], tensor.device)
            _put(backbone.body, name, self._tensors.setdefault(key, tensor.detach()))
        kind = _kind(backbone)
        whole = whole_function(backbone, now) if backbone.is_wholly_frozen else None
        if whole is not None:
            self._result(whole).consumers.add(backbone)
        self._members[backbone] = _Member(whole, now)
        alike = {one: member for one, member in self._members.items() if _kind(one) == kind}
        if whole is None or len({member.whole for member in alike.values()}) > 1:
            for one, member in alike.items():
                self._remember_modules(one, kind, member)

    def _result(self, key: tuple) -> LastResult:
        if key not in self._results:
            self._results[key] = LastResult(self._expected)
        return self._results[key]

    def _remember_modules(self, backbone, kind: tuple, member: _Member) -> None:
        # Backbones that share the whole pass run their modules once for all of them.
        consumer = backbone if member.whole is None else self._results[member.whole]
        for name, module in _outermost_frozen(backbone):
            if "forward" not in vars(module):
                own = tuple(member.joined_as.tensors[canonical(f"{name}.{key}")] for key in module.state_dict())
                result = self._result((*kind, name, own))
                result.consumers.add(consumer)
                module.forward = Remembered(module, result, consumer)

    def __deepcopy__(self, memo: dict) -> "SharedFeatures":
        return self


def stand_alone(backbone):
    """Make a backbone, or a copy of one, share nothing; its frozen tensors are copied. Returns it."""
    if backbone.shared is not None:
        backbone.shared.leave(backbone)
    backbone.shared = None
    return backbone


def whole_function(backbone, now: Fingerprint) -> tuple:
    """What the feature maps of a wholly frozen backbone follow from besides images and precision.

    Args:
        now: fingerprint of its frozen tensors.
    """
    return (*_kind(backbone), backbone.strides, now.digest)


def _run_modules(backbone) -> None:
    """Take out what replaces the modules' forward, also in a copy of a backbone that has joined."""
    for module in backbone.body.modules():
        if isinstance(vars(module).get("forward"), Remembered):
            del module.forward


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
