"""What a loop's config may hold, and the training configs of teachers and students out of those that it names.

Values are checked before anything runs: none that is wrong is found after hours of a teacher. Of a student the labelled
images may be replaced by a list, its loader becomes one of joint batches, and the learning rate still follows the
labelled batch alone. Refuses configs that train no classifier.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

from ...config.parts import check_parts
from ...config.values import is_number, is_share, is_whole
from ...errors import InputError, refuse_unknown
from ..fixres.config import SETTINGS
from .joint_batches import joint_batch_size
from .noisy_classifier import WEIGHTINGS
from .pseudo_labelled import LABELS
from .selection import BALANCES

#: What a round may say about its student, with the values it has otherwise.
STUDENT = dict(labels="soft", temperature=1.0, weighting="sum", ratio=1, start="fresh")
STARTS = ("fresh", "warm")
KEYS = {"split", "teacher", "pool", "guards", "labelling", "rounds", "fixres", "test", "data_root", "work_dir"}
TEACHER = {"config", "options", "checkpoint", "weights"}
ROUND = {"config", "options", "checkpoint", "min_confidence", "per_class", "balanced", "seed", "shards", *STUDENT}
SHARDS = {"size", "window"}
SPLIT = {"data_root", "split", "per_class", "pool_images", "seed"}
LABELLING = {"batch_size", "num_workers", "part_size", "min_vector_confidence", "noise", "top_k"}
FIXRES = {"config", "options", "checkpoint", "whole", *SETTINGS}

_Rule = tuple[str, Callable[[Any], bool]]


def _whole(least: int) -> _Rule:
    return f"a whole number from {least} on", lambda value: is_whole(value, least)


def _one_of(names) -> _Rule:
    return f"one of {', '.join(map(repr, names))}", lambda value: value in names


_SWITCH: _Rule = "true or false", lambda value: isinstance(value, bool)
_SHARDS_VALUES = dict(size=_whole(1), window=_whole(1))
_LABELLING_VALUES = dict(
    batch_size=_whole(1),
    num_workers=_whole(0),
    part_size=_whole(1),
    top_k=_whole(1),
    min_vector_confidence=("a number from 0 to 1", is_share),
    noise=_SWITCH,
)
_SPLIT_VALUES = dict(per_class=_whole(1), pool_images=_whole(1), seed=_whole(0))
_ROUND_VALUES = dict(
    per_class=_whole(1),
    min_confidence=("a number from 0 on and below 1", lambda value: is_share(value) and value < 1),
    seed=_whole(0),
    ratio=("a number from 0 on", lambda value: is_number(value) and value >= 0),
    temperature=("a number above 0", lambda value: is_number(value) and value > 0),
    labels=_one_of(LABELS),
    weighting=_one_of(WEIGHTINGS),
    balanced=_one_of(BALANCES),
    start=_one_of(STARTS),
)


def check_loop(cfg) -> None:
    """Refuse what is no loop's config, before anything is run.

    Raises:
        InputError: a key that is missing or unknown, a value out of range.
    """
    refuse_unknown(cfg, KEYS, f"a loop's config ({cfg.filename})")
    parts = [
        ("split", cfg.get("split"), SPLIT),
        ("teacher", cfg.get("teacher"), TEACHER),
        ("labelling", cfg.get("labelling"), LABELLING),
        ("fixres", cfg.get("fixres"), FIXRES),
    ]
    rounds = cfg.get("rounds")
    if not isinstance(rounds, (list, tuple)) or not rounds:
        raise InputError(f"expected rounds=[dict(config=...), ...], at least one, in {cfg.filename}, got {rounds!r}.")
    parts += [(f"rounds.{place}", one, ROUND) for place, one in enumerate(rounds)]
    for name, part, known in parts:
        if part:
            refuse_unknown(part, known, f"{name} in {cfg.filename}")
    for name, part, _ in parts:
        if (name == "teacher" or name.startswith("rounds")) and not (part or {}).get("config"):
            raise InputError(f"expected {name}.config in {cfg.filename}, got none.")
    for place, one in enumerate(rounds):
        _check_values(one, _ROUND_VALUES, f"rounds.{place}", cfg.filename)
        if one.get("shards") is not None:
            if not isinstance(one["shards"], dict):
                raise InputError(
                    f"expected rounds.{place}.shards=dict(size=1000, window=16) in {cfg.filename}, or none, got "
                    f"{one['shards']!r}."
                )
            refuse_unknown(one["shards"], SHARDS, f"rounds.{place}.shards in {cfg.filename}")
            _check_values(one["shards"], _SHARDS_VALUES, f"rounds.{place}.shards", cfg.filename)
        if not one.get("per_class") and one.get("balanced") != "none":
            raise InputError(
                f"expected rounds.{place}.per_class in {cfg.filename}, the pseudo-labelled images that "
                "each class is to have, got none."
            )
    if bool(cfg.get("pool")) == bool((cfg.get("split") or {}).get("per_class")):
        raise InputError(
            f"expected either pool=dict(sources=[...]) or split=dict(per_class=...) in {cfg.filename}, "
            f"got {'both' if cfg.get('pool') else 'none'}."
        )
    pool = cfg.get("pool")
    if pool and not (isinstance(pool, dict) and set(pool) == {"sources"} and pool["sources"]):
        raise InputError(f"expected pool=dict(sources=[dict(folder=...), ...]) in {cfg.filename}, got {pool!r}.")
    _check_values(cfg.get("labelling") or {}, _LABELLING_VALUES, "labelling", cfg.filename)
    _check_values(cfg.get("split") or {}, _SPLIT_VALUES, "split", cfg.filename)
    check_parts(cfg)


def _check_values(part: Mapping, rules: Mapping[str, _Rule], name: str, where: str) -> None:
    """Refuse the first value out of range; None stands for the default."""
    for key, (words, fits) in rules.items():
        value = part.get(key)
        if value is not None and not fits(value):
            raise InputError(f"expected {words} for {name}.{key} in {where}, got {value!r}.")


def classifier_config(part, work_dir, labelled=None):
    """The training config that `part` names, with its overrides.

    Args:
        part: ``dict(config=..., options={...})``.
        work_dir: of the training.
        labelled: a :class:`~.labelled_split.LabelledSplit` whose list takes the place of the training data; transform
            and other settings of the data set stay. None leaves them as they are.

    Raises:
        InputError: no such config, or one that trains no classifier.
    """
    from ...config import load_config
    from ...config.classifiers import is_classifier
    from ...config.parts import flat

    cfg = load_config(part["config"], dict(flat(part.get("options") or {})))
    if not is_classifier(cfg.get("model")):
        kind = cfg.get("model", {}).get("type", "")
        raise InputError(f"expected the config of a classifier in {cfg.filename}, got model.type={kind!r}.")
    cfg.work_dir = str(work_dir)
    if labelled is not None:
        given = cfg.train_dataloader.dataset
        kept = {key: value for key, value in given.items() if key in ("transform", "in_memory", "on_broken")}
        cfg.train_dataloader.dataset = dict(
            type="frozen_det.ImageList", ann_file=str(labelled.labelled), classes=str(labelled.classes), **kept
        )
    return cfg


def student_config(cfg, manifest, settings: dict, teacher=None):
    """Turn a classifier's training config into a student's, in place.

    Args:
        cfg: from :func:`classifier_config`; its loader's batch is the labelled one, its ``auto_scale_lr`` the rate's
            for a labelled batch.
        manifest: config of the pseudo-labelled data set, without its transform.
        settings: keys of :data:`STUDENT`; a ratio that is 0 trains on labelled images alone.
        teacher: checkpoint that a warm student starts from.

    Raises:
        InputError: unknown settings.
    """
    settings = {**STUDENT, **settings}
    if settings["start"] not in STARTS:
        raise InputError(f"expected start as one of {list(STARTS)}, got {settings['start']!r} (rounds).")
    cfg.model.type = "frozen_det.NoisyClassifier"
    cfg.model.pseudo = {key: settings[key] for key in ("labels", "weighting")}
    cfg.model.weights = str(teacher) if settings["start"] == "warm" else None
    loader, ratio = cfg.train_dataloader, settings["ratio"]
    batch = loader.batch_size
    labelled = loader.dataset
    kept = {key: copy.deepcopy(labelled[key]) for key in ("transform", "in_memory") if key in labelled}
    pseudo = {**manifest, **kept, "labels": settings["labels"], "temperature": settings["temperature"]}
    loader.dataset = dict(
        type="frozen_det.JointDataset", labelled=labelled, pseudo=pseudo, epochs=cfg.train_cfg.max_epochs
    )
    loader.sampler = dict(type="frozen_det.JointSampler", batch_size=batch, ratio=ratio)
    loader.batch_size = joint_batch_size(batch, ratio)
    loader.drop_last = False
    scale = cfg.get("auto_scale_lr")
    if scale and scale.get("base_batch_size"):
        # The host scales by the loader's batch; the rate is to follow the labelled images in it.
        scale.base_batch_size = scale.base_batch_size * loader.batch_size / batch
    return cfg
