"""What an arm costs: a training of the study cut short to an epoch, in a process of its own for its memory.

Times are of the process, decoding and augmentation included, on one thread. FLOPs are counted on meta tensors.
"""

import json
import shutil
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch

from ..measurement import in_fresh_process, peak_resident_bytes, processor, resident_bytes
from .arms import ARMS, RATES, StudyRun, of_equal_step
from .plan import TABLES
from .sets import SETS, write_folds

#: The set that is trained on, and steps that are not counted.
SET, WARM_UP = "microcontrollers", 8


def cost_runs() -> list[StudyRun]:
    """One run for each backbone, arm and decoder of the study's tables. Rates do not change what a run costs, so arms
    that differ in them alone are one."""
    found: dict[str, StudyRun] = {}
    for table in TABLES.values():
        for run in table(dict.fromkeys(ARMS, RATES[1])):
            arm = of_equal_step(run.arm)
            one = StudyRun(SET, 0, run.backbone, arm, RATES[1], decoder=run.decoder, updates=1)
            found.setdefault(key_of(one), one)
    return list(found.values())


def key_of(run: StudyRun) -> str:
    """Name of a record."""
    return f"{run.backbone}_{run.arm}_{run.decoder}_{SETS[run.set].size}px"


def cost(run: StudyRun, data: Path, work: Path) -> dict:
    """Measure a run in a process of its own.

    Args:
        run: of :func:`cost_runs`.
        data: folder of the sets.
        work: for folds and the run.

    Returns:
        a record: ``cpu_ms`` a step, median, ``cpu_spread_ms`` from its lower to its upper quartile; ``peak_bytes`` of
        the process and ``base_bytes`` before the model was built; ``forward_flops`` and ``step_flops`` of one image;
        parameters; ``lean_bytes`` of the checkpoint.

    Raises:
        InputError: it fails.
    """
    words = json.dumps(run.to_json())
    found = in_fresh_process(__spec__.name, words, str(data), str(work), what=f"the costs of {key_of(run)}")
    return {"key": key_of(run), **found}


def _measured(run: StudyRun, data: Path, work: Path) -> dict:
    from mmengine.hooks import Hook

    from ...engine.runs import host_scope, new_runner
    from ...reports.describe import describe_model
    from .running import quiet, run_config

    class Clock(Hook):
        ends: list[float] = []

        def after_train_iter(self, *_, **__) -> None:
            self.ends.append(time.process_time())

    folder, size = work / "costs" / run.key, SETS[run.set].size
    shutil.rmtree(folder, ignore_errors=True)
    fold = write_folds(SETS[run.set], data, work / "sets")[run.fold]
    with quiet(work / "logs" / f"costs_{run.key}.log"), host_scope():
        cfg = run_config(run, fold, folder)
        base = resident_bytes()
        runner = new_runner(cfg, concise=True)
        runner.register_hook(Clock())
        runner.train()
        peak = peak_resident_bytes()
        counted = describe_model(cfg, (size, size))
    took = 1e3 * np.diff(Clock.ends)[WARM_UP:]
    low, middle, high = np.quantile(took, [0.25, 0.5, 0.75])
    kept = max(path.stat().st_size for path in folder.glob("*.pth"))
    shutil.rmtree(folder, ignore_errors=True)
    return {
        "backbone": run.backbone,
        "arm": run.arm,
        "decoder": run.decoder,
        "size": size,
        "steps": len(took),
        "cpu_ms": round(middle, 1),
        "cpu_spread_ms": round(high - low, 1),
        "peak_bytes": peak,
        "base_bytes": base,
        "forward_flops": counted.forward_flops,
        "step_flops": counted.training_step_flops,
        "params": counted.total_params,
        "trained_params": counted.trainable_params,
        "lean_bytes": kept,
        "processor": processor(False),
    }


if __name__ == "__main__":  # the process that `cost` starts
    torch.set_num_threads(1)
    with redirect_stdout(sys.stderr):
        result = _measured(StudyRun(**json.loads(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]))
    print(json.dumps(result))
