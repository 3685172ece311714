"""The time that an advice may take: what a probe or a row of costs will take is known before it begins."""

import time
from collections.abc import Callable, Mapping, Sequence

from ..benchmarks.devices.train_step import Setting
from .costs import body_options, step_costs
from .expected import FROZEN
from .rows import Row

# Measured with tf_efficientnet_lite0 at 160 px on a CPU: a probe took 1.1 times its steps as timed without decoding and
# augmentation; over all ways a step took 1.4 times a frozen one, and each model some seconds to build.
_OF_PROBE, _OF_WAYS, _BUILD_S = 1.2, 1.6, 3.0
_TRIAL_STEPS = 2


class StepTimes:
    """Seconds of a frozen training step by backbone.

    Args:
        setting: of the step.
        passes: by backbone, seconds of a forward pass of one image, where they were measured on the same device.
    """

    def __init__(self, setting: Setting, passes: Mapping[str, float] | None = None):
        self.setting, self._passes = setting, dict(passes or {})
        self._found: dict[str, float] = {}

    def least(self, backbone: str) -> float:
        """What is known of it without a measurement: forward passes of its images alone; 0 where nothing is."""
        return self._found.get(backbone, self.setting.batch * self._passes.get(backbone, 0.0))

    def measured(self, backbone: str) -> float:
        """Median of a few steps, after one to warm up; measured once."""
        if backbone not in self._found:
            trial = step_costs(backbone, self.setting, _TRIAL_STEPS, (FROZEN,))
            self._found[backbone] = trial[FROZEN].seconds
        return self._found[backbone]


def seconds_of_probe(steps: float, step_s: float) -> float:
    """About what a probe takes.

    Args:
        steps: that it is worth, of :func:`.probes.steps_of`.
        step_s: seconds of a frozen step.
    """
    return _OF_PROBE * steps * step_s


def seconds_of_costs(ways: Sequence[str], steps: int, step_s: float) -> float:
    """About what a row of costs takes: for each way the build, a pass that counts memory, a warm-up, measured steps.

    Args:
        ways: of :data:`.costs.WAYS`; those that differ in the optimiser alone are one.
        steps: measured ones of each.
        step_s: seconds of a frozen step.
    """
    models: list[dict] = []
    for way in ways:
        models += [body_options(way)] if body_options(way) not in models else []
    return len(models) * (_BUILD_S + _OF_WAYS * (steps + 2) * step_s)


def in_time(
    rows: Sequence[Row],
    end: float,
    times: StepTimes,
    about: Callable[[Row, float], float],
    call: Callable[[Row], object],
) -> str:
    """Call with each row, in order, for which there is time.

    Args:
        rows: of backbones.
        end: of :func:`time.monotonic`; nothing begins after it, nor what would probably end after it.
        times: of a frozen step; measured where its passes alone would leave time.
        about: seconds that a call takes, from the row and the seconds of its frozen step. What the last call took
            corrects the next ones.
        call: what takes the time.

    Returns:
        in words, the rows for which there was none; empty where there was for all.
    """
    late, ratio = [], 1.0
    for row in rows:
        left, least = end - time.monotonic(), about(row, times.least(row.name))
        if left <= 0 or least > left:
            late.append(f"{row.name} (at least {least:.0f} s, {max(0.0, left):.0f} s left)")
            continue
        first = about(row, times.measured(row.name))
        start = time.monotonic()
        if start + ratio * first > end:
            late.append(f"{row.name} (about {ratio * first:.0f} s, {max(0.0, end - start):.0f} s left)")
            continue
        call(row)
        ratio = (time.monotonic() - start) / max(first, 1e-9)
    return ", ".join(late)
