"""Measure one part of the toolbox: `benchmark WHAT`, with its own options.

frozen-det benchmark evaluation --json
frozen-det benchmark copy-paste --help
"""

import argparse
import importlib.util

from ..errors import InputError

# WHAT as typed -> module, relative to frozen_det.benchmarks, which has add_arguments(parser) and run(args).
WHAT = {
    "adapters": "adapters",
    "advisor": ".advisor.study.command",
    "backbones": "backbones",
    "checkpoint": "checkpoint",
    "copy-paste": "copy_paste",
    "detectors": "detectors",
    "evaluation": "evaluation",
    "export": "export",
    "family": "family",
    "frozen-forward": "forward_options",
    "gpu-check": "devices.gpu_check",
    "labelling": "labelling",
    "loading": "devices.loading",
    "mixing": "mixing",
    "study": "study.study",
    "syncs": "pretended_device.syncs",
    "train-step": "devices.train_step",
}


def add_arguments(parser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "what:\n" + "\n".join(f"  {name:<15}{_first_line(module)}" for name, module in WHAT.items())
    parser.add_argument("what", choices=list(WHAT), metavar="WHAT", help=f"one of {', '.join(WHAT)}")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="options of WHAT; see `benchmark WHAT --help`")


def run(args) -> int:
    try:
        module = importlib.import_module(_full_name(WHAT[args.what]))
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("frozen_det"):
            raise InputError(f"expected the part {args.what!r} to be installed, got none ({error.name})") from error
        raise
    parser = argparse.ArgumentParser(
        prog=f"frozen-det benchmark {args.what}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    return module.run(parser.parse_args(args.options)) or 0


def _full_name(module: str) -> str:
    return importlib.util.resolve_name(f".{module}", "frozen_det.benchmarks")


def _first_line(module: str) -> str:
    """First line of a benchmark's docstring, read without importing it."""
    import ast
    from pathlib import Path

    path = Path(__file__).parents[2] / f"{_full_name(module).replace('.', '/')}.py"
    if not path.exists():
        return "(not installed)"
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]
