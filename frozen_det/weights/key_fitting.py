"""The names of a weights file brought under a backbone's names: by the prefix that fits, then by known renamings.

A file in which two different sets of tensors fill the backbone whole (a network and its average, student and teacher,
`encoder_q` and `encoder_k`) is refused: which one is meant is for the user to state, never a matter of order.
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import InputError, closest
from .key_maps import is_derived, renamed_to_fit
from .tensor_checks import few

# Roots under which libraries keep the classifier: a backbone does not need them, whatever their shape.
HEAD_ROOTS = frozenset({"fc", "head", "heads", "classifier", "last_linear", "head_dist", "head_drop", "pre_logits"})


@dataclass(frozen=True)
class Mapped:
    """A file's tensors under a backbone's names.

    Attributes:
        tensors: name -> tensor, with what the backbone does not want too.
        prefix: what was removed in front of every name.
        how: the mapping as text.
        outside: names of the file that do not begin with the prefix that was removed.
        fits: how many of the backbone's entries are filled in the right shape.
    """

    tensors: dict
    prefix: str
    how: str
    outside: tuple[str, ...]
    fits: int


def may_lack(name: str) -> bool:
    """Whether a file need not hold an entry: it is computed, or the step count of a norm, which old files lack."""
    return is_derived(name) or name.endswith("num_batches_tracked")


def map_names(state: Mapping, wanted: Mapping, where: str) -> Mapped:
    """The mapping under which most of the backbone is filled.

    Args:
        state: name -> tensor, as the file has them.
        wanted: the backbone's state dict.
        where: the file or library, for messages.

    Raises:
        InputError: different tensors fill the backbone whole under two prefixes.
    """
    needed = [name for name in wanted if not may_lack(name)]
    plain = [one for prefix in ("", *_prefixes(state, wanted)) for one in _plain(state, prefix, wanted)]
    whole = [one for one in plain if _is_whole(one, needed, wanted)]
    if not whole:
        # Names of another library: tried last, because it is slow and the plain ways never need it.
        other = [
            one
            for prefix in ("", *_common_prefixes(state, len(needed)))
            for one in (*_plain(state, prefix, wanted), _renamed(state, prefix, wanted))
            if one is not None
        ]
        whole = [one for one in other if _is_whole(one, needed, wanted)]
        plain += other
    _refuse_two(whole, needed, where)
    return max(whole or plain, key=lambda one: one.fits)


def under_prefix(state: Mapping, prefix: str, where: str) -> dict:
    """The tensors whose names begin with a prefix, without it.

    Args:
        state: name -> tensor.
        prefix: as the user gave it, with or without its final dot; ``''`` for the names without one, where
            the same names appear behind prefixes too.
        where: the file, for messages.

    Raises:
        InputError: no name begins with it.
    """
    if not prefix:
        copies = _copies(state)
        return {name: value for name, value in state.items() if not name.startswith(copies)}
    prefix = prefix if prefix.endswith(".") else f"{prefix}."
    found = _inside(state, prefix)[0]
    if not found:
        roots = sorted({name.split(".")[0] + "." for name in state if "." in name})
        raise InputError(
            f"expected names that start with {prefix!r} (prefix) in {where}, got none; "
            f"{closest(prefix, roots) or f'its names start with {few(roots, 8)}'}"
        )
    return found


def _copies(state: Mapping) -> tuple[str, ...]:
    """Prefixes behind which the names without one appear again. A block whose few names are also those of
    the stem (`layer1.0.conv1.weight`, `conv1.weight`) is none: it is small beside a network."""
    behind: dict[str, list[str]] = {}
    for name in state:
        for at in re.finditer(r"\.", name):
            behind.setdefault(name[: at.end()], []).append(name[at.end() :])
    again = {prefix: len(names) for prefix, names in behind.items() if all(name in state for name in names)}
    most = max(again.values(), default=0)
    return tuple(prefix for prefix, count in again.items() if 2 * count >= most and 10 * count >= len(state))


def _is_whole(mapped: Mapped, needed: list[str], wanted: Mapping) -> bool:
    return bool(needed) and all(
        name in mapped.tensors and mapped.tensors[name].shape == wanted[name].shape for name in needed
    )


def _refuse_two(whole: list[Mapped], needed: list[str], where: str) -> None:
    """Refuse a file of which two parts that differ fill the backbone."""
    if not whole:
        return
    import torch

    first = whole[0]
    for other in whole[1:]:
        if all(torch.equal(first.tensors[name], other.tensors[name]) for name in needed):
            continue
        raise InputError(
            f"expected one network in {where}, got two that fill the backbone and differ, under the prefixes "
            f"{first.prefix!r} and {other.prefix!r}. Nothing was loaded. Say which one is meant: "
            f"weights=dict(path={where!r}, prefix={first.prefix!r}) or prefix={other.prefix!r}."
        )


def _mapped(names: dict, prefix: str, how: str, outside: tuple[str, ...], wanted: Mapping) -> Mapped:
    fits = sum(name in wanted and value.shape == wanted[name].shape for name, value in names.items())
    return Mapped(names, prefix, how, outside, fits)


def _inside(state: Mapping, prefix: str) -> tuple[dict, tuple[str, ...]]:
    if not prefix:
        return dict(state), ()
    return (
        {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)},
        tuple(name for name in state if not name.startswith(prefix)),
    )


def _plain(state: Mapping, prefix: str, wanted: Mapping) -> list[Mapped]:
    """The tensors under a prefix as they are, and with the names that wrappers and ports change by rule."""
    names, outside = _inside(state, prefix)
    text = f"prefix {prefix!r} removed" if prefix else "names as they are"
    found = [_mapped(names, prefix, text, outside, wanted)]
    renamed = _without_feature_names(names)
    if renamed is not None:
        found.append(_mapped(renamed, prefix, f"{text}, features_only names restored", outside, wanted))
    ordered = by_order(names, wanted)
    if ordered is not None:
        text += ", `_blocks.` names matched by order, kind and shape"
        found.append(_mapped(ordered, prefix, text, outside, wanted))
    return found


def _renamed(state: Mapping, prefix: str, wanted: Mapping) -> Mapped | None:
    """The tensors under a prefix, from another library's names to the backbone's."""
    names, outside = _inside(state, prefix)
    renamed = renamed_to_fit(names, wanted, HEAD_ROOTS)
    if renamed is None:
        return None
    return _mapped(renamed[0], prefix, renamed[1] + (f", prefix {prefix!r} removed" if prefix else ""), outside, wanted)


def _common_prefixes(state: Mapping, count: int) -> list[str]:
    """Leading parts (`module.`, `backbone.`, `student.backbone.`) that enough names for a backbone begin with."""
    votes = Counter()
    for name in state:
        parts = name.split(".")[:-1]
        votes.update(".".join(parts[:depth]) + "." for depth in range(1, min(len(parts), 4) + 1))
    return [prefix for prefix, found in votes.items() if found >= count or 2 * found > len(state)]


def _prefixes(state: Mapping, wanted: Mapping) -> list[str]:
    """Prefixes under which names of the backbone appear in the file, the most frequent first."""
    votes = Counter()
    names = set(wanted)
    for key in state:
        at = key.find(".")
        while at != -1:
            if key[at + 1 :] in names:
                votes[key[: at + 1]] += 1
            at = key.find(".", at + 1)
    most = max(votes.values(), default=0)
    return [prefix for prefix, found in votes.most_common() if 2 * found >= most]


def _without_feature_names(state: Mapping) -> dict | None:
    """timm's `features_only=True` flattens `stages.0` to `stages_0`; give the plain names back."""
    pattern = re.compile(r"^(stem|stages|layers|blocks|features|body|levels|downsample_layers)_(\d+)\.")
    if not any(pattern.match(name) for name in state):
        return None
    return {pattern.sub(r"\1.\2.", name): value for name, value in state.items()}


def by_order(state: Mapping, wanted: Mapping) -> dict | None:
    """EfficientNet(-Lite) files of the `_blocks.` family: same tensors in the same order under other names.

    Accepted only if every kept entry agrees in kind (weight, running_mean, ...) and shape, one by one; the entries
    of the head that follow the backbone in the file stay under their own names, mapped to timm's.

    Args:
        state: the file's tensors.
        wanted: timm's state dict of the whole backbone, with or without its head.

    Returns:
        the tensors under timm's names; None for other files and other networks.
    """
    if not any(name.startswith("_blocks.") for name in state) or "_conv_stem.weight" not in state:
        return None
    head = {"_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    body, rest = [], {}
    for name, value in state.items():
        root, _, kind = name.partition(".")
        if root in head:
            rest[f"{head[root]}.{kind}"] = value
        else:
            body.append((name, value))
    names = [name for name in wanted if name.split(".")[0] not in head.values()]
    if len(names) != len(body):
        return None
    for name, (theirs, value) in zip(names, body):
        if name.rsplit(".", 1)[1] != theirs.rsplit(".", 1)[1] or wanted[name].shape != value.shape:
            return None
    return {**{name: value for name, (_, value) in zip(names, body)}, **rest}


def adopt_plain_names(state_dict: dict, prefix: str, wanted: dict) -> None:
    """Let a stock mmdet checkpoint (`backbone.conv1.weight`) fill a wrapped one (`backbone.body.conv1.weight`)."""
    if wanted and all(prefix + name in state_dict for name in wanted):
        for name in wanted:
            state_dict[f"{prefix}body.{name}"] = state_dict.pop(prefix + name)
