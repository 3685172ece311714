"""The command line: `frozen-det NAME ...` and `python tools/NAME.py ...` are the same call.

Each command is one module here with a docstring, ``add_arguments(parser)`` and ``run(args) -> int | None``.
Bad input ends in one line and exit code 2, never in a traceback (``FROZEN_DET_TRACEBACK=1`` shows it); so do signals
(130, 143), full disks and lost processes.
"""

import argparse
import importlib
import os
import sys

from ..errors import closest
from ..host.faults import described, ending_by_signal
from ..host.presence import require_host
from ..host.processes import refuse_several

# Verb as typed -> module in this package.
COMMANDS = {
    "new": "new",
    "advise": "choosing.advise",
    "train": "train",
    "test": "test",
    "predict": "predict",
    "extend": "extend",
    "analyze": "analyze",
    "describe": "describe",
    "doctor": "doctor",
    "run": "run",
    "browse": "browse",
    "report": "report",
    "compare": "compare",
    "export": "export",
    "convert": "convert",
    "benchmark": "benchmark",
    "chain": "chain",
    "noisy_student": "noisy_student",
    "label": "pools.label",
    "sweep": "sweep",
    "fixres": "fixres",
    "toy-scenes": "toy_scenes",
    "quickstart": "quickstart",
}
# Commands that work, and say what is missing, without MMDetection.
NEED_NO_HOST = ("doctor", "run")


def run_command(verb: str, argv: list[str] | None = None) -> int:
    """Parse ``argv`` for one command and run it. Returns the exit code."""
    module = importlib.import_module(f"{__name__}.{COMMANDS[verb]}")
    parser = argparse.ArgumentParser(
        prog=f"frozen-det {verb}", description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    needs_host = (lambda args: False) if verb in NEED_NO_HOST else getattr(module, "needs_host", None)
    try:
        # Before the arguments: their defaults may be read from modules that import the host.
        if needs_host is None and not {"-h", "--help"}.intersection(sys.argv[1:] if argv is None else argv):
            require_host(f"`frozen-det {verb}`")
        module.add_arguments(parser)
        args = parser.parse_args(argv)
        if needs_host is not None and needs_host(args):
            require_host(f"`frozen-det {verb}`")
        if verb not in NEED_NO_HOST:
            refuse_several(f"`frozen-det {verb}`", getattr(args, "launcher", None))
        with ending_by_signal():
            return module.run(args) or 0
    except BaseException as error:
        found = None if os.environ.get("FROZEN_DET_TRACEBACK") else described(error)
        if found is None:
            raise
        words, code = found
        print(f"frozen-det {verb}: {_shown(words)}", file=sys.stderr)
        return code


def _shown(text: str) -> str:
    """Names in files may hold control characters of terminals; they are escaped."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def main(argv: list[str] | None = None) -> int:
    """Entry point of `frozen-det`. Returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: frozen-det COMMAND ...   (each has --help)\n\ncommands:")
        width = max(map(len, COMMANDS)) + 2
        for verb, name in COMMANDS.items():
            print(f"  {verb:<{width}}{_first_line(name)}")
        return 0
    if argv[0] == "--version":
        from .. import __version__

        print(__version__)
        return 0
    if argv[0] not in COMMANDS:
        print(
            f"frozen-det: no command {argv[0]!r}; {closest(argv[0], COMMANDS) or 'see frozen-det --help'}",
            file=sys.stderr,
        )
        return 2
    return run_command(argv[0], argv[1:])


def _first_line(name: str) -> str:
    """First line of a command module's docstring, read without importing the module (help stays instant)."""
    import ast
    from pathlib import Path

    path = Path(__file__).parent.joinpath(*name.split(".")).with_suffix(".py")
    if not path.exists():
        return "(not installed)"
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]
