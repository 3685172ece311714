"""Run a program, such as mmdet's own tools, so that mmcv finds frozen_det's ops in all its Python processes.

frozen-det run -- python tools/train.py CONFIG
frozen-det run -- torchrun --nproc-per-node 2 tools/test.py CONFIG CHECKPOINT --launcher pytorch
"""

import argparse

from ..errors import InputError, closest


def add_arguments(parser) -> None:
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="-- PROGRAM ...", help="program and its arguments")


def run(args) -> int:
    import os
    import shutil
    import sys

    from ..host.startup import environment

    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise InputError("expected a program after --, got none; e.g. frozen-det run -- python tools/train.py CONFIG")
    # `python` and `torchrun` are those of this environment, also where it was not activated.
    here = os.path.dirname(sys.executable)
    program = shutil.which(command[0], path=here) or shutil.which(command[0])
    if program is None:
        script = command[0].endswith(".py")
        remedy = "write python before it" if script else closest(command[0], ["python", "torchrun"])
        raise InputError(f"expected a program after --, but {command[0]!r} is none on PATH; {remedy}".rstrip("; "))
    sys.stdout.flush()
    os.execve(program, [program, *command[1:]], environment(os.environ))
