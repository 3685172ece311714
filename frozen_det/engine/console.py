"""What a person sees of a training: data, model, proof, progress with the time that is left, scores, the end.

mmengine writes environment, config and hooks on the console, some 400 lines before the first step. Here they go to the
log file alone, which is complete; the console keeps warnings, except those about the host's own deprecations.
"""

import logging
import sys
import time
from pathlib import Path

from mmengine.hooks import CheckpointHook, Hook
from mmengine.runner import Runner
from torch import Tensor
from tqdm import tqdm

from ..host.noise import leave_out
from ..weights.whole_checkpoint import unwrapped
from .hooks.frozen_proof import FrozenProofHook

_EVERY_S = 20  # seconds between lines where there is no terminal
_MOST_SCORES = 4


class ConciseRunner(Runner):
    """mmengine's Runner whose console gets warnings only; its log file is complete."""

    def build_logger(self, *args, **kwargs):
        """Build the logger, and keep INFO off the console."""
        logger = super().build_logger(*args, **kwargs)
        self.for_people = _ForPeople()
        for handler in logger.handlers:
            if type(handler) is logging.StreamHandler:
                handler.addFilter(self.for_people)
        return logger


class _ForPeople(logging.Filter):
    """What reaches the console: warnings, and while `all` is set everything but the host's line of numbers."""

    all = False

    def filter(self, record: logging.LogRecord) -> bool:
        told = self.all and not record.getMessage().startswith("Epoch(test)")
        return (told or record.levelno >= logging.WARNING) and leave_out(record)


class ConsoleHook(Hook):
    """Say what is trained on what, how far it is, how good, and what can be done next."""

    priority = "LOWEST"

    def __init__(self) -> None:
        self._progress: _Progress | None = None

    def before_train(self, runner) -> None:
        """Data, model and proof; the start of the bar."""
        if runner.rank != 0:
            return
        for line in [*_data_lines(runner), _model_line(runner), *_proof_lines(runner), _log_line(runner)]:
            _say(line)
        self._progress = _Progress(runner)

    def after_train_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """One step on."""
        if self._progress is not None:
            self._progress.step(runner, outputs)

    def after_val_epoch(self, runner, metrics: dict | None = None) -> None:
        """The scores."""
        if self._progress is not None:
            self._progress.say(f"{_place(runner, ended=True)}: {scores(metrics or {}, _monitored(runner))}")

    def after_train(self, runner) -> None:
        """The end: what is best, and where it lies."""
        if self._progress is None:
            return
        self._progress.close()
        for line in _end_lines(runner):
            _say(line)
        self._progress = None


class TestConsoleHook(Hook):
    """Of a test: its data, a bar on a terminal, and the tables that the metrics log."""

    priority = "HIGHEST"  # the tables end before other hooks repeat their numbers

    def __init__(self) -> None:
        self._bar: tqdm | None = None

    def before_test_epoch(self, runner) -> None:
        """The data and where the log is."""
        if runner.rank != 0:
            return
        for line in [_images_line("test", runner.test_loop.dataloader), _log_line(runner)]:
            _say(line)
        if sys.stderr.isatty():
            self._bar = tqdm(total=len(runner.test_loop.dataloader), unit="batch", dynamic_ncols=True)

    def after_test_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """One batch on; after the last one the metrics are computed."""
        if self._bar is not None:
            self._bar.update(1)
        if runner.rank == 0 and batch_idx + 1 == len(runner.test_loop.dataloader):
            self.close()
            runner.for_people.all = True

    def after_test_epoch(self, runner, metrics: dict | None = None) -> None:
        """The tables are there."""
        runner.for_people.all = False

    def close(self) -> None:
        """No more batches."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None


class _Progress:
    """A bar on a terminal, elsewhere a line now and then."""

    def __init__(self, runner):
        self._start, self._first, self._last = time.monotonic(), runner.iter, 0.0
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=runner.max_iters, initial=runner.iter, unit="step", dynamic_ncols=True)

    def step(self, runner, outputs) -> None:
        """A step was taken; `outputs` are its losses."""
        loss = (outputs or {}).get("loss")
        if self._bar is not None:
            self._bar.update(1)
            self._bar.set_description(_place(runner), refresh=False)
            if loss is not None and self._bar.n == self._bar.last_print_n:
                self._bar.set_postfix_str(f"loss {_number(loss):.3f}", refresh=False)
            return
        now = time.monotonic()
        # The first step takes longer than others, so the second tells the time first.
        done = runner.iter + 1 - self._first
        if done == 2 or now - self._last >= _EVERY_S and done > 2:
            self._last = now
            seconds = (now - self._start) / done
            words = "" if loss is None else f", loss {_number(loss):.3f}"
            left = max(0.0, seconds * (runner.max_iters - runner.iter - 1))
            rest = f", {_duration(left)} left" if round(left) else ""
            self.say(f"{_place(runner)}, step {runner.iter + 1} of {runner.max_iters}{words}{rest}")

    def say(self, line: str) -> None:
        """A line of its own."""
        if self._bar is not None:
            self._bar.clear()
        _say(line)

    def close(self) -> None:
        """No more steps."""
        if self._bar is not None:
            self._bar.close()


def scores(metrics: dict, first: str | None = None) -> str:
    """The first few numbers of an evaluation, the one named in front, without the metric's prefix; -1, the evaluators'
    word for no such object, is left out."""
    named = [(name, value) for name, value in metrics.items() if isinstance(value, (int, float)) and value >= 0]
    named.sort(key=lambda one: one[0] != first)
    return ", ".join(f"{name.rpartition('/')[2]} {value:.3f}" for name, value in named[:_MOST_SCORES]) or "no scores"


def _data_lines(runner) -> list[str]:
    lines = []
    loops = {"train": runner.train_loop, "val": runner.val_loop}
    for split, loop in loops.items():
        dataset = getattr(getattr(loop, "dataloader", None), "dataset", None)
        if dataset is None:
            continue
        text = _images_line(split, loop.dataloader)
        if split == "train":
            text += (
                f", {len(loop.dataloader)} steps of {loop.dataloader.batch_size} an epoch, {runner.max_epochs} epochs"
            )
        lines.append(text)
    return lines


def _images_line(split: str, loader) -> str:
    classes = (getattr(loader.dataset, "metainfo", None) or {}).get("classes") or ()
    few = f" ({', '.join(map(str, classes[:5]))}{', ...' if len(classes) > 5 else ''})" if classes else ""
    return f"{split:<6} {len(loader.dataset):,} images, {len(classes)} class{'es' * (len(classes) != 1)}{few}"


def _model_line(runner) -> str:
    model = unwrapped(runner.model)
    sizes = [(one.numel(), one.requires_grad) for one in model.parameters()]
    total, trained = sum(size for size, _ in sizes), sum(size for size, grad in sizes if grad)
    backbone = getattr(model, "backbone", None)
    name = getattr(backbone, "architecture", None) or getattr(model, "architecture", None) or type(backbone).__name__
    return (
        f"model  {type(model).__name__} on {name}: {total / 1e6:.2f} M parameters, {trained / 1e6:.2f} M train, "
        f"on {next(model.parameters()).device}"
    )


def _proof_lines(runner) -> list[str]:
    hooks = [hook for hook in runner.hooks if isinstance(hook, FrozenProofHook)]
    return [
        f"frozen {name}: {len(found.tensors)} tensors, sha256 {found.digest[:12]}, compared at every checkpoint"
        for hook in hooks
        for name, found in hook.start.items()
    ]


def _log_line(runner) -> str:
    return f"log    {Path(runner.log_dir, runner.timestamp).with_suffix('.log')}"


def _end_lines(runner) -> list[str]:
    keeper = _keeper(runner)
    if keeper is None:
        return []
    one = len(keeper.key_indicators) == 1  # mmengine stores a single best checkpoint under other names than several
    paths = {keeper.key_indicators[0]: keeper.best_ckpt_path} if one else keeper.best_ckpt_path_dict
    return [
        f"best   {name.rpartition('/')[2]} "
        f"{float(runner.message_hub.get_info('best_score' if one else f'best_score_{name}')):.3f}: {path}"
        for name, path in paths.items()
        if path
    ]


def _monitored(runner) -> str | None:
    keeper = _keeper(runner)
    return keeper and keeper.key_indicators[0]


def _keeper(runner) -> CheckpointHook | None:
    """The hook that keeps the best checkpoint."""
    hooks = [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]
    return next((hook for hook in hooks if getattr(hook, "key_indicators", None)), None)


def _number(loss) -> float:
    return float(loss.detach()) if isinstance(loss, Tensor) else float(loss)


def _place(runner, ended: bool = False) -> str:
    """Where a training is: in an epoch, or at the end of one, when the host has counted it already."""
    if runner.max_epochs and runner.train_loop.__class__.__name__ != "IterBasedTrainLoop":
        return f"epoch {min(runner.epoch + (not ended), runner.max_epochs)} of {runner.max_epochs}"
    return f"step {runner.iter}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
