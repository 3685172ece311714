"""Refuses numbers and texts that cannot be right, by the name of their key and by the type that the constructor wants.

A key's name means the same everywhere (`batch_size`, `prob`, `lr`), so its range is written once.
"""

import math
import re
import typing

from ..errors import InputError
from ..host.signatures import parameters_of
from .top_level import live_keys


def check_values(cfg, where: str, typed: list) -> None:
    """Refuse numbers out of range, texts where a number belongs, NaN anywhere.

    Args:
        cfg: the config; where: its file, for messages.
        typed: its typed dicts, from :func:`.known_keys.check_keys`.

    Raises:
        InputError: with the dotted key, what was expected and what came.
    """
    for key in cfg:
        if key in live_keys(cfg):
            _check_ranges(cfg[key], key, key, where)
    for node, path, built in typed:
        _check_types(node, path, built, where)


def _check_ranges(node, key: str, path: str, where: str) -> None:
    if isinstance(node, float) and math.isnan(node):
        raise InputError(f"{where}: expected a number for {path}, got nan.")
    if isinstance(node, str) and (found := _UNREPLACED.search(node)):
        raise InputError(
            f"{where}: {path} holds {found[0]}, which mmengine has not replaced. An environment variable "
            "is written {{$NAME:default}}, a value of a base {{_base_.name}}."
        )
    if node is None and _NEVER_NONE.fullmatch(key):
        raise InputError(f"{where}: expected a value for {path}, got None.")
    for names, words, right in _RULES:
        asked = node is not None and (words.startswith("a text") or not hasattr(node, "items"))
        if asked and names.fullmatch(key) and not right(node):
            raise InputError(f"{where}: expected {words} for {path}, got {node!r}.")
    if hasattr(node, "items"):
        for name, value in node.items():
            _check_ranges(value, str(name), f"{path}.{name}", where)
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            _check_ranges(value, "", f"{path}.{index}", where)


_UNREPLACED = re.compile(r"\{\{.*?\}\}")
_NEVER_NONE = re.compile(
    "batch_size|num_workers|max_epochs|max_iters|val_interval|interval|lr|weight_decay|betas"
    "|max_norm|clip_value|accumulate|milestones|gamma|step_size|base_batch_size"
)


def is_number(value) -> bool:
    """Whether it is a finite number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value, least: int) -> bool:
    """Whether it is a whole number from `least` on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def is_share(value) -> bool:
    """Whether it is a number from 0 to 1."""
    return is_number(value) and 0 <= value <= 1


def _positive(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _each(right):
    """One value, or a list of them, nested as one likes."""

    def check(value) -> bool:
        return all(check(one) for one in value) if isinstance(value, list | tuple) else right(value)

    return check


def _some(right):
    """As :func:`_each`, without empty lists."""
    return lambda value: value not in ([], ()) and _each(right)(value)


def _rising(value) -> bool:
    return (
        isinstance(value, list | tuple)
        and all(is_number(one) and one > 0 for one in value)
        and list(value) == sorted(value)
    )


def _pixels(value) -> bool:
    """One size, a pair, or a list of pairs. A size is a whole number, -1 where it follows; or a small factor."""
    if isinstance(value, list | tuple):
        pairs = value if value and all(isinstance(one, list | tuple) for one in value) else [value]
        return all(
            len(pair) == 2 and all(not isinstance(one, list | tuple) and _pixels(one) for one in pair) for pair in pairs
        )
    return value == -1 or _positive(value) and (isinstance(value, int) or value < 10 or math.isinf(value))


def _one_of(*names):
    return f"one of {', '.join(names)}", lambda value: value in names


# (keys, what is expected, whether a value is right). None is not asked, and a dict only where a text belongs.
_RULES = [
    (re.compile(names), words, right)
    for names, words, right in (
        # Stock configs divide iterations by epochs: 57300.0 is as good as 57300 to mmengine's loops.
        (
            "val_interval",
            "a whole number from 1 on",
            lambda one: is_number(one) and one >= 1 and float(one).is_integer(),
        ),
        (
            "batch_size|max_epochs|max_iters|accumulative_counts|num_classes|window_size|prefetch_factor"
            "|out_channels|feat_channels|fc_out_channels|conv_out_channels|max_per_img|num|test_size|epochs",
            "a whole number from 1 on",
            _each(lambda one: is_whole(one, 1)),
        ),
        (
            "num_workers|num_shared_convs|num_shared_fcs|stacked_convs|num_convs|nms_pre|opencv_num_threads",
            "a whole number from 0 on",
            _each(lambda one: is_whole(one, 0)),
        ),
        ("begin|val_begin|T_max", "a number from 0 on", lambda one: is_number(one) and one >= 0),
        (
            "interval|max_keep_ckpts",
            "a whole number from 1 on, or -1 for never",
            lambda one: is_whole(one, 1) or one == -1 and not isinstance(one, bool),
        ),
        (
            "lr|weight_decay|lr_mult|decay_mult|\\w+_(lr|decay)_mult|eta_min|eps|timeout",
            "a finite number from 0 on",
            lambda one: is_number(one) and one >= 0,
        ),
        ("loss_weight", "a finite number from 0 on", _each(lambda one: is_number(one) and one >= 0)),
        (
            "momentum|dampening|\\w*prob|\\w+_prob|pos_fraction|score_thr|iou_threshold|label_smoothing|drop_rate"
            "|drop_path_rate|ratio_of_data|end_factor|(pos|neg|min_pos)_iou(_thr)?",
            "a number from 0 to 1",
            _each(is_share),
        ),
        ("start_factor", "a number above 0 and up to 1", lambda one: is_share(one) and one > 0),
        (
            "betas",
            "two numbers from 0 on and below 1",
            lambda two: (
                isinstance(two, list | tuple) and len(two) == 2 and all(is_share(one) and one < 1 for one in two)
            ),
        ),
        # Fractions of an epoch are steps too where a schedule is counted in iterations.
        ("gamma|step_size|warm_up|base_batch_size", "a finite number above 0", lambda one: is_number(one) and one > 0),
        ("max_norm|clip_value|norm_type", "a number above 0", _positive),  # an infinite norm only logs
        ("scales|ratios|base_sizes|octave_base_scale", "numbers above 0", _some(_positive)),
        ("seed", "a whole number from 0 to 4294967295", lambda one: is_whole(one, 0) and one < 2**32),
        (
            "milestones",
            "whole numbers that do not fall, at least one",  # a run cut short lets them meet
            lambda all_: _rising(all_) and bool(all_) and all(isinstance(one, int) for one in all_),
        ),
        ("scale|img_scale|crop_size|size_hw", "whole numbers of pixels: one, a pair, or a list of pairs", _pixels),
        (
            "ratio_range|scale_range|crop_ratio_range",
            "two positive numbers, the smaller first",
            lambda two: _rising(two) and len(two) == 2,
        ),
        ("rule", "'greater' or 'less'", _each(lambda one: one in ("greater", "less"))),
        (
            "data_root|ann_file|work_dir|load_from|default_scope|experiment_name",
            "a text",
            lambda one: isinstance(one, str),
        ),
        ("log_level", *_one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")),
        ("launcher", *_one_of("none", "pytorch", "slurm", "mpi")),
        ("mp_start_method", *_one_of("fork", "spawn", "forkserver")),
        (
            "priority",
            "a number from 0 to 100 or one of HIGHEST, VERY_HIGH, HIGH, ABOVE_NORMAL, NORMAL, BELOW_NORMAL, LOW, "
            "VERY_LOW, LOWEST",
            lambda one: (
                is_whole(one, 0)
                and one <= 100
                or isinstance(one, str)
                and one.upper()
                in (
                    "HIGHEST",
                    "VERY_HIGH",
                    "HIGH",
                    "ABOVE_NORMAL",
                    "NORMAL",
                    "BELOW_NORMAL",
                    "LOW",
                    "VERY_LOW",
                    "LOWEST",
                )
            ),
        ),
        (
            "resume|persistent_workers|pin_memory|drop_last|test_mode|cudnn_benchmark|deterministic|diff_rank_seed|enable",
            "true or false",
            lambda one: isinstance(one, bool),
        ),
    )
]


def _check_types(node, path: str, built, where: str) -> None:
    """Compare plain values with the constructor's annotations, or its defaults where it has none."""
    parameters = parameters_of(built)
    for key, value in node.items():
        blank = value is None and (path.startswith("model.") or _takes_none(parameters.get(key)))  # filled in later
        if key not in parameters or key == "type" or blank:
            continue
        wanted = _plain_types(parameters[key])
        if wanted and not any(_is_a(value, one) for one in wanted):
            words = " or ".join(_WORDS[one] for one in wanted)
            raise InputError(f"{where}: expected {words} for {path}.{key}, got {value!r}.")


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _plain_types(parameter) -> tuple[type, ...]:
    """The plain types that an annotation allows; empty where it allows anything else too, or says nothing."""
    hint = parameter.annotation
    if hint is parameter.empty:
        default = parameter.default
        return (bool,) if isinstance(default, bool) else ()
    options = typing.get_args(hint) if typing.get_origin(hint) is typing.Union or "|" in str(hint) else (hint,)
    options = tuple(one for one in options if one is not type(None))
    if isinstance(hint, str):
        names = {"bool": bool, "int": int, "float": float, "str": str, "None": None}
        parts = [part.strip() for part in hint.split("|")]
        if any(part not in names for part in parts):
            return ()
        options = tuple(names[part] for part in parts if names[part] is not None)
    return options if options and all(one in _WORDS for one in options) else ()


def _takes_none(parameter) -> bool:
    return parameter is not None and (
        parameter.default is None or "None" in str(parameter.annotation) or "Optional" in str(parameter.annotation)
    )


def _is_a(value, kind: type) -> bool:
    """Loosely for numbers: mmdet's annotations say `int` where a fraction or a tuple does as well."""
    return not isinstance(value, str | bool | None) if kind in (int, float) else isinstance(value, kind)
