"""What a frozen backbone's features depend on besides its state dict: settings, tables, replaced code, hooks.

A digest of the state dict covers neither the epsilon of a norm nor a non-persistent index table of window attention. A
:class:`BodyRecord` is taken when a network is built, and compared by name later. Tables whose shape follows
the image (attention masks, position grids) may change shape, but not their values at the same shape.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...weights.digest import fingerprint
from .shared_features import Remembered

_OWN = re.compile(r"^_|^training$|size|shape|resolution|grid|cache|height|width|^[HW]$")
_PLAIN = (int, float, bool, str, type(None), torch.dtype)
_HOOKS = {"_forward_hooks": "forward hook", "_forward_pre_hooks": "forward pre-hook"}


@dataclass(frozen=True)
class BodyRecord:
    """Settings, tables and hooks of a set of modules, by name.

    Attributes:
        settings: ``module.attribute`` -> value as text: hyper-parameters, the module's class, a replaced ``forward``.
        tables: name -> (shape and dtype as text, SHA-256) of tensors outside the state dict.
        hooks: names of forward hooks and pre-hooks.
    """

    settings: Mapping[str, str]
    tables: Mapping[str, tuple[str, str]]
    hooks: frozenset[str]

    def changed(self, now: "BodyRecord") -> str | None:
        """Description of the first setting or table that differs, or None. Modules missing in `now` (they train by
        then) are ignored."""
        for name in sorted(now.settings):
            if name in self.settings and now.settings[name] != self.settings[name]:
                return f"{name} was {self.settings[name]}, is {now.settings[name]}"
            if name.rpartition(".")[2] == "forward" and name not in self.settings:
                return f"{name} was replaced by {now.settings[name]}"
        for name in sorted(now.tables):
            before = self.tables.get(name)
            if before is not None and before[0] == now.tables[name][0] and before[1] != now.tables[name][1]:
                return f"the table {name}, which is not in the state dict, has other values"
        return None

    def new_hooks(self, now: "BodyRecord") -> list[str]:
        """Forward hooks of `now` that this record does not have."""
        return sorted(now.hooks - self.hooks)


def body_record(root: nn.Module, names=None, holder: nn.Module | None = None) -> BodyRecord:
    """Record modules of a network.

    Args:
        root: the network.
        names: of the modules to record, ``""`` for `root` itself; None for all.
        holder: the module that calls `root`; its hooks and a replaced forward are recorded as well.
    """
    settings: dict[str, str] = {}
    tables: dict[str, tuple[str, str]] = {}
    hooks: set[str] = set()
    for name, module in root.named_modules():
        if names is not None and name not in names:
            continue
        prefix = f"{name}." if name else ""
        settings.update((prefix + key, text) for key, text in _settings(module))
        tables.update((prefix + key, _mark(value)) for key, value in _tables(module))
        for where, kind in _HOOKS.items():
            hooks.update(f"{kind} {_code(hook)} on {name or 'the model'}" for hook in getattr(module, where).values())
    if holder is not None:
        hooks.update(
            f"{kind} {_code(hook)} on the backbone"
            for where, kind in _HOOKS.items()
            for hook in getattr(holder, where).values()
        )
        if "forward" in vars(holder):
            settings["backbone.forward"] = _code(holder.forward)
    return BodyRecord(settings, tables, frozenset(hooks))


def _settings(module: nn.Module) -> Iterator[tuple[str, str]]:
    yield "class", f"{type(module).__module__}.{type(module).__qualname__}"
    for key, value in vars(module).items():
        if key == "forward":
            if not isinstance(value, Remembered):  # the module's own forward, with its last result cached
                yield key, _code(value)
        elif not _OWN.search(key) and _is_plain(value):
            yield key, repr(value)


def _is_plain(value) -> bool:
    return isinstance(value, _PLAIN) or (isinstance(value, tuple | list) and all(_is_plain(one) for one in value))


def _tables(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Tensors outside the state dict: non-persistent buffers and plain attributes."""
    for key in sorted(module._non_persistent_buffers_set):
        if module._buffers.get(key) is not None:
            yield key, module._buffers[key]
    for key, value in vars(module).items():
        if isinstance(value, Tensor):
            yield key, value


def _mark(value: Tensor) -> tuple[str, str]:
    kind = f"{tuple(value.shape)} {value.dtype}"
    return (kind, "") if value.is_meta else (kind, fingerprint({"": value}).digest)


def _code(value) -> str:
    """A function by its qualified name, another object by its class."""
    code = getattr(value, "__qualname__", None)
    return f"{value.__module__}.{code}" if code else type(value).__qualname__
