"""Arguments that everyone changes, as the entries of a config that they are.

Refused, each in one line: an entry that a config does not have, a value out of range, an argument and an override that
say two things.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from ...errors import InputError
from .by_annotations import CUSTOM, Picked, picked, require_data
from .by_data import epochs_by_updates, interval_of_validation, size_by_boxes
from .image_size import size_entries

Entries = dict[str, Any]


@dataclass(frozen=True)
class Choices:
    """What a run changes of its config; None leaves it as it is.

    Attributes:
        data: folder of the data.
        epochs: passes over the training images, at least 1; the learning rate's schedule follows.
        size: side of the images in px, at least 32, of configs whose images are square.
        batch: training images in a step, at least 1.
        patience: validations without a better score after which a run stops, at least 1.
        detector: a name of :data:`.detectors.KNOWN`, ``mmdet::FOLDER/NAME.py`` of mmdet's configs, or a config.
        backbone: ``timm/NAME``, ``torchvision/NAME``, or the path of weights whose card names their network.
        weights: of the backbone: a file, ``timm:TAG``, ``random``.
        adapters: a type of residual adapters (``parallel``, ``series``, ``lora``, ``conv_adapter``), or ``none``.
    """

    data: str | None = None
    epochs: int | None = None
    size: int | None = None
    batch: int | None = None
    patience: int | None = None
    detector: str | None = None
    backbone: str | None = None
    weights: str | None = None
    adapters: str | None = None

    def __post_init__(self):
        for name, least in (("epochs", 1), ("size", 32), ("batch", 1), ("patience", 1)):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < least):
                raise InputError(f"expected a whole number from {least} on for --{name}, got {value!r}.")
        for name in ("data", "detector", "backbone", "weights", "adapters"):
            value = getattr(self, name)
            if value is not None and not str(value):
                raise InputError(f"expected a name or a path after --{name}, got nothing.")

    @property
    def given(self) -> list[str]:
        """Names of those that are not None."""
        return [one.name for one in fields(self) if getattr(self, one.name) is not None]


def chosen(
    config: str, choices: Choices, options: Mapping[str, Any] | None = None, log: Callable[[str], None] = print
) -> tuple[str, Entries]:
    """The config and the overrides that arguments become.

    Args:
        config: path, or name of a config that ships; ``custom`` picks one by what the annotations hold.
        choices: the arguments.
        options: overrides as `--cfg-options` gives them; they stay.
        log: called with one line for what was picked, and one that names the entries.

    Returns:
        the config's name or path; all overrides, those of `options` last.

    Raises:
        InputError: see the module's docstring.
    """
    from ...config.option_text import as_options

    options = dict(options or {})
    config, by_data = _picked(str(config), choices, options, log)
    if not choices.given and not by_data:
        return config, options
    entries, notes = _entries(config, choices, options)
    _one_word(entries, choices, options)
    entries = {**by_data, **entries}
    shown = {key: value for key, value in entries.items() if key not in notes}
    if shown:
        log(f"as entries of the config: --cfg-options {as_options(shown)}")
    for key, note in notes.items():
        log(f"{key} is {note}")
    return config, {**entries, **options}


def _one_word(entries: Entries, choices: Choices, options: Entries) -> None:
    """Refuse an argument and an override that set the same to two values."""
    for key, value in entries.items():
        for other, said in options.items():
            if key.startswith(f"{other}.") or (other == key and repr(said) != repr(value)):
                raise InputError(
                    f"expected one word on {key}, got an argument for it and --cfg-options {other}={said}."
                )
    if choices.epochs is not None and "epochs" in options:
        raise InputError(f"expected one word on the length, got --epochs {choices.epochs} and --cfg-options epochs.")


def _picked(config: str, choices: Choices, options: Entries, log) -> tuple[str, Entries]:
    """The config that a name stands for, and entries that follow from the data."""
    if config.removesuffix(".py") != CUSTOM:
        return config, {}
    from .detectors import decoder_named

    root = require_data(choices.data if choices.data is not None else options.get("data_root"))
    wants = None if choices.detector is None else decoder_named(choices.detector).masks
    found = picked(root, wants)
    log(f"{CUSTOM}: {found.why}")
    return found.config, _by_data(found, choices, options, log)


def _by_data(found: Picked, choices: Choices, options: Entries, log) -> Entries:
    """Size and length, where nobody said any."""
    from ...config import load_config

    cfg, entries = load_config(found.config), {}
    if choices.size is None and "image_size" not in options:
        size = size_by_boxes(found.content)
        entries["image_size"] = size.value
        log(f"  image_size is {size.value}: {size.why}")
    if choices.epochs is None and not {"epochs", "train_cfg.max_epochs", "train_cfg"} & set(options):
        batch = choices.batch or options.get("train_dataloader.batch_size") or cfg.train_dataloader.batch_size
        length = epochs_by_updates(len(found.content["images"]), batch, cfg.train_cfg.max_epochs)
        if length.value != cfg.train_cfg.max_epochs:
            entries["train_cfg.max_epochs"] = length.value
            log(f"  train_cfg.max_epochs is {length.value}: {length.why}")
        interval = interval_of_validation(length.value, cfg.train_cfg.val_interval)
        if interval.value != cfg.train_cfg.val_interval and "train_cfg.val_interval" not in options:
            entries["train_cfg.val_interval"] = interval.value
            log(f"  train_cfg.val_interval is {interval.value}: {interval.why}")
    return entries


def _entries(config: str, choices: Choices, options: Entries) -> tuple[Entries, dict[str, str]]:
    """What the arguments become, and entries that are too long to be printed, in words."""
    from ...config import load_config

    before = {key: value for key, value in options.items() if not _is_of_what_comes(key, choices)}
    cfg, entries, notes = load_config(config, before), {}, {}
    if choices.data is not None:
        _require("data_root" in cfg, config, "data_root", "data", f"frozen-det train {CUSTOM} --data takes any tree")
        slash = "/" if str(cfg.data_root).endswith("/") else ""  # what is computed from it begins without one
        entries["data_root"] = str(choices.data).rstrip("/") + slash or "/"
    if choices.epochs is not None:
        length = cfg.get("train_cfg") or {}
        _require("max_epochs" in length, config, "train_cfg.max_epochs", "epochs", _counted(length))
        entries["train_cfg.max_epochs"] = choices.epochs
    if choices.size is not None:
        entries.update(size_entries(cfg, choices.size, config))
    if choices.batch is not None:
        loader = cfg.get("train_dataloader") or {}
        _require(
            "batch_size" in loader, config, "train_dataloader.batch_size", "batch", "its batches are its sampler's"
        )
        entries["train_dataloader.batch_size"] = choices.batch
    if choices.patience is not None:
        entries["default_hooks.early_stopping"] = _early_stopping(cfg, choices.patience, config)
    if {"detector", "backbone", "weights", "adapters"} & set(choices.given):
        from .models import model_entries

        more, notes = model_entries(cfg, choices, config)
        entries.update(more)
    return {name: one for key, value in entries.items() for name, one in _leaves(cfg, key, value, notes)}, notes


def _is_of_what_comes(key: str, choices: Choices) -> bool:
    """Whether an override is of something that takes the place of what the config holds, and says nothing before."""
    parts = key.split(".")
    if key == "train_cfg.val_interval":  # held against the length
        return choices.epochs is not None
    if parts[0] != "model":
        return False
    replaced = {"adapters": choices.adapters, "body": choices.backbone}
    return choices.detector is not None or any(part in parts and one is not None for part, one in replaced.items())


def _leaves(cfg, key: str, value, notes):
    """An entry as it is typed: of a dict that replaces one of the same keys, only what differs."""
    if not isinstance(value, dict) or key in notes:
        return [(key, value)]
    held, new = cfg, {name: one for name, one in value.items() if name != "_delete_"}
    for part in key.split("."):
        held = held.get(part) if hasattr(held, "get") else None
    held = held.to_dict() if hasattr(held, "to_dict") else held
    if held is not None and not set(held) <= set(new) or any(isinstance(one, dict) for one in new.values()):
        return [(key, value)]
    return [
        (f"{key}.{name}", one) for name, one in new.items() if held is None or held.get(name) != one or name not in held
    ]


def _early_stopping(cfg, patience: int, config: str) -> Entries:
    """The hook that stops a run, by the score by which its best checkpoint is kept."""
    keeper = cfg.get("default_hooks", {}).get("checkpoint") or {}
    scores = keeper.get("save_best")
    score = scores[0] if isinstance(scores, list | tuple) else scores
    _require(
        isinstance(score, str) and score != "auto" and keeper.get("rule") is not None,
        config,
        "default_hooks.checkpoint.save_best with its rule",
        "patience",
        "add default_hooks.checkpoint.save_best=coco/bbox_mAP default_hooks.checkpoint.rule=greater",
    )
    rules = keeper.rule
    return {
        "type": "EarlyStoppingHook",
        "monitor": score,
        "rule": rules if isinstance(rules, str) else rules[0],
        "patience": patience,
        "min_delta": 0.0,
    }


def _counted(length: Mapping) -> str:
    if "max_iters" in length:
        return f"it counts steps: set train_cfg.max_iters={length['max_iters']} and param_scheduler by --cfg-options"
    return "it is no training of one model"


def _require(there: bool, config: str, entry: str, argument: str, remedy: str) -> None:
    if not there:
        raise InputError(f"expected the entry {entry} in {config}, which --{argument} sets, got none; {remedy}.")
