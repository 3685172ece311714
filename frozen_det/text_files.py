"""Json, yaml and text that people bring: read as UTF-8 with or without a byte order mark, or refused by file.

Also refused: json that breaks off, is nested too deep or names a data set's list twice, yaml that names any key twice,
compressed files, pipes and devices. Nothing in a file is executed; what yaml holds stays text, so that a class called
``no`` or ``1.10`` keeps its name.
"""

import gc
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from .errors import InputError

_COMPRESSED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bzip2", b"\xfd7zXZ": "xz"}
# Of two such lists json's readers keep the last. Other keys are not looked at: that takes as long as reading.
_LISTS = re.compile(rb'"(images|annotations|categories)"\s*:')

_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map", "int", "float", "bool", "null")}


@dataclass(frozen=True)
class Tagged:
    """A value of yaml with a tag beyond yaml's own: what the tag asks for is not done, the value is no other."""

    tag: str


def read_json(path: str | os.PathLike, role: str = "a json file"):
    """Content of a json file, UTF-8, -16 or -32.

    Args:
        role: what the file is to the user, for the message where it is not there.

    Raises:
        InputError: naming the file, where it is not there or no json.
    """
    content = _bytes(path, role)
    try:
        if max(Counter(_LISTS.findall(content)).values(), default=0) > 1:
            json.loads(content, object_pairs_hook=_Distinct(path))
        return json.loads(content)
    except InputError:
        raise
    except RecursionError as error:
        raise InputError(
            f"{path}: expected json, got lists or objects nested too deep to be read; write the file again."
        ) from error
    except ValueError as error:  # both broken json and broken text
        kind = _compression(content)
        got = (
            f"a {kind} archive; unpack it."
            if kind
            else (f"text that ends or breaks off: {error}; write or fetch the file again.")
        )
        raise InputError(f"{path}: expected json, got {got}") from error


def read_text(path: str | os.PathLike) -> str:
    """Content of a text file, UTF-8, with or without a byte order mark.

    Raises:
        InputError: naming the file, where it is not there or something else.
    """
    content = _bytes(path, "a text file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path}: expected text in UTF-8, got bytes that are none ({error.reason} at {error.start}); "
            "save the file as UTF-8."
        ) from error


def is_writable(text: str) -> bool:
    """False for a text with half a character (a lone surrogate, as json's ``\\ud83d``): no file and no evaluator takes
    it."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def read_lines(path: str | os.PathLike) -> list[str]:
    """Lines of a text file without the blanks around them; empty lines are there, so that numbers stay."""
    return [line.strip() for line in read_text(path).splitlines()]


def read_yaml(path: str | os.PathLike) -> dict:
    """A yaml mapping in which every scalar is text, every tagged value a :class:`Tagged`; empty where the file holds
    something else.

    Raises:
        InputError: naming the file, where it is no yaml or names a key twice.
    """
    try:
        content = yaml.load(read_text(path), Loader=_TextLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: expected yaml, got: {' '.join(str(error).split())}; repair the file.") from error
    return content if isinstance(content, dict) else {}


class _Distinct:
    """json's hook for objects: refuses one that holds a key twice."""

    def __init__(self, path) -> None:
        self.path = path

    def __call__(self, pairs: list[tuple]) -> None:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            key, times = Counter(keys).most_common(1)[0]
            raise InputError(
                f"{self.path}: expected each key of an object once, got {key!r} {times} times, of which "
                "only the last would count; join the values under one key."
            )


class _TextLoader(yaml.BaseLoader):
    """yaml's loader without types, which refuses a key that is named twice."""

    def construct_object(self, node, deep=False):
        return super().construct_object(node, deep) if node.tag in _TAGS else Tagged(node.tag)

    def construct_mapping(self, node, deep=False) -> dict:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice!r} twice", node.start_mark)
        return super().construct_mapping(node, deep)


def is_readable_kind(path: str | os.PathLike) -> bool:
    """False for what is there but no regular file: a pipe would be waited on for ever, a device may have no end."""
    return os.path.isfile(path) or not os.path.exists(path)


def _bytes(path: str | os.PathLike, role: str) -> bytes:
    if not is_readable_kind(path):
        raise InputError(f"{path}: expected {role}, got a folder, a pipe or a device; name a file.")
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"expected {role} at {path}, got nothing there; correct the path.") from error
    except OSError as error:
        raise InputError(f"{path}: expected a readable file, got: {error.strerror}.") from error


def _compression(content: bytes) -> str | None:
    return next((kind for start, kind in _COMPRESSED.items() if content.startswith(start)), None)


@contextmanager
def no_collector() -> Iterator[None]:
    """Hold Python's garbage collector still, and leave it as it was.

    Of the millions of lists in a large json none is garbage, and looking at all of them again and again takes as long
    as reading them.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
