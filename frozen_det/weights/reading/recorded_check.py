"""What a config may ask for that came with weights, or with a run's folder: looked through before anything is built.

A config that somebody names is code, as any Python file. One that came along with weights is not: its types are names
that registries hold (:mod:`.recorded_types`), and what would be built of it neither runs, fetches nor
writes what its values name.
"""

import re
import sys
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ...errors import InputError, in_short
from .recorded_types import adapter_types, body_types, held, is_scope, why_refused

#: The parts that are built to detect, to measure or to explain.
TO_DETECT = ("model", "test_dataloader", "val_dataloader")

_BODIES = ("body", "backbone")
_NMS = ("nms", "soft_nms", "nms_match", "nms_rotated", "nms_quadri")  # mmcv evaluates the name
_WORDS = ("conv", "interpolation_conv", "last_conv", "dilation", "offset")  # that parts of mmdet read by themselves
# Keys beside `type` whose text the host looks up as a type.
_ALSO_TYPES = ("ema_type", "runner_type", "constructor", "resize_type")
_FILE_BACKENDS = ("backend_args", "file_client_args")
_PLACES = ("out_dir", "save_dir", "outfile_prefix", "out_file_path", "test_out_dir")
_FILE_NAMES = ("filename_tmpl", "img_save_dir", "config_save_file", "scalar_save_file")
# Arguments of a library's constructor of networks that fetch or read weights by themselves.
_OF_A_BODY = ("checkpoint_path", "pretrained_cfg", "cache_dir", "weights_backbone")
_OF_AN_OVERLAY = ("file", "url", "hf_hub_id", "hf_hub_filename", "source", "state_dict", "custom_load")

Place = tuple[Any, ...]  # keys and indices that lead to an entry


def check_recorded(
    cfg,
    where: str,
    options: Mapping[str, object] | None = None,
    built: Collection[str] = TO_DETECT,
    remedy: str = "name the config with --config",
) -> None:
    """Refuse a config that came with weights and asks for more than parts that are known here.

    Args:
        cfg: mmengine's Config, as it was recorded.
        where: the file, for messages.
        options: overrides that will be merged into it; what they replace is not looked at.
        built: the top-level keys of which something will be built.
        remedy: what to do where its author is trusted.

    Raises:
        InputError: with the place, what stands there, and what to do.
    """
    given = set(_leaves(options or {}))
    try:
        for place, node in _dicts(cfg.to_dict(), (), given):
            _check_keys(node, place)
            is_built = bool(place) and place[0] in built
            for key, value in node.items():
                if (*place, key) not in given:
                    _check_entry(node, key, value, (*place, key), is_built)
    except _Refused as error:
        what, at = error.args
        raise InputError(
            f"expected {what}, at {'.'.join(map(str, at)) or 'the top'} of the config in {where}, which came with the "
            f"weights. Nothing was run. If you trust its author, {remedy}, or replace that entry with --cfg-options."
        ) from None


class _Refused(Exception):
    """Holds what was expected and what came, and the place of it."""


def _dicts(node, place: Place, given: Collection[Place]) -> Iterator[tuple[Place, Mapping]]:
    """Every dict in a config with the keys and indices that lead to it, the outer ones first; none that is replaced."""
    if place in given:
        return
    if isinstance(node, Mapping):
        yield place, node
    entries = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list | tuple) else ()
    for key, value in entries:
        yield from _dicts(value, (*place, key), given)


def _leaves(options: Mapping[str, object], above: Place = ()) -> Iterator[Place]:
    """The places that overrides set; a dict is merged into what is there, so only its entries are."""
    for key, value in options.items():
        place = (*above, *(int(one) if one.isdigit() else one for one in str(key).split(".")))
        if isinstance(value, Mapping) and not value.get("_delete_"):
            yield from _leaves(value, place)
        else:
            yield place


def _check_keys(node: Mapping, place: Place) -> None:
    for key in node:  # the host writes it between quotes, into a file that is a config again
        if isinstance(key, str) and re.search(r"['\"\\\x00-\x1f]", key):
            raise _Refused(f"keys without quotes and line ends, got {in_short(key, 60)}", place)


def _check_entry(node: Mapping, key, value, at: Place, is_built: bool) -> None:
    if key == "type" or key in _ALSO_TYPES:
        if isinstance(value, str):
            _check_type(value, at, is_built)
    elif key in ("_scope_", "default_scope"):
        if value is not None and not is_scope(value):
            raise _Refused(f"a package whose types are known here, got {in_short(value, 60)}", at)
    elif key == "imports" and at[0] == "custom_imports":
        if is_built:
            _check_imports(value, at)
    elif is_built:
        _check_argument(node, key, value, at)


def _check_type(name: str, at: Place, is_built: bool) -> None:
    holder = next((one for one in reversed(at[:-1]) if isinstance(one, str)), None)
    found = held(name)
    reason = next(filter(None, map(why_refused, found)), None) if is_built else None
    if reason is not None:
        raise _Refused(f"a part that only computes, got {name!r}, which {reason}", at)
    if not is_built and name.isidentifier():
        return  # nothing looks it up: a hook of the user's own, a transform of another library
    if holder == "nms":
        known = name in _NMS
    elif holder == "roi_layer":
        known = _is_layer_of_mmcv(name)
    elif holder == "adapters":
        known = name in adapter_types()
    else:
        known = bool(found) or name in (*_NMS, *_WORDS) or holder in _BODIES and name in body_types()
    if not known:
        raise _Refused(f"a type that is registered here, got {in_short(name, 60)}", at)


def _is_layer_of_mmcv(name: str) -> bool:
    import mmcv.ops

    return isinstance(vars(mmcv.ops).get(name), type)


def _check_imports(value, at: Place) -> None:
    for module in [value] if isinstance(value, str) else value or ():
        if not isinstance(module, str) or module not in sys.modules and module.partition(".")[0] != "frozen_det":
            raise _Refused(f"no module to import, got {in_short(module, 60)}, whose import would run its code", at)


def _check_argument(node: Mapping, key, value, at: Place) -> None:
    """Arguments by which an ordinary part reads, fetches or writes what they name."""
    if key in _FILE_BACKENDS:
        kind = value.get("backend") if isinstance(value, Mapping) else value
        if value and (kind != "local" or len(value) > 1):
            raise _Refused(f"files of this machine, got {in_short(value, 60)}", at)
    elif key in _PLACES and value is not None:
        raise _Refused(f"no place to write to, got {in_short(value, 60)}", at)
    elif key in _FILE_NAMES and isinstance(value, str) and re.search(r"[/\\]|^\.\.$", value):
        raise _Refused(f"the name of a file, without a folder, got {in_short(value, 60)}", at)
    elif key in _OF_A_BODY and value is not None and node.get("type") in body_types():
        raise _Refused(f"a network without weights of its own, got {in_short(value, 60)}", at)
    elif key == "pretrained_cfg_overlay" and isinstance(value, Mapping):
        for name in _OF_AN_OVERLAY:
            if value.get(name) is not None:
                raise _Refused(f"no source of weights, got {in_short(value[name], 60)}", (*at, name))
