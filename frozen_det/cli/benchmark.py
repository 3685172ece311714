"""Measure one part of the toolbox: `benchmark WHAT`, with its own options.

frozen-det benchmark evaluation --json
frozen-det benchmark copy-paste --help
"""

import argparse
import importlib

from ..errors import InputError

# WHAT as typed -> module frozen_det.benchmarks.<name>, which has add_arguments(parser) and run(args).
WHAT = {
    "adapters": "adapters",
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
        module = importlib.import_module(f"frozen_det.benchmarks.{WHAT[args.what]}")
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


def _first_line(module: str) -> str:
    """First line of a benchmark's docstring, read without importing it."""
    import ast
    from pathlib import Path

    path = Path(__file__).parent.parent / "benchmarks" / f"{module.replace('.', '/')}.py"
    if not path.exists():
        return "(not installed)"
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]
