"""One exception for everything a user can put right; the command line turns it into one line and exit code 2."""


class InputError(ValueError):
    """Bad input: a file, a config key or an argument that does not fit.

    The message says, in this order: what was expected, what came, where (file, config key), what to do.
    """


def closest(name: str, known, count: int = 3) -> str:
    """``"did you mean 'a', 'b'?"`` for the known names nearest to ``name``; an empty string if none is near."""
    from difflib import get_close_matches

    near = get_close_matches(str(name), [str(k) for k in known], n=count, cutoff=0.4)
    return f"did you mean {', '.join(repr(n) for n in near)}?" if near else ""
