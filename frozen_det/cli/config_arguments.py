"""Arguments that every command with a config shares: the config itself, the work directory, overrides."""

import argparse
from pathlib import Path

from ..errors import InputError


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add CONFIG and `--cfg-options`."""
    parser.add_argument("config", help="config file, or the name of one that ships, e.g. quickstart")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE",
                        help="overrides, e.g. optim_wrapper.optimizer.lr=0.01 data_root=my/data")


def options_of(args) -> dict:
    """`--cfg-options` as a dict, values parsed as mmengine parses them.

    Raises:
        InputError: an override without `=`.
    """
    from mmengine.config import DictAction

    options = {}
    for item in args.cfg_options:
        key, sign, value = item.partition("=")
        if not sign or not key:
            raise InputError(f"expected --cfg-options as KEY=VALUE, got {item!r}.")
        options[key] = DictAction._parse_iterable(value)
    return options


def config_of(args, **more):
    """The config of a command, with overrides; `more` are further overrides as keyword arguments with dots."""
    from ..config import load_config

    return load_config(args.config, {**options_of(args), **more})


def default_work_dir(cfg) -> str:
    """``work_dirs/<name of the config>``, as mmdet has it."""
    return str(Path("work_dirs") / Path(cfg.filename).stem)
