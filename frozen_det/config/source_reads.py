"""Which keys of an untyped dict (`train_cfg.rcnn`, `filter_cfg`, `env_cfg`) are read, by the code that receives it.

mmdet hands such dicts on as they are and reads single keys somewhere; a key that is read nowhere is silently ignored.
The names are taken from the classes' own source: ``cfg.score_thr``, ``cfg.get('nms')``, ``cfg['mask_size']``. Where a
class has no source, or nothing is read by name there, nothing is known.
"""

import inspect
import re
import sys
from functools import lru_cache
from pathlib import Path

_BY_TEXT = r"(?:\.(?:get|pop|setdefault|__contains__)\(\s*|\[)(?:f?['\"])(\w+)['\"]"
HOSTS = ("mmdet", "mmcv", "mmengine", "frozen_det")


def reads_of_variable(owner, variable: str) -> set[str]:
    """Keys that a class (or what it inherits from) reads of a variable or attribute of one name.

    Args:
        owner: a class; variable: the name of the argument that holds the dict.
    """
    found: set[str] = set()
    for text in _texts(owner):
        found |= _reads(text, variable)
    return found


def reads_of_settings(owners) -> set[str]:
    """Keys that classes, and what their modules use of the hosts, read of any variable that is called a cfg."""
    found: set[str] = set()
    for owner in owners:
        for text in _texts(owner):
            found |= _reads(text, r"\w*cfg\w*")
    return found


@lru_cache(maxsize=1024)
def _reads(text: str, variable: str) -> frozenset[str]:
    name = rf"\b_?{variable}_?"
    found = set(re.findall(name + r"(?:\[[^\]]*\])?" + _BY_TEXT, text))
    found |= set(re.findall(rf"['\"](\w+)['\"]\s+(?:not\s+)?in\s+(?:self\.)?{name}\b", text))
    found |= set(re.findall(rf"(?:get|has)attr\(\s*(?:self\.)?{name},\s*['\"](\w+)['\"]", text))
    found |= set(re.findall(name + r"\.(\w+)\b(?!\()", text))
    return frozenset(found)


def _texts(owner) -> list[str]:
    classes = owner.__mro__ if inspect.isclass(owner) else (owner,)
    modules = dict.fromkeys(cls.__module__ for cls in classes if cls.__module__.split(".")[0] in HOSTS)
    return [text for module in modules if (text := _text(module))]


@lru_cache(maxsize=1024)
def _text(module: str) -> str:
    file = getattr(sys.modules.get(module), "__file__", None)
    try:
        return Path(file).read_text(encoding="utf-8") if file else ""
    except OSError:
        return ""
