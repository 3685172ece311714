"""The names of classes: as people see them, and as a config gives them against those that the data have."""

import unicodedata
from collections import Counter
from collections.abc import Mapping

from ...errors import InputError, closest
from .refusals import few


def as_seen(name: str) -> str:
    """A name as it looks: composed, without characters that take no space, blanks of any kind and number as one."""
    shown = "".join(c for c in unicodedata.normalize("NFC", name) if unicodedata.category(c) != "Cf")
    return " ".join(shown.split())


def check_metainfo(metainfo: Mapping | None) -> None:
    """Refuse another spelling of ``classes``, such as mmdet 2's in capitals, which would be passed over."""
    for key in metainfo or ():
        if key != "classes" and str(key).lower() == "classes":
            raise InputError(
                f"expected the names of the classes as metainfo.classes, got metainfo.{key}, which is not "
                "read; write it in small letters."
            )


def check_classes(given, own: tuple[str, ...], ann_file: str) -> None:
    """Refuse ``metainfo.classes`` that is no list of distinct names among the categories of the json."""
    if isinstance(given, str) or not all(isinstance(name, str) for name in given):
        raise InputError(
            f"expected metainfo.classes as a tuple of names, got {given!r}; a single class is written "
            "('name',) with its comma."
        )
    doubles = [name for name, count in Counter(given).items() if count > 1]
    if doubles or not given:
        raise InputError(f"expected each class once in metainfo.classes, got {doubles or 'none'}; remove the doubles.")
    unknown = [name for name in given if name not in own]
    if unknown:
        raise InputError(
            f"expected metainfo.classes to be among the categories of {ann_file}, got "
            f"{few_names(unknown)}, which it lacks; "
            f"{closest(unknown[0], own) or f'it holds {few_names(own)}.'}"
        )


def few_names(names, count: int = 20) -> str:
    """The first names in quotes, and how many there are if there are more."""
    return few(list(map(repr, names)), count)
