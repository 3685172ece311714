"""Reads KEY=VALUE texts of a command line into values: numbers, true, None, texts, lists, tuples and dicts.

The grammar is mmengine's (`a=1,2` and `a=[1,2]` are lists, `a=(1,2)` a tuple), with blanks in a text kept, quotes that
protect a text from being read as anything else, and dicts as Python writes them. Brackets that do not match, an empty
value and a key that is given twice with two values are refused.
"""

import ast
import re

from ..errors import InputError

_OPENING, _CLOSING = "([{", ")]}"


def parse_options(items: list[str]) -> dict[str, object]:
    """Values by dotted key.

    Raises:
        InputError: a text that is no KEY=VALUE, or whose value cannot be read.
    """
    options: dict[str, object] = {}
    for item in items:
        key, sign, text = item.partition("=")
        if not sign or not key:
            raise InputError(f"expected --cfg-options as KEY=VALUE, got {item!r}.")
        if not re.fullmatch(r"[\w-]+(\.[\w-]+)*", key):
            raise InputError(
                f"expected a key of names and numbers with dots between them before the = of "
                f"--cfg-options {item!r}; a list's entry is written `list.0.key`."
            )
        value = parse_value(text, item)
        if key in options and repr(options[key]) != repr(value):
            raise InputError(f"--cfg-options {key} is given twice, as {options[key]!r} and as {value!r}. Keep one.")
        options[key] = value
    for key in options:
        for above in (other for other in options if key.startswith(f"{other}.")):
            if not isinstance(options[above], dict) or _says_otherwise(
                options[above], key[len(above) + 1 :].split("."), options[key]
            ):
                raise InputError(
                    f"--cfg-options {above} and {key} contradict each other: the second is inside the first. Keep one."
                )
    return options


def _says_otherwise(node, way: list[str], value) -> bool:
    for key in way:
        if not isinstance(node, dict) or key not in node:
            return not isinstance(node, dict)
        node = node[key]
    return repr(node) != repr(value)


def parse_value(text: str, item: str) -> object:
    """A value as it is written on a command line; `item` is quoted in the refusal.

    Raises:
        InputError: nothing there, brackets or quotes that do not match, a dict that is not one.
    """
    text = text.strip()
    if not text:
        raise InputError(
            f"expected a value after the = of --cfg-options {item!r}, got nothing. An empty text is "
            f"written {item}\"''\", no value {item}None."
        )
    if re.match(r"(\{|dict\()", text):
        return _dict(text, item)
    parts = _split(text, item)
    if len(parts) > 1 or text.endswith(","):
        return [parse_value(part, item) for part in parts]
    if text[0] in "([" and text[-1] in ")]":
        inner = [part for part in _split(text[1:-1], item) if part.strip()]
        values = [parse_value(part, item) for part in inner]
        return tuple(values) if text[0] == "(" else values
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text[1:-1]
    return _scalar(text)


def as_options(entries: dict[str, object]) -> str:
    """Entries as they are typed behind `--cfg-options`; :func:`parse_options` of the shell's words gives them back."""
    import shlex

    return " ".join(shlex.quote(f"{key}={_written(value)}") for key, value in entries.items())


def _written(value) -> str:
    if isinstance(value, list | tuple):
        inner = ",".join(map(_written, value))
        return f"[{inner}]" if isinstance(value, list) else f"({inner},)" if len(value) == 1 else f"({inner})"
    if not isinstance(value, str):
        return repr(value)
    try:
        plain = not set(value) & set("'\"") and value == value.strip() and parse_value(value, value) == value
    except InputError:
        plain = False
    quote = "'" if '"' in value else '"'
    return value if plain else f"{quote}{value}{quote}"


def _scalar(text: str):
    for kind in (int, float) if "_" not in text else ():  # Python reads 1_0 as 10: here it is a date or a name
        try:
            return kind(text)
        except ValueError:
            pass
    return {"true": True, "false": False}.get(text.lower(), None if text == "None" else text)


def _split(text: str, item: str) -> list[str]:
    """The parts between commas that are in no bracket and no quotes; a comma at the end ends the last one."""
    parts, open_brackets, quote, start = [], [], "", 0
    for place, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"" and _begins_value(text[:place], open_brackets):
            quote = char  # an apostrophe inside a word quotes nothing
        elif char in _OPENING:
            open_brackets.append(char)
        elif char in _CLOSING:
            if not open_brackets or _OPENING.index(open_brackets.pop()) != _CLOSING.index(char):
                open_brackets = ["?"]
                break
        elif char == "," and not open_brackets:
            parts.append(text[start:place])
            start = place + 1
    if open_brackets or quote:
        raise InputError(
            f"expected brackets and quotes in pairs in --cfg-options {item!r}. A text that holds one is "
            "written in quotes inside quotes: key='\"a[b\"'."
        )
    return parts if not text[start:].strip() else [*parts, text[start:]]


def _begins_value(before: str, open_brackets: list[str]) -> bool:
    last = before.rstrip()[-1:]
    return last in ("", ",", *_OPENING) or bool(open_brackets) and last in ":="


def _dict(text: str, item: str) -> dict:
    try:
        return _literal(ast.parse(text, mode="eval").body)
    except (SyntaxError, ValueError) as error:
        raise InputError(
            f"expected a dict as Python writes it, with texts in quotes, in --cfg-options {item!r}. Or "
            "set its entries one by one: key.entry=value."
        ) from error


def _literal(node: ast.expr):
    """A literal, with `dict(a=1)` for a dict too; nothing is run."""
    if isinstance(node, ast.Call):
        if (
            not isinstance(node.func, ast.Name)
            or node.func.id != "dict"
            or node.args
            or any(one.arg is None for one in node.keywords)
        ):
            raise ValueError(ast.unparse(node))
        return {one.arg: _literal(one.value) for one in node.keywords}
    if isinstance(node, ast.Dict):
        return {ast.literal_eval(key): _literal(value) for key, value in zip(node.keys, node.values)}
    if isinstance(node, ast.List | ast.Tuple):
        values = [_literal(one) for one in node.elts]
        return values if isinstance(node, ast.List) else tuple(values)
    return ast.literal_eval(node)
