"""The process that a sweep with --together starts for runs that share one pass of their backbone.

Each run keeps its own folder, log, checkpoints and result, and ends with the weights that it would have alone.
"""

import json
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path


def run_members(members: Sequence[dict], folder: Path) -> None:
    """Train and test members side by side; how each ended goes to ``together.json`` in `folder`.

    Args:
        members: each with ``name``, ``log`` (file that its output is added to), ``folder`` (its work directory),
            ``train`` and ``test`` (arguments of ``frozen-det``; the checkpoint follows the second argument of `test`).
    """
    from ...engine.runner.lockstep import Lockstep
    from ...workflows.sweep import OUTCOMES
    from ...workflows.sweep_runs import with_checkpoint
    from .. import main

    def command(arguments: list[str], what: str) -> None:
        code = main(arguments)
        if code:
            raise RuntimeError(f"{what} ended with exit code {code}")

    def test(member: dict) -> None:
        command(with_checkpoint(member["test"], member["folder"]), "the test")

    with ExitStack() as files:
        logs = {
            one["name"]: files.enter_context(open(one["log"], "a", encoding="utf-8", buffering=1)) for one in members
        }
        steps = {
            one["name"]: [lambda one=one: command(one["train"], "training"), lambda one=one: test(one)]
            for one in members
        }
        outcomes = Lockstep(steps, logs).run()
    told = {name: str(found) if isinstance(found, BaseException) else None for name, found in outcomes.items()}
    (folder / OUTCOMES).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    _plan = Path(sys.argv[1])
    run_members(json.loads(_plan.read_text(encoding="utf-8")), _plan.parent)
