"""Reads pickles as plain data: names in a file are looked up in our own tables, never imported and never called.

An ordinary unpickler calls whatever the file names, and sets attributes and items on whatever lies on its stack. This
one knows the operations that build numbers, texts and containers. A name gives a :class:`Name`; calling it means
running the function of ours that replaces it and checks its arguments. Items are set on plain containers alone.
Harmless classes of the host become :class:`Inert`. All else is refused by name. A file of a few bytes cannot request
much memory or time, nor for containers in containers without end.
"""

import pickle
import shlex
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError

_MOST_LEVELS = 200  # of containers in containers
_MOST_ITEMS = 50_000_000  # of containers, one in several places counted for each
_ATOMS = frozenset({int, float, str, bool, bytes, type(None)})


@dataclass(frozen=True)
class Name:
    """What a file calls a function or a class; nothing more."""

    module: str
    name: str


class Inert:
    """Inert placeholder for an object of a class that is not imported: keeps constructor arguments and state."""

    def __init__(self, origin: str, args: tuple = ()):
        self.origin, self.args, self.state = origin, args, None

    def __repr__(self):
        return f"<inert {self.origin}>"


class Refused(Exception):
    """The file asks for something that is not plain data; the message names it."""


# Harmless classes seen in checkpoints of mmengine, timm, FixRes and friends: data only, and never imported here. Of the
# host's packages every class (an upper-case name) passes, no function.
_INERT = {
    ("builtins", "getattr"),
    ("argparse", "Namespace"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
    ("pathlib", "PurePosixPath"),
    ("pathlib._local", "PosixPath"),
}
_INERT_PACKAGES = ("mmengine.", "mmcv.", "mmdet.")

# What is taken from the standard library as it is: it makes numbers and texts, or moves what lies on the stack.
_OPERATIONS = """
    PROTO FRAME STOP NONE NEWTRUE NEWFALSE INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING
    SHORT_BINSTRING BINBYTES BINBYTES8 SHORT_BINBYTES UNICODE BINUNICODE BINUNICODE8 SHORT_BINUNICODE EMPTY_TUPLE
    TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST LIST EMPTY_DICT EMPTY_SET GET BINGET LONG_BINGET PUT BINPUT LONG_BINPUT
    MEMOIZE MARK POP POP_MARK DUP GLOBAL STACK_GLOBAL BINPERSID"""


class PlainUnpickler(pickle._Unpickler):
    """The standard library's unpickler in Python, with the operations of plain data alone.

    Args:
        file: binary, at the first byte of a pickle; afterwards at the byte behind it.
        calls: functions that replace names: (module, name) -> f(*args).
        values: names that are values: (module, name) -> object.
        builds: type -> f(object, state), for objects that a call gave and whose state follows.
        encoding: of texts that Python 2 wrote.

    Raises:
        Refused: on reading, for a name in no table, or an operation on what is no plain container.
    """

    dispatch = {
        getattr(pickle, name)[0]: pickle._Unpickler.dispatch[getattr(pickle, name)[0]] for name in _OPERATIONS.split()
    }

    def __init__(self, file, calls: dict, values: dict, builds: dict, encoding: str = "utf-8"):
        super().__init__(file, encoding=encoding)
        self._calls, self._values, self._builds = calls, values, builds

    def load(self):
        """The object in the file."""
        try:
            return super().load()
        except KeyError as error:
            known = {value[0]: name for name, value in vars(pickle).items() if name.isupper() and type(value) is bytes}
            if error.args[0] in known:
                raise Refused(f"the pickle operation {known[error.args[0]]}") from error
            raise pickle.UnpicklingError("no pickle") from error

    def find_class(self, module, name):
        if self.proto < 3:  # Python 2's names, which torch.save writes
            module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        key = (module, name)
        if key in self._values:
            return self._values[key]
        if key in self._calls or _is_inert(module, name):
            return Name(module, name)
        raise Refused(f"{module}.{name}")

    def persistent_load(self, pid):
        raise Refused("a persistent id")

    def _call(self, name, args: tuple):
        if type(name) is not Name or type(args) is not tuple:
            raise Refused("a call of something that is no name")
        stands_for = self._calls.get((name.module, name.name))
        return Inert(f"{name.module}.{name.name}", args) if stands_for is None else stands_for(*args)

    def _on_reduce(self):
        args = self.stack.pop()
        self.stack[-1] = self._call(self.stack[-1], args)

    def _on_newobj_ex(self):
        if self.stack.pop():
            raise Refused("a call with keywords")
        self._on_reduce()

    def _on_build(self):
        state = self.stack.pop()
        built = self.stack[-1]
        if type(built) is Inert:
            built.state = state
        elif type(built) is OrderedDict and type(state) is dict:
            # A module's state dict carries its versions this way. Any other attribute would hide a method.
            if isinstance(state.get("_metadata"), dict):
                built._metadata = state["_metadata"]
        elif type(built) in self._builds:
            self._builds[type(built)](built, state)
        else:
            raise Refused(f"a state for an object of type {type(built).__name__}")

    def _on_append(self):
        self._extend([self.stack.pop()])

    def _on_appends(self):
        self._extend(self.pop_mark())

    def _extend(self, items: list) -> None:
        if type(self.stack[-1]) not in (list, deque):
            raise Refused(f"an item for an object of type {type(self.stack[-1]).__name__}")
        self.stack[-1].extend(items)

    def _on_setitem(self):
        value, key = self.stack.pop(), self.stack.pop()
        self._set_items([key, value])

    def _on_setitems(self):
        self._set_items(self.pop_mark())

    def _on_dict(self):
        items = self.pop_mark()
        self.append({})
        self._set_items(items)

    def _set_items(self, items: list) -> None:
        target = self.stack[-1]
        if type(target) not in (dict, OrderedDict, Counter, defaultdict):
            raise Refused(f"an item for an object of type {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[checked_key(key)] = value

    def _on_additems(self):
        items = self.pop_mark()
        if type(self.stack[-1]) is not set:
            raise Refused(f"an item for an object of type {type(self.stack[-1]).__name__}")
        self.stack[-1].update(map(checked_key, items))

    def _on_frozenset(self):
        items = self.pop_mark()  # changes what `self.append` is
        self.append(frozenset(map(checked_key, items)))

    def _on_bytearray8(self):
        wanted = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(wanted)))  # as many as there are

    dispatch.update(
        {
            getattr(pickle, name)[0]: function
            for name, function in {
                "REDUCE": _on_reduce,
                "NEWOBJ": _on_reduce,
                "NEWOBJ_EX": _on_newobj_ex,
                "BUILD": _on_build,
                "APPEND": _on_append,
                "APPENDS": _on_appends,
                "SETITEM": _on_setitem,
                "SETITEMS": _on_setitems,
                "DICT": _on_dict,
                "ADDITEMS": _on_additems,
                "FROZENSET": _on_frozenset,
                "BYTEARRAY8": _on_bytearray8,
            }.items()
        }
    )


def _is_inert(module: str, name: str) -> bool:
    is_class = name[:1].isupper() and name.isidentifier()
    return (module, name) in _INERT or (module.startswith(_INERT_PACKAGES) and is_class)


def checked_key(key, level: int = 0):
    """A key as it is, where it hashes by plain values: the hash of a tuple a million levels deep ends the process."""
    if type(key) is tuple and level < 8:
        for item in key:
            checked_key(item, level + 1)
    elif type(key).__module__ not in ("builtins", "numpy", "torch") or isinstance(key, (tuple, frozenset, type)):
        raise Refused(f"a key of type {type(key).__name__}")
    return key


def bounded(tree):
    """The object as it is, where walking through it ends: not too deep, not in a circle, not the same list in itself
    over and over.

    Raises:
        Refused: with what is too much.
    """
    sizes: dict[int, int] = {}  # of finished containers: items, those of inner ones included
    path: list = [(tree, iter(_children(tree)), 0)]
    open_ids = {id(tree)}
    while path:
        node, children, size = path.pop()
        for child in children:
            if type(child) in _ATOMS or not _children(child):
                size += 1
            elif id(child) in sizes:
                size += sizes[id(child)]
            elif id(child) in open_ids or len(path) >= _MOST_LEVELS:
                raise Refused(f"containers more than {_MOST_LEVELS} levels deep, or in a circle")
            else:
                path += [(node, children, size), (child, iter(_children(child)), 0)]
                open_ids.add(id(child))
                break
        else:
            if size > _MOST_ITEMS:
                raise Refused(f"more than {_MOST_ITEMS:,} items")
            sizes[id(node)] = size + 1
            open_ids.discard(id(node))
            if path:
                above, rest, before = path.pop()
                path.append((above, rest, before + size + 1))
    return tree


def _children(node):
    """What a container holds; nothing for all else."""
    if isinstance(node, dict):
        return [*node.keys(), *node.values()]
    if isinstance(node, Inert):
        return [*node.args, node.state]
    return node if isinstance(node, (list, tuple, set, frozenset, deque)) else ()


def refusal(where, error: Refused, converter: bool) -> InputError:
    """The one line for a user. `converter`: whether the file is one of weights, for which there is one."""
    asked = str(error).encode("unicode_escape").decode()[:200]  # the file's own text: on one line, and few
    line = (
        f"expected tensors, numbers and plain containers, but {where} asks for `{asked}` while it is read, which "
        "could run code. Nothing was run."
    )
    if converter:
        out = Path(where).with_suffix(".safetensors").name
        line += (
            " If you trust the file's author: frozen-det convert --trust "
            f"{shlex.quote(str(where))} -o {shlex.quote(out)}"
        )
    return InputError(line)
