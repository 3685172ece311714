"""Says in one line what mmengine and torch raise when they build from a config: the class, and what it did not take."""

import re

_BUILT = re.compile(r"^class `(\w+)` in ([\w./]+): (.*)", re.S)
_ABSENT = re.compile(r"(\w+) is not in the ([\w:: ]+) registry")


def words_of_build_error(error: BaseException) -> str | None:
    """One line for an exception of a build; None for any other.

    mmengine puts the class's name before the text of whatever its constructor raised.
    """
    text = str(error.args[0]) if error.args else ""
    built = _BUILT.match(text)
    if built:
        while inner := _BUILT.match(built[3]):  # a part of a part
            built = inner
        return f"{built[1]} cannot be built from the config: {_first(built[3])}"
    absent = _ABSENT.search(text)
    if absent:
        return (f"there is no type {absent[1]!r} in the registry {absent[2]}. Look at its spelling and at "
                "custom_imports of the config.")
    return None


def _first(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no detail")
