"""Arguments that every command with a config shares: the config itself, the work directory, overrides."""

import argparse


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add CONFIG and `--cfg-options`."""
    parser.add_argument("config", help="config file, or the name of one that ships, e.g. quickstart")
    add_cfg_options(parser)


def add_cfg_options(
    parser: argparse.ArgumentParser, help: str = "overrides, e.g. optim_wrapper.optimizer.lr=0.01 data_root=my/data"
) -> None:
    """Add `--cfg-options`."""
    parser.add_argument("--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=help)


def add_feature_cache(parser: argparse.ArgumentParser) -> None:
    """Add `--feature-cache`."""
    parser.add_argument(
        "--feature-cache",
        metavar="FOLDER",
        help="read features of images that the same frozen body has seen before and write those of others, 20 GB at "
        "most; other commands may share the folder",
    )


def store_of(args):
    """The store of `--feature-cache`, or None.

    Raises:
        StorageError: the folder cannot be made or written.
    """
    from ...weights.feature_store import FeatureStore

    return None if args.feature_cache is None else FeatureStore(args.feature_cache)


def options_of(args) -> dict:
    """`--cfg-options` as a dict.

    Raises:
        InputError: a text that is no KEY=VALUE, or whose value cannot be read.
    """
    from ...config.option_text import parse_options

    return parse_options(args.cfg_options)


def config_of(args, **more):
    """The config of a command, with overrides; `more` are further overrides as keyword arguments with dots."""
    from ...config import load_config

    return load_config(args.config, {**options_of(args), **more})


def work_dir_of(args, cfg) -> str:
    """Where a run goes: what the command says, else its config, else ``work_dirs/NAME``."""
    from ...config import default_work_dir

    return args.work_dir or cfg.get("work_dir") or default_work_dir(cfg)
