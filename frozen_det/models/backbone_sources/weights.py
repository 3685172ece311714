"""Load a backbone's weights from a file or a source (:mod:`.source`); random weights only on request.

All of them use :func:`frozen_det.weights.loading.load_strictly`: the whole backbone is loaded, or nothing.
"""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from ...errors import InputError, closest
from ...weights.card import WeightsCard, card_of, verify
from ...weights.class_names import stated_classes
from ...weights.key_fitting import under_prefix
from ...weights.loading import LoadReport, is_averaged_by_host, load_strictly, read, state_dict_of
from ...weights.tensor_checks import few, refuse_unreadable
from .base import Body
from .same_architecture import refusal
from .source import source_of_architecture, source_of_weights, weights_forms
from .stored_weights import SUFFIXES


def known_forms() -> str:
    """Accepted values of ``model.backbone.weights``, for messages."""
    return (
        f"{', '.join(weights_forms())}, a .pth or .safetensors file, the work directory of a classifier's "
        "training, dict(path=..., key='state_dict_ema', prefix='encoder_q.') for an entry of a file or for names in "
        "it, or 'random'"
    )


@dataclass(frozen=True)
class WeightsForm:
    """The parsed value of `model.backbone.weights`.

    Attributes:
        path: a file, a work directory, a library or ``'random'``.
        key: the entry of the file to use; None for the usual one.
        prefix: use only names with this prefix, and strip it; ``''`` for names without one; None for whatever fits.
    """

    path: str
    key: str | None = None
    prefix: str | None = None

    @property
    def is_part(self) -> bool:
        """Whether a part of a file is selected."""
        return self.key is not None or self.prefix is not None


def form_of(weights) -> WeightsForm:
    """Parse one of :func:`known_forms`.

    Raises:
        InputError: neither a string nor a dict with `path`, or unknown keys.
    """
    if isinstance(weights, Mapping):
        known = [field.name for field in fields(WeightsForm)]
        unknown = [key for key in weights if key not in known]
        wrong = [key for key, value in weights.items() if value is not None and not isinstance(value, str | Path)]
        if unknown or wrong or not weights.get("path"):
            raise InputError(
                f"expected model.backbone.weights=dict(path=..., key=..., prefix=...) with texts, got "
                f"{dict(weights)}; {closest(unknown[0], known) if unknown else 'path must be there'}"
            )
        return WeightsForm(str(weights["path"]), weights.get("key"), weights.get("prefix"))
    if not isinstance(weights, str | Path):
        raise InputError(f"expected model.backbone.weights as one of {known_forms()}, got {weights!r}.")
    return WeightsForm(str(weights))


def weights_file(weights) -> Path | None:
    """The local file given by `weights` (any of :func:`known_forms`), or None for a library or ``'random'``.

    For a work directory this is its newest checkpoint.

    Raises:
        InputError: a package that is not installed or has no weights; a folder without a checkpoint.
    """
    weights = form_of(weights).path
    if weights == "random":
        return None
    named = source_of_weights(weights)
    return _newest(Path(weights).expanduser()) if named is None else named[0].weights_file(named[1])


def source_card(weights) -> WeightsCard | None:
    """The card that the source of weights has for them, beside their file; None for files and unknown packages."""
    named = source_of_weights(form_of(weights).path)
    return None if named is None else named[0].card(named[1])


def _newest(path: Path) -> Path:
    """A file as given; the newest checkpoint of a work directory."""
    if not os.path.isdir(path):  # False for an impossible file name, where Path.is_dir may raise
        return path
    from ...weights.kept_checkpoints import latest_checkpoint

    found = latest_checkpoint(path)
    if found is None:
        files = sorted(file.name for file in path.iterdir() if file.suffix in SUFFIXES)
        if (path / "adapter_config.json").is_file():
            remedy = (
                "It holds adapters (LoRA or similar): merge them into their base first (peft: "
                "model.merge_and_unload()) and give the merged file."
            )
        else:
            remedy = f"It holds {few(files)}: give that file." if files else "Train first, or give a file."
        raise InputError(
            f"expected a checkpoint (epoch_N.pth or iter_N.pth) in the work directory {path}, which "
            f"is given as weights, but there is none. {remedy}"
        )
    return found


def load_weights(body: Body, body_cfg: dict, weights) -> LoadReport | None:
    """Load weights into `body.module`.

    Args:
        body: from :func:`build_body`.
        body_cfg: the config it was built from.
        weights: one of :func:`known_forms`.

    Returns:
        a report of what was loaded, or None for ``'random'``.

    Raises:
        InputError: the source is not available, or does not fit the network.
    """
    if weights == "random":
        return None
    source = tensors_of(body, body_cfg, weights)
    report = load_strictly(body.module, source.tensors, source.where, body.head_keys)
    return dataclasses.replace(report, classes=source.classes)


class StoredTensors(NamedTuple):
    """Stored weights: their origin, the tensors under their stored names, and class names if stated."""

    where: str
    tensors: dict
    classes: tuple[str, ...] | None = None


def tensors_of(body: Body, body_cfg: dict, weights) -> StoredTensors:
    """The tensors of a source; arguments as of :func:`load_weights`."""
    form = form_of(weights)
    path = weights_file(weights)
    if path is not None:
        if not os.path.exists(path):
            raise InputError(
                f"expected weights in model.backbone.weights, but {path} does not exist. Known forms: {known_forms()}."
            )
        where = str(path)
        checkpoint = read(path)
        state = state_dict_of(checkpoint, where, form.key)
        refuse_unreadable(state, where)
        card = card_of(checkpoint, where) or source_card(weights)
        if card is not None and not form.is_part:  # a card describes the weights that are used by default
            verify(card, state, where)
            reason = refusal(card, body.architecture, where)
            if reason:
                raise InputError(reason)
        _log_averaged(checkpoint, form.key, where)
        if form.prefix is not None:
            whole, state = len(state), under_prefix(state, form.prefix, where)
            where = f"{where} (prefix {form.prefix!r}, {whole - len(state)} tensors outside it left out)"
        library = source_of_architecture(body.architecture)[0]
        fitting = state if library is None else library.fit_state(body.module, state, where)
        return StoredTensors(where, fitting, stated_classes(checkpoint, str(path)))
    if form.is_part:
        raise InputError(f"expected a file in model.backbone.weights.path beside key or prefix, got {form.path!r}.")
    source, tag = source_of_weights(form.path)
    return StoredTensors(form.path, source.load_pretrained(body_cfg, tag))


def _log_averaged(checkpoint, key: str | None, where: str) -> None:
    """Log whether raw or averaged weights are used, if a file may contain both."""
    from mmengine.logging import print_log

    if is_averaged_by_host(checkpoint):
        which = "raw weights, by key" if key == "ema_state_dict" else "averaged weights (EMA)"
        print_log(f"{where}: {which} are taken, of a run that kept both", logger="current")
