"""A checkpoint into a whole model: every tensor of it and nothing else, or an error that counts what does not fit.

For testing, resuming and prediction (:func:`load_whole`); where training begins from other weights on purpose,
:func:`load_part` takes what fits and says in one line what came in, what is new and what was left.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import InputError
from .key_fitting import may_lack
from .loading import state_dict_of
from .tensor_checks import few, refuse_impossible, refuse_unreadable


@dataclass(frozen=True)
class Fit:
    """How a checkpoint's tensors met a model.

    Attributes:
        wanted: number of entries of the model's state dict.
        given: number of tensors in the checkpoint.
        missing: entries of the model that it lacks.
        unexpected: its tensors that the model has no place for.
        reshaped: of both, in another shape: the name and both shapes, as text.
    """

    wanted: int
    given: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]

    def __str__(self):
        parts = [
            f"{len(names)} {what} ({few(names)})"
            for names, what in (
                (self.missing, "missing"),
                (self.unexpected, "unexpected"),
                (self.reshaped, "of another shape"),
            )
            if names
        ]
        return f"of {self.wanted} tensors of the model: {', '.join(parts)}"


def with_state_dict(checkpoint, where: str) -> None:
    """Put a checkpoint's tensors where the host looks for them, whatever the file calls them, in place.

    Args:
        checkpoint: what :func:`.loading.read` gave.
        where: the file, for messages.

    Raises:
        InputError: no dictionary, or no tensors in it.
    """
    if not isinstance(checkpoint, dict):
        raise InputError(
            f"expected a dictionary with the entry `state_dict` in {where}, got {type(checkpoint).__name__}."
        )
    if not isinstance(checkpoint.get("state_dict"), dict):
        checkpoint["state_dict"] = state_dict_of(checkpoint, where)


def load_whole(model, checkpoint, where: str, counts_may_lack: bool = True) -> None:
    """Fill a model from a checkpoint of it.

    Args:
        model: any module; a frozen backbone attaches its base where the checkpoint is lean.
        checkpoint: what :func:`.loading.read` gave.
        where: the file, for messages.
        counts_may_lack: whether what a loss counts for itself (Seesaw, EQLv2) may be missing or left over: testing
            does not need it, resuming does.

    Raises:
        InputError: a tensor is missing, left over, of another shape, or cannot be right.
    """
    fit = _load(model, _weights_of(checkpoint, where), where)
    skipped = (lambda name: may_lack(name) or ".loss_cls." in name) if counts_may_lack else may_lack
    missing, unexpected = ([name for name in names if not skipped(name)] for names in (fit.missing, fit.unexpected))
    if missing or unexpected or fit.reshaped:
        strict = Fit(fit.wanted, fit.given, tuple(missing), tuple(unexpected), fit.reshaped)
        raise InputError(
            f"{where} does not fit the model of the config, {strict}. Give a checkpoint that this config "
            "trained, or the config that trained this checkpoint."
        )


def load_part(model, checkpoint, where: str) -> str:
    """Fill what fits of a model that is trained further, and say what did.

    Args:
        model, checkpoint, where: as of :func:`load_whole`.

    Returns:
        one line for the log.

    Raises:
        InputError: nothing fits, or tensors that cannot be right.
    """
    fit = _load(model, _weights_of(checkpoint, where), where)
    used = fit.given - len(fit.unexpected) - len(fit.reshaped)
    if used <= 0:
        raise InputError(
            f"expected weights for this model in {where} (load_from), but none of its {fit.given} tensors "
            f"fits: {fit}. The weights of a backbone belong to model.backbone.weights."
        )
    new = [name for name in fit.missing if not may_lack(name)]
    left = [*fit.unexpected, *fit.reshaped]
    line = f"initial weights from {where}: {used} tensors loaded"
    line += f"; {len(new) + len(fit.reshaped)} of the model are new" if new or fit.reshaped else "; nothing is new"
    line += f" ({few(new)})" if new else ""
    line += f"; {len(left)} of the file left out ({few(left)})" if left else "; nothing is left out"
    return line + (f", {len(fit.reshaped)} of them of another shape" if fit.reshaped else "")


def _weights_of(checkpoint, where: str) -> OrderedDict:
    """The checkpoint's state dict with its version marks, without the `module.` of wrappers."""
    given = checkpoint.get("state_dict") if isinstance(checkpoint, Mapping) else None
    if not isinstance(given, Mapping):
        given = state_dict_of(checkpoint, where)
    wrapped = bool(given) and all(str(name).startswith("module.") for name in given)
    found = OrderedDict(
        (str(name).removeprefix("module.") if wrapped else str(name), value) for name, value in given.items()
    )
    if hasattr(given, "_metadata"):
        found._metadata = given._metadata
    if not found:
        raise InputError(f"expected tensors in the entry `state_dict` of {where}, got none.")
    return found


def _load(model, state: OrderedDict, where: str) -> Fit:
    """Let every module take its part, as torch and mmengine do, and count what did not fit."""
    import torch

    strange = [name for name, value in state.items() if not isinstance(value, torch.Tensor)]
    if strange:
        raise InputError(
            f"expected tensors in the entry `state_dict` of {where}, got {len(strange)} other objects: {few(strange)}."
        )
    refuse_unreadable(state, where)
    whole = unwrapped(model)
    own = whole.state_dict()
    refuse_impossible(state, {name: own.get(name, value) for name, value in state.items()}, where, body=False)
    missing, unexpected, errors = [], [], []
    versions = getattr(state, "_metadata", None) or {}

    def visit(module, part: dict, prefix: str) -> None:
        module._load_from_state_dict(part, prefix, versions.get(prefix[:-1], {}), True, missing, unexpected, errors)
        for name, child in module._modules.items():
            if child is not None:
                inner = f"{prefix}{name}."
                visit(child, {key: value for key, value in part.items() if key.startswith(inner)}, inner)

    visit(whole, OrderedDict(state), "")
    return Fit(
        len(own),
        len(state),
        tuple(dict.fromkeys(missing)),
        tuple(dict.fromkeys(unexpected)),
        tuple(_in_words(str(error)) for error in errors),
    )


def _in_words(error: str) -> str:
    """torch's sentence about one tensor, short."""
    found = re.match(r"size mismatch for (\S+): .*?\[(.*?)\].*?\[(.*?)\]", error)
    if found is None:
        return " ".join(error.split())[:200]
    return f"{found[1]}: ({found[2]}) in the file, ({found[3]}) in the model"


def unwrapped(model):
    """The model inside wrappers for several processes and for test-time augmentation."""
    from mmengine.model import BaseTTAModel, is_model_wrapper

    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model
