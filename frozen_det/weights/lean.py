"""Lean checkpoints to full ones and back: the same training state with or without the frozen base.

Only the backbone is built for this, neither heads nor data; everything else in the file is carried over untouched.
"""

import torch
from mmengine.logging import print_log
from torch import nn

from ..errors import InputError
from .digest import BASE_DIGEST, Fingerprint, canonical

FORMAT_VERSION = 1  # of what a lean checkpoint's meta holds


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
    own = {
        name.removeprefix(prefix): value for name, value in checkpoint["state_dict"].items() if name.startswith(prefix)
    }
    lacking = backbone.load_state_dict(own, strict=False)
    # Adapters and the like are the detector's; of the backbone nothing may be missing.
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
    backbone.load_state_dict(
        {
            name.removeprefix(prefix): value
            for name, value in checkpoint["state_dict"].items()
            if name.startswith(prefix)
        },
        strict=True,
    )
    first = wanted.first_difference(backbone.frozen_fingerprint())
    if first is not None:
        raise InputError(
            f"the frozen weights in {where} are not those of model.backbone.weights "
            f"({backbone.weights}), first in {first}: leaving them out would lose them. Keep the full "
            "checkpoint."
        )
    holder = nn.Module()
    holder.backbone = backbone
    lean = {**checkpoint, "state_dict": dict(checkpoint["state_dict"]), "meta": dict(checkpoint.get("meta", {}))}
    if checkpoint.get("ema_state_dict") is not None:
        lean["ema_state_dict"] = dict(checkpoint["ema_state_dict"])
    described = make_lean(holder, lean)
    if not described:
        raise InputError(
            f"nothing can be left out of {where}: the backbone of the config is not frozen, or runs on random weights."
        )
    lean["meta"]["lean"] = {"version": FORMAT_VERSION, "modules": described}
    return lean


def make_lean(model, checkpoint: dict) -> dict:
    """Take the frozen tensors of every frozen backbone out of `state_dict` (and `ema_state_dict`), in place.

    Returns:
        module name -> what replaces them: digest, source, architecture and number of tensors. Empty if the model
        freezes nothing or runs on random weights (there would be nothing to attach again).
    """
    described = {}
    for name, part in left_out(model):
        frozen = part.frozen_tensors()
        taken = part.frozen_fingerprint()
        refuse_moved(name, part, "before a checkpoint was written", taken)
        if not part.is_attachable(taken):
            print_log(
                f"{name} does not hold what its weights ({part.weights}) give, as a checkpoint was loaded over "
                "them: checkpoints hold it in full",
                "current",
            )
            continue
        prefix = f"{name}.body." if name else "body."
        for entry in ("state_dict", "ema_state_dict"):
            state = checkpoint.get(entry)
            if state is None:
                continue
            for key in [k for k in state if canonical(k).startswith(prefix) and canonical(k)[len(prefix) :] in frozen]:
                del state[key]
        # The digest travels among the weights, so any loader that reaches the module brings it along.
        checkpoint["state_dict"][f"{name}.{BASE_DIGEST}"] = torch.tensor(
            list(bytes.fromhex(taken.digest)), dtype=torch.uint8
        )
        described[name] = {
            "digest": taken.digest,
            "source": str(part.weights),
            "tensors": len(frozen),
            "architecture": part.architecture,
        }
    return described


def left_out(model) -> list[tuple[str, object]]:
    """Names and modules whose frozen tensors a lean checkpoint may leave out: backbones with weights to attach again.
    Of what else is frozen (a second stage's decoder) there is no file."""
    return [
        (name, part)
        for name, part in model.named_modules()
        if hasattr(part, "frozen_fingerprint") and part.is_frozen and part.weights != "random"
    ]


def refuse_moved(name: str, part, when: str, now: Fingerprint | None = None) -> None:
    """Refuse a frozen backbone whose tensors are not those that were loaded.

    Args:
        name: of the module.
        part: the :class:`frozen_det.models.FrozenBackbone`.
        when: for the message.
        now: its digest, if it was taken already.

    Raises:
        InputError: with the first tensor's name.
    """
    moved = part.moved_since_load(now)
    if moved is not None:
        raise InputError(
            f"frozen tensor {name}.{moved} moved {when}, after its weights were loaded. Expected it bit "
            "for bit as loaded; a lean checkpoint of it could never be loaded. Look for hooks or code "
            "that touch this module, or unfreeze it."
        )


def _prefix(checkpoint: dict) -> str:
    return next(name for name in checkpoint["state_dict"] if name.endswith(BASE_DIGEST)).removesuffix(BASE_DIGEST)


def _with_body(state: dict, body: dict, prefix: str) -> dict:
    """The state with every entry of the backbone, its own values first; an averaged model's names keep `module.`."""
    held = {canonical(name): name for name in state}
    averaged = "module." if any(name.startswith("module.") for name in state) else ""
    added = {averaged + name: value for name, value in body.items() if name not in held}
    return {**added, **{name: value for name, value in state.items() if not name.endswith(BASE_DIGEST)}}


def digest_from_bytes(digest: torch.Tensor) -> str:
    """The hexadecimal digest that a lean checkpoint carries as 32 bytes."""
    if digest.dtype != torch.uint8 or digest.shape != (32,):
        raise InputError(
            f"expected 32 bytes as {BASE_DIGEST} of a lean checkpoint, got {digest.dtype} of shape "
            f"{tuple(digest.shape)}: the file was changed. Use it as it was written."
        )
    return bytes(digest.tolist()).hex()
