"""Lean checkpoints to full ones and back: the same training state with or without the frozen base.

Only the backbone is built for this, neither heads nor data; everything else in the file is carried over untouched.
"""

from torch import nn

from ..errors import InputError
from ..fingerprint import canonical
from .lean_checkpoint import FORMAT_VERSION, make_lean

BASE_DIGEST = "base_digest"


def is_lean(checkpoint: dict) -> bool:
    """Whether a checkpoint leaves frozen weights out."""
    return any(name.endswith(BASE_DIGEST) for name in checkpoint.get("state_dict", {}))


def to_full(checkpoint: dict, backbone: nn.Module, where: str) -> dict:
    """Put the frozen base back.

    Args:
        checkpoint: a lean checkpoint.
        backbone: the config's :class:`frozen_det.models.FrozenBackbone`; its base is loaded and checked here.
        where: the file, for messages.

    Returns:
        a checkpoint that any mmdet tool reads; entries other than weights are shared with the argument.

    Raises:
        InputError: it is not lean, or the base is another one.
    """
    if not is_lean(checkpoint):
        raise InputError(f"expected a lean checkpoint in {where}, but it holds its frozen weights already.")
    prefix = _prefix(checkpoint)
    own = {name.removeprefix(prefix): value for name, value in checkpoint["state_dict"].items()
           if name.startswith(prefix)}
    lacking = backbone.load_state_dict(own, strict=False)
    # Adapters and the like are the detector's; of the body nothing may be missing.
    assert not [name for name in lacking.missing_keys if name.startswith("body.")], lacking.missing_keys
    body = {f"{prefix}body.{name}": value.cpu() for name, value in backbone.body.state_dict().items()}
    full = {**checkpoint, "state_dict": _with_body(checkpoint["state_dict"], body, prefix)}
    if checkpoint.get("ema_state_dict") is not None:
        full["ema_state_dict"] = _with_body(checkpoint["ema_state_dict"], body, prefix)
    full["meta"] = {key: value for key, value in checkpoint.get("meta", {}).items() if key != "lean"}
    return full


def to_lean(checkpoint: dict, backbone: nn.Module, where: str) -> dict:
    """Take the frozen base out.

    Args:
        checkpoint: a full checkpoint of a model with this backbone.
        backbone: the config's FrozenBackbone; filled from the checkpoint here.
        where: the file, for messages.

    Returns:
        the lean checkpoint; the argument is not changed.

    Raises:
        InputError: it is lean already, nothing in it is frozen, or its frozen weights are not those of the config.
    """
    if is_lean(checkpoint):
        raise InputError(f"expected a full checkpoint in {where}, but it is lean already.")
    prefix = "backbone."
    backbone.init_weights()
    wanted = backbone.frozen_fingerprint()
    backbone.load_state_dict({name.removeprefix(prefix): value for name, value in checkpoint["state_dict"].items()
                              if name.startswith(prefix)}, strict=True)
    first = wanted.first_difference(backbone.frozen_fingerprint())
    if first is not None:
        raise InputError(f"the frozen weights in {where} are not those of model.backbone.weights "
                         f"({backbone.weights}), first in {first}: leaving them out would lose them. Keep the full "
                         "checkpoint.")
    holder = nn.Module()
    holder.backbone = backbone
    lean = {**checkpoint, "state_dict": dict(checkpoint["state_dict"]), "meta": dict(checkpoint.get("meta", {}))}
    if checkpoint.get("ema_state_dict") is not None:
        lean["ema_state_dict"] = dict(checkpoint["ema_state_dict"])
    described = make_lean(holder, lean)
    if not described:
        raise InputError(f"nothing can be left out of {where}: the backbone of the config is not frozen, or runs on "
                         "random weights.")
    lean["meta"]["lean"] = {"version": FORMAT_VERSION, "modules": described}
    return lean


def _prefix(checkpoint: dict) -> str:
    return next(name for name in checkpoint["state_dict"] if name.endswith(BASE_DIGEST)).removesuffix(BASE_DIGEST)


def _with_body(state: dict, body: dict, prefix: str) -> dict:
    """The state with every entry of the body, what it holds itself first; an averaged model's names keep `module.`."""
    held = {canonical(name): name for name in state}
    averaged = "module." if any(name.startswith("module.") for name in state) else ""
    added = {averaged + name: value for name, value in body.items() if name not in held}
    return {**added, **{name: value for name, value in state.items() if not name.endswith(BASE_DIGEST)}}
