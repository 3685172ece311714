"""Reads a config with its overrides, so that each of them has all of its effect, and checks the whole.

Refuses whatever would have none: names that nothing reads, values that cannot be right, parts that contradict.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..weights.reading.recorded_check import TO_DETECT, check_recorded
from ..weights.reading.recorded_config import parse_recorded, read_recorded
from .accumulation import apply_accumulation
from .finding import find_config, is_shipped, is_stock
from .from_data import values_from_data
from .known_keys import check_keys
from .monitored import check_monitored
from .options import merge_options
from .reading import ConfigFile, read
from .relations import check_relations
from .schedule import follow_child, follow_options, follow_own_name, interval_setter
from .shapes import check_parts_below, check_record, check_top
from .shared_values import Pins, changed, comparable, merged, move_root, only, own_names, pins_of, without_effect
from .top_level import check_names, keys_of_a_run, live_keys
from .values import check_values

if TYPE_CHECKING:
    from mmengine import Config

READ_HERE = "_read_by_frozen_det"  # an attribute of such a Config, which its copies keep


def load_config(name: str | Path, options: Mapping[str, Any] | None = None) -> "Config":
    """Read a config and check it.

    Args:
        name: path, or name of a config that ships.
        options: overrides as `--cfg-options` gives them, ``{"a.b": value}``.

    Returns:
        an `mmengine.Config` with `filename` set.

    Raises:
        InputError: a file that does not parse, an override or a key without effect, an unknown argument of a type, a
            value that cannot be right.
    """
    path, options = find_config(name), dict(options or {})
    cfg, files = _loaded(path, options)
    if cfg.get("from_data"):
        values = values_from_data(cfg, files, options)
        cfg = _loaded(path, {**values, **options})[0] if values else cfg
    cfg.pop("from_data", None)
    cfg.__dict__[READ_HERE] = True
    return cfg


def _loaded(path: Path, options: dict[str, Any]) -> "tuple[Config, list[ConfigFile]]":
    """A config with its overrides, checked, and the files of its chain."""
    cfg, files = read(path)
    read_keys = live_keys(cfg)
    own = {key: value for key, value in options.items() if key.split(".")[0] not in read_keys}
    check_names(cfg, files)
    check_top(cfg, str(path))
    cfg, files = with_own_names(cfg, files, own)
    follow_child(cfg, files)
    given = {key: value for key, value in options.items() if key not in own}
    follow_options(cfg, given)
    merge_options(cfg, given)
    check_config(cfg, str(path), given, interval_setter(files))
    apply_accumulation(cfg, given)
    return cfg, files


def load_recorded(path, options: Mapping[str, object] | None = None):
    """Read the config that a run left in its folder, as data (:mod:`..recorded_config`), with overrides.

    Args:
        path: the file.
        options: as of :func:`load_config`.

    Raises:
        InputError: no such file, something in it that would run or fetch what it names, an override of what only its
            source computes from, or one that cannot be right.
    """
    return _with_options(
        read_recorded(path), str(path), options, TO_DETECT, "give the file as a config: CONFIG:CHECKPOINT"
    )


def load_recorded_text(
    text: str, where: str, options: Mapping[str, object] | None = None, to_train: bool = False
) -> "Config":
    """As :func:`load_recorded`, of a text that `where` names in messages: the config in a checkpoint.

    Args:
        text, where, options: the text, its file, overrides.
        to_train: whether a whole run is built of it, not a detector and its pipeline alone.
    """
    remedy = "train by a config of your own" if to_train else "name the config with --config"
    return _with_options(
        parse_recorded(text, where), where, options, keys_of_a_run() if to_train else TO_DETECT, remedy
    )


def _with_options(cfg, where: str, options: Mapping[str, object] | None, built, remedy: str):
    options = dict(options or {})
    check_record(cfg, where)
    check_recorded(cfg, where, options, built, remedy)
    for key, value in options.items():
        if key.split(".")[0] in own_names(cfg):
            raise without_effect(key, value, cfg)
    follow_options(cfg, options)
    merge_options(cfg, options)
    if options:  # a record as it is was checked when its run began, by the version that wrote it
        check_config(cfg, where, options)
    apply_accumulation(cfg, options)
    return cfg


def check_config(
    cfg,
    where: str,
    options: Mapping[str, object] | None = None,
    interval_setter: str | None = None,
    of_host: bool = False,
) -> None:
    """Refuse unknown keys and types, values out of range, and parts that contradict each other.

    Args:
        cfg: the config; where: its file, for messages; options: the overrides in it.
        interval_setter: the file that sets the validation's interval, where that is known.
        of_host: whether mmengine alone read it.

    Raises:
        InputError: naming the key, what was expected and what came.
    """
    options = options or {}
    check_top(cfg, where)
    typed = check_keys(cfg, where)
    check_parts_below(cfg, where)
    check_values(cfg, where, typed)
    check_relations(cfg, where, options, interval_setter, of_host)
    check_monitored(cfg, where, options)


def with_own_names(cfg, files: list[ConfigFile], options: Mapping[str, object]):
    """The config and its files, evaluated again with the names of its own that overrides or a child set again.

    Raises:
        InputError: nothing follows from such a name.
    """
    for key in options:
        if key.split(".")[0] not in own_names(cfg):
            merge_options(cfg, {key: options[key]})  # refuses it with the closest name
    wanted = merged({name: cfg[name] for name in own_names(cfg)}, options)
    again, files_again, pins = cfg, files, {}
    # In turn, for one name may be computed from another: the overrides, then each file's names, the last file first.
    for names in ({key.split(".")[0] for key in options}, *(file.sets for file in reversed(files))):
        more = pins_of(again, files_again, options, names)
        if any(name not in pins.get(path, {}) for path, of_file in more.items() for name in of_file):
            pins = {path: {**more.get(path, {}), **pins.get(path, {})} for path in {**pins, **more}}
            again, files_again = _evaluated(cfg, files, pins)
    pinned = {name for of_file in pins.values() for name in of_file}
    for name in {key.split(".")[0] for key in options} - pinned:
        if comparable(wanted[name]) != comparable(cfg[name]):  # no file that is looked at sets it
            raise without_effect(name, wanted[name], cfg)
    if not pins:
        return cfg, files
    of_options = {key.split(".")[0]: value for key, value in options.items()}
    for name in sorted(pinned):
        setter = next(file for file in reversed(files) if name in file.sets)
        if name not in of_options and (is_stock(setter.path) or is_shipped(setter.path) or name in setter.uses):
            continue
        mine = only(pins, [name])
        alone = again if mine == pins else _evaluated(cfg, files, mine)[0]
        if not changed(cfg, alone) and not any(alone.get(other) != cfg[other] for other in pinned - {name}):
            raise without_effect(name, of_options.get(name, cfg[name]), cfg)
    follow_own_name(cfg, again, files, by_child=not of_options)
    return again, files_again


def _evaluated(cfg, files: list[ConfigFile], pins: Pins):
    again, files_again = read(cfg.filename, pins)
    for file in files:
        new = pins.get(file.path, {}).get("data_root")
        if isinstance(new, str) and isinstance(old := file.values.get("data_root"), str):
            move_root(cfg, again, old, new)
    return again, files_again
