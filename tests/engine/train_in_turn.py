"""Train several configs one after the other in one process (or one of several), and keep what every rank ended with.

torchrun --nproc-per-node 2 -m tests.engine.train_in_turn pytorch CONFIG [CONFIG ...]
"""

import os
import signal
import sys
from pathlib import Path

import torch
from mmengine.hooks import Hook

from frozen_det.cli import main
from frozen_det.registry import HOOKS


class RankStateHook(Hook):
    """Writes `rank<N>.pth` into the work directory: all entries before and after, and the images of every step."""

    priority = "LOWEST"  # after the hooks that act at the end of an epoch

    def before_train(self, runner):
        self.images, self.start = [], _entries(runner)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        samples = data_batch["data_samples"]
        ids = samples["index"].tolist() if isinstance(samples, dict) else [sample.img_id for sample in samples]
        self.images.append(ids)

    def after_train(self, runner):
        torch.save(
            {
                "start": self.start,
                "end": _entries(runner),
                "average": next((h.ema_model.module.state_dict() for h in runner.hooks if hasattr(h, "ema_model")), {}),
                "images": self.images,
                "wrapper": type(runner.model).__name__,
                "find_unused": getattr(runner.model, "find_unused_parameters", False),
            },
            Path(runner.work_dir, f"rank{runner.rank}.pth"),
        )


class SignalHook(Hook):
    """One rank sends itself a signal before a step: SIGKILL ends it, SIGSTOP makes it stop answering.

    With `once` the work directory says that it was sent, so a resumed run gets past that step.
    """

    def __init__(self, rank: int, step: int, number: int, once: bool = False):
        self.rank, self.step, self.number, self.once = rank, step, number, once

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        sent = Path(runner.work_dir, "signalled")
        if (runner.rank, runner.iter) == (self.rank, self.step) and not (self.once and sent.exists()):
            sent.touch()
            os.kill(os.getpid(), signal.Signals(self.number))


def register() -> None:
    """What the configs of these tests name."""
    import frozen_det.models  # noqa: F401  mmdet's models need the ops that it brings

    from . import first_sampler  # noqa: F401

    for part in (RankStateHook, SignalHook):
        if part.__name__ not in HOOKS.module_dict:
            HOOKS.register_module(module=part)


def _entries(runner) -> dict:
    model = getattr(runner.model, "module", runner.model)
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def train_in_turn(launcher: str, configs) -> int:
    """Exit code of the first training that failed, or 0."""
    register()
    for config in configs:
        code = main(["train", str(config), "--launcher", launcher, "--work-dir", str(Path(config).with_suffix(""))])
        if code:
            return code
    return 0


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(train_in_turn(sys.argv[1], sys.argv[2:]))
