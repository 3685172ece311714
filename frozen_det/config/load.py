"""Reads a config with its overrides, so that each of them has all of its effect, and checks the whole.

Refuses whatever would have none: names that nothing reads, values that cannot be right, parts that contradict.
"""

from collections.abc import Mapping

from ..recorded_config import read_recorded
from .accumulation import apply_accumulation
from .check import check_config
from .finding import find_config, is_shipped, is_stock
from .options import merge_options
from .reading import ConfigFile, read
from .schedule import follow_child, follow_options, follow_own_name, interval_setter
from .shared_values import Pins, changed, move_root, only, own_names, pins_of, without_effect
from .top_level import check_names, live_keys

READ_HERE = "_read_by_frozen_det"  # an attribute of such a Config, which its copies keep


def load_config(name, options: Mapping[str, object] | None = None):
    """Read a config and check it.

    Args:
        name: path or shipped name.
        options: overrides as `--cfg-options` gives them, ``{"a.b": value}``.

    Returns:
        an `mmengine.Config` with `filename` set.

    Raises:
        InputError: a file that does not parse, an override or a key without effect, an unknown argument of a type, a
            value that cannot be right.
    """
    path, options = find_config(name), dict(options or {})
    cfg, files = read(path)
    read_keys = live_keys(cfg)
    own = {key: value for key, value in options.items() if key.split(".")[0] not in read_keys}
    check_names(cfg, files)
    cfg, files = with_own_names(cfg, files, own)
    follow_child(cfg, files)
    given = {key: value for key, value in options.items() if key not in own}
    follow_options(cfg, given)
    merge_options(cfg, given)
    apply_accumulation(cfg, given)
    check_config(cfg, str(path), given, interval_setter(files))
    cfg.__dict__[READ_HERE] = True
    return cfg


def load_recorded(path, options: Mapping[str, object] | None = None):
    """Read the config that a run left in its folder, as data (:mod:`..recorded_config`), with overrides.

    Args:
        path: the file.
        options: as of :func:`load_config`.

    Raises:
        InputError: no such file, an override of what only its source computes from, or one that cannot be right.
    """
    cfg, options = read_recorded(path), dict(options or {})
    for key, value in options.items():
        if key.split(".")[0] in own_names(cfg):
            raise without_effect(key, value, cfg)
    follow_options(cfg, options)
    merge_options(cfg, options)
    apply_accumulation(cfg, options)
    if options:  # a record as it is was checked when its run began, by the version that wrote it
        check_config(cfg, str(path), options)
    return cfg


def with_own_names(cfg, files: list[ConfigFile], options: Mapping[str, object]):
    """The config and its files, evaluated again with the names of its own that overrides or a child set anew.

    Raises:
        InputError: nothing follows from such a name.
    """
    for key in options:
        if key.split(".")[0] not in own_names(cfg):
            merge_options(cfg, {key: options[key]})  # refuses it with the closest name
    pins = pins_of(cfg, files, options)
    if not pins:
        return cfg, files
    again, files_again = _evaluated(cfg, files, pins)
    of_options = {key.split(".")[0]: value for key, value in options.items()}
    for name in sorted({name for of_file in pins.values() for name in of_file}):
        setter = next(file for file in reversed(files) if name in file.sets)
        if name not in of_options and (is_stock(setter.path) or is_shipped(setter.path) or name in setter.uses):
            continue
        mine = only(pins, [name])
        if not changed(cfg, again if mine == pins else _evaluated(cfg, files, mine)[0]):
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
