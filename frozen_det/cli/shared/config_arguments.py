"""Arguments that every command with a config shares: the config itself, the work directory, overrides."""

import argparse

_CHOICES = ("data", "epochs", "size", "batch", "patience", "detector", "backbone", "weights", "adapters")
_CHOSEN = "chosen_"  # apart from a command's own --size or --epochs


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add CONFIG and `--cfg-options`."""
    parser.add_argument("config", help="config file, or the name of one that ships, e.g. quickstart")
    add_cfg_options(parser)


def add_cfg_options(
    parser: argparse.ArgumentParser, help: str = "overrides, e.g. optim_wrapper.optimizer.lr=0.01 data_root=my/data"
) -> None:
    """Add `--cfg-options`."""
    parser.add_argument("--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=help)


def add_choices(parser: argparse.ArgumentParser, without: tuple[str, ...] = ()) -> None:
    """Add the arguments that everyone changes, but for those named."""
    group = parser.add_argument_group("what everyone changes", "each becomes entries of the config, which are printed")
    for name, options in {
        "data": dict(metavar="DIR", help="folder of the data"),
        "epochs": dict(type=int, metavar="N", help="passes over the training images; the schedule follows"),
        "size": dict(type=int, metavar="PX", help="side of the images, of configs whose images are square"),
        "batch": dict(type=int, metavar="N", help="training images in a step"),
        "patience": dict(type=int, metavar="N", help="stop after N validations without a better score"),
        "detector": dict(metavar="NAME", help="faster, mask, cascade, dino, rtmdet, ...; a wrong name lists them all"),
        "backbone": dict(
            metavar="NETWORK",
            help="timm/NAME, torchvision/NAME, package:NAME, or the path of weights whose card names their network",
        ),
        "weights": dict(metavar="FILE", help="of the backbone, instead of the library's: a file, timm:TAG, random"),
        "adapters": dict(metavar="TYPE", help="parallel, series, lora, conv_adapter, none"),
    }.items():
        if name not in without:
            group.add_argument(f"--{name}", dest=_CHOSEN + name, **options)


def choices_of(args) -> dict:
    """The arguments of :func:`add_choices` by name, None where one was not given or is not of the command."""
    return {name: getattr(args, _CHOSEN + name, None) for name in _CHOICES}


def config_and_options(args) -> tuple[str, dict]:
    """The config's name and all overrides, those of :func:`add_choices` too; what became of them is printed."""
    import sys
    from functools import partial

    from ...engine.choices import Choices, chosen

    return chosen(args.config, Choices(**choices_of(args)), options_of(args), partial(print, file=sys.stderr))


def with_choices_as_options(args, config: str):
    """A copy of a command's arguments for one config, whose `cfg_options` have what :func:`add_choices` took."""
    import shlex

    from ...config.option_text import as_options

    found, options = config_and_options(argparse.Namespace(**{**vars(args), "config": config}))
    taken = dict.fromkeys((_CHOSEN + name for name in _CHOICES), None)
    return argparse.Namespace(
        **{**vars(args), **taken, "config": found, "cfg_options": shlex.split(as_options(options))}
    )


def add_feature_cache(parser: argparse.ArgumentParser) -> None:
    """Add `--feature-cache`."""
    parser.add_argument(
        "--feature-cache",
        metavar="FOLDER",
        help="read features of images that the same frozen body has seen before and write those of others, 20 GB at "
        "most; other commands may share the folder",
    )


def add_list_again(parser: argparse.ArgumentParser) -> None:
    """Add `--list-again`, of commands that label a pool."""
    text = "look at every image of the pool again: what has changed is labelled anew, what is gone counts as unreadable"
    parser.add_argument("--list-again", action="store_true", help=text)


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Add `--launcher`, of commands of several stages."""
    text = "how several processes were started; pytorch is torchrun. They share one file system"
    parser.add_argument("--launcher", choices=["none", "pytorch"], default="none", help=text)


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

    config, options = config_and_options(args)
    return load_config(config, {**options, **more})


def work_dir_of(args, cfg) -> str:
    """Where a run goes: what the command says, else its config, else ``work_dirs/NAME``."""
    from ...config import default_work_dir

    return args.work_dir or cfg.get("work_dir") or default_work_dir(cfg)
