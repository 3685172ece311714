"""Key names as templates: `layers.{s+1}.downsample.norm.{leaf}` matches a name, and is filled in to make one."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from torch import Tensor

LEAVES = "weight|bias|running_mean|running_var|num_batches_tracked"
# Fields that are not numbers, and what they may be.
_WORDS = {
    "leaf": LEAVES,
    "unit": r"(?:conv|bn)\d|downsample\.\d",
    "norm": "norm1|norm2",
    "linear": "qkv|proj",
    "merge": "norm|reduction",
}
_FIELD = re.compile(r"\{(?:(\d+)\*)?(\w+)(?:\+(\d+))?\}")


@dataclass(frozen=True)
class Rule:
    """One kind of tensor under timm's name and under another library's.

    Attributes:
        timm, other: templates with the same fields. A field is a number (`{s}`, `{2*s+1}`) or a word (`{leaf}`).
        to_other, to_timm: what happens to the tensor; None for nothing.
    """

    timm: str
    other: str
    to_other: Callable[[Tensor], Tensor] | None = None
    to_timm: Callable[[Tensor], Tensor] | None = None


@cache
def _compiled(template: str):
    fields, pattern, at = [], "", 0
    for found in _FIELD.finditer(template):
        factor, name, offset = int(found[1] or 1), found[2], int(found[3] or 0)
        fields.append((name, factor, offset))
        pattern += re.escape(template[at : found.start()]) + f"({_WORDS.get(name, '[0-9]+')})"
        at = found.end()
    return re.compile(pattern + re.escape(template[at:])), tuple(fields)


def match(template: str, name: str) -> dict | None:
    """The fields of a name, or None if it is not of this form."""
    pattern, fields = _compiled(template)
    found = pattern.fullmatch(name)
    if found is None:
        return None
    values = {}
    for (field, factor, offset), text in zip(fields, found.groups()):
        if field in _WORDS:
            values[field] = text
            continue
        value, rest = divmod(int(text) - offset, factor)
        if rest or value < 0:
            return None
        values[field] = value
    return values


def fill(template: str, values: dict) -> str:
    """The name that a template makes of field values."""

    def text(found):
        value = values[found[2]]
        return value if found[2] in _WORDS else str(int(found[1] or 1) * value + int(found[3] or 0))

    return _FIELD.sub(text, template)
