"""Classifiers that read pooled features of images seen before: a teacher and a study of one body share them.

A classifier is a body, a pure function of its frozen tensors and the image, and a linear head. What the head is given
is stored under everything that the body computes with, so another head on the same body reads the same features, and a
body that was changed has another key. A network that is not of this form is left as it is, and the log says so.
"""

import copy
import re
import sys
from itertools import chain

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from ..errors import InputError
from ..weights.digest import fingerprint
from ..weights.feature_store import FeatureStore, StoredRows

# Python's names of objects hold their place in memory, which no two processes share.
WITHOUT_PLACE = re.compile(r" (object )?at 0x[0-9a-f]+")
# The number of classes is the head's; timm notes it down in several places.
_CLASSES = re.compile(r"'num_classes': \d+(, )?")
# Of a module's attributes, what nn.Module itself keeps there, and timm's records of where weights came from.
_NO_SETTING = {*vars(nn.Module()), "pretrained_cfg", "default_cfg"}


def linear_head(network: nn.Module, num_classes: int | None = None) -> str:
    """Name of the last linear layer of a network (with `num_classes` outputs, where given).

    Raises:
        InputError: there is none.
    """
    names = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear) and num_classes in (None, module.out_features)
    ]
    if not names:
        raise InputError(f"expected a classifier that ends in a linear layer, got {type(network).__name__} without.")
    return names[-1]


def read_pooled_from(network: nn.Module, store: FeatureStore) -> None:
    """Let a classifier read the input of its head for images that were seen before, and write that of others.

    It computes as before in training mode, where gradients are on, and with hooks below the head. Tensors and settings
    are looked at before each batch; only what is written through ``Tensor.data`` in place escapes. A deep copy reads
    nothing.

    Args:
        network: images (N, 3, H, W) -> logits (N, C), with its weights in it.
        store: where the features are.
    """
    try:
        head = linear_head(network)
    except InputError:
        head = ""
    if head:
        network.forward = _Reader(network, head, store)
    else:
        _say_left(network, "it has no linear layer behind others")


class _Unlike(Exception):
    """A network that is not a body and a linear head, and why."""


class _Reader:
    """Stands in place of a network's ``forward``."""

    def __init__(self, network: nn.Module, head: str, store: FeatureStore):
        self._network, self._head, self._store = network, head, store
        self._compute = network.forward
        self._seen, self._rows = None, None

    def __call__(self, *args, **kwargs):
        """Logits (N, C) of images (N, 3, H, W)."""
        if kwargs or len(args) != 1 or not self._may_read(args[0]):
            return self._compute(*args, **kwargs)
        logits = []

        def pooled_of(images: Tensor) -> tuple[Tensor]:
            pooled, found = self._computed(images)
            if self._wiring() != self._seen[0]:
                raise _Unlike("its settings change while it runs")
            logits.append(found)
            return (pooled,)

        try:
            (pooled,) = self._current_rows()(args[0], pooled_of)
        except _Unlike as why:
            self._store = None
            _say_left(self._network, str(why))
            return self._compute(*args)
        return logits[0] if logits else self._network.get_submodule(self._head)(pooled)

    def __deepcopy__(self, memo: dict):
        return copy.deepcopy(self._compute, memo)

    def _may_read(self, images) -> bool:
        if self._store is None or torch.is_grad_enabled() or not isinstance(images, Tensor) or not len(images):
            return False
        return not any(
            module.training or name not in ("", self._head) and (module._forward_hooks or module._forward_pre_hooks)
            for name, module in self._network.named_modules()
        ) and not any(tensor.is_inference() for tensor in self._body_tensors().values())

    def _computed(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(input of the head, logits), where reading the first gives the second bit for bit."""
        head, given = self._network.get_submodule(self._head), []
        hook = head.register_forward_pre_hook(lambda _, args: given.extend(args))
        try:
            logits = self._compute(images)
        finally:
            hook.remove()
        if len(given) == 1 and len(given[0]) == len(images) and isinstance(logits, Tensor):
            pooled = given[0].clone(memory_format=torch.contiguous_format)
            if torch.equal(head.forward(pooled.float().to(pooled.dtype)), logits):  # without the head's hooks
                return pooled, logits
        raise _Unlike(f"its logits are not what {self._head} gives for stored features")

    def _current_rows(self) -> StoredRows:
        """The stored results of the network as it is now."""
        wiring, tensors = self._wiring(), self._body_tensors()
        if self._seen is None or wiring != self._seen[0] or not _are_same(tensors, self._seen[1]):
            # The second view keeps the memory, so that no other tensor comes to lie there.
            held = {name: (tensor, tensor.detach(), tensor._version) for name, tensor in tensors.items()}
            self._seen = wiring, held
            self._rows = StoredRows(self._store, f"pooled features\n{wiring}{fingerprint(tensors).digest}")
        return self._rows

    def _body_tensors(self) -> dict[str, Tensor]:
        named = chain(self._network.named_parameters(), self._network.named_buffers())
        return {name: tensor for name, tensor in named if not name.startswith(f"{self._head}.")}

    def _wiring(self) -> str:
        """Types and settings of all modules but the head's, and the versions of the libraries they are from."""
        lines, libraries = [], set()
        for name, module in self._network.named_modules():
            kind, own = type(module), {} if name == self._head else vars(module)
            said = {key: own[key] for key in sorted(own.keys() - _NO_SETTING) if own[key] is not self}
            if any(isinstance(value, Tensor) for value in said.values()):
                raise _Unlike(f"{name} holds a tensor that is no parameter and no buffer")
            lines.append(f"{name} {kind.__module__}.{kind.__qualname__} {said}")
            libraries.add(kind.__module__.partition(".")[0])
        versions = [f"{name} {getattr(sys.modules.get(name), '__version__', None)}" for name in sorted(libraries)]
        return _CLASSES.sub("", WITHOUT_PLACE.sub("", "\n".join([*versions, *lines, ""])))


def _are_same(tensors: dict, held: dict) -> bool:
    return tensors.keys() == held.keys() and all(
        tensor is held[name][0] and tensor.data_ptr() == held[name][1].data_ptr() and tensor._version == held[name][2]
        for name, tensor in tensors.items()
    )


def _say_left(network: nn.Module, why: str) -> None:
    print_log(f"no feature cache for {type(network).__name__}: {why}", logger="current")
