"""Python's part of a pickle: containers and numbers that are written as calls of a type.

Each call takes the few arguments that a pickle of ours would give it and refuses all others, so that none can ask for
memory by a number (`bytearray(10**12)`, `list(range(10**12))`).
"""

from collections import Counter, OrderedDict, defaultdict, deque

from .safe_pickle import Name, Refused, checked_key


def plain_calls() -> dict:
    """(module, name) -> function that replaces it, for :class:`.safe_pickle.PlainUnpickler`."""
    return {
        **{("builtins", kind.__name__): _collect(kind) for kind in (list, tuple, set, frozenset)},
        ("builtins", "dict"): _mapping(dict),
        ("collections", "OrderedDict"): _mapping(OrderedDict),
        ("collections", "Counter"): _mapping(Counter),
        ("collections", "defaultdict"): _defaultdict,
        ("collections", "deque"): _deque,
        ("builtins", "int"): _take(int, float, bool),
        ("builtins", "float"): _take(float, int, str),
        ("builtins", "bool"): _take(bool, int),
        ("builtins", "str"): _take(str),
        ("builtins", "bytes"): _take(bytes, bytearray),
        ("builtins", "bytearray"): _bytearray,
        ("builtins", "complex"): _numbers(complex, 0, 2),
        ("builtins", "slice"): _numbers(slice, 1, 3),
        ("builtins", "range"): _numbers(range, 1, 3),
        ("_codecs", "encode"): _encoded,
    }


def _take(*types):
    """A function of at most one argument, of one of the types, that makes a `types[0]` of it."""

    def make(*args):
        if len(args) > 1 or not all(type(arg) in types for arg in args):
            raise Refused(f"{types[0].__name__} of {', '.join(type(arg).__name__ for arg in args)}")
        return types[0](*args)

    return make


def _collect(kind):
    """A function of at most one list, tuple or set that makes a `kind` of it, whose items hash by plain values."""

    def make(*args):
        if len(args) > 1 or not all(type(arg) in (list, tuple, set, frozenset) for arg in args):
            raise Refused(f"{kind.__name__} of {', '.join(type(arg).__name__ for arg in args)}")
        return kind(map(checked_key, *args)) if args and kind in (set, frozenset) else kind(*args)

    return make


def _mapping(kind):
    """A function that makes a dictionary of a kind of another dictionary, or of pairs."""

    def make(content=()):
        if type(content) not in (dict, OrderedDict, list, tuple):
            raise Refused(f"{kind.__name__} of {type(content).__name__}")
        made = kind()
        for key, value in content.items() if isinstance(content, dict) else content:
            made[checked_key(key)] = value
        return made

    return make


def _encoded(text="", encoding="latin1"):
    """Bytes, as protocol 2 writes them."""
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise Refused(f"_codecs.encode with {encoding!r}")
    return text.encode("latin1")


def _bytearray(content=b"", encoding="latin1"):
    return bytearray(_encoded(content, encoding) if type(content) is str else _take(bytes, bytearray)(content))


def _defaultdict(factory=None, *content):
    known = {"list": list, "dict": dict, "int": int, "float": float, "set": set}
    if factory is not None and not (type(factory) is Name and factory.module == "builtins" and factory.name in known):
        raise Refused("collections.defaultdict with a function")
    made = defaultdict(None if factory is None else known[factory.name])
    made.update(_mapping(dict)(*content))
    return made


def _deque(content=(), maxlen=None):
    return deque(_collect(list)(content), maxlen)


def _numbers(kind, least: int, most: int):
    """A function of a few whole numbers (or None)."""

    def make(*args):
        if not least <= len(args) <= most or not all(arg is None or type(arg) in (int, float) for arg in args):
            raise Refused(f"{kind.__name__} of {', '.join(type(arg).__name__ for arg in args)}")
        return kind(*args)

    return make
