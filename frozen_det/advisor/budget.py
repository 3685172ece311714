"""The time that an advice may take: what a probe or a row of costs will take is known before it begins."""

import time
from collections.abc import Callable, Sequence

from ..benchmarks.devices.train_step import Setting
from .costs import body_options, step_costs
from .rows import Row

# Measured with tf_efficientnet_lite0 at 160 px on a CPU: a probe took 1.1 times its steps as timed without decoding and
# augmentation; over all ways a step took 1.4 times a frozen one, and each model some seconds to build.
_OF_PROBE, _OF_WAYS, _BUILD_S = 1.2, 1.6, 3.0
_TRIAL_STEPS = 2


class StepTimes:
    """Seconds of a frozen training step by backbone and setting, measured once each."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, Setting], float] = {}

    def frozen(self, backbone: str, setting: Setting) -> float:
        """Median of a few steps, after one to warm up."""
        key = backbone, setting
        if key not in self._found:
            self._found[key] = step_costs(backbone, setting, _TRIAL_STEPS, ("frozen",))["frozen"].seconds
        return self._found[key]

    def of_probe(self, row: Row, setting: Setting, steps: float) -> float:
        """About the seconds of a probe that is worth some steps, as :func:`.probes.steps_of` counts them."""
        return _OF_PROBE * steps * self.frozen(row.name, setting)

    def of_costs(self, row: Row, setting: Setting, steps: int) -> float:
        """About the seconds of a row of costs: of each way the build, a pass that counts memory, a warm-up, steps."""
        models: list[dict] = []
        for way in row.ways:
            models += [body_options(way)] if body_options(way) not in models else []
        return len(models) * (_BUILD_S + _OF_WAYS * (steps + 2) * self.frozen(row.name, setting))


def in_time(rows: Sequence[Row], end: float, about: Callable[[Row], float], call: Callable[[Row], object]) -> str:
    """Call with each row, in order, for which there is time.

    Args:
        rows: of backbones.
        end: of :func:`time.monotonic`; nothing begins after it, nor what would probably end after it.
        about: seconds that a call may take, by a short measurement. What the last call took corrects the next ones.
        call: what takes the time.

    Returns:
        in words, the rows for which there was none; empty where there was for all.
    """
    late, ratio = [], 1.0
    for row in rows:
        if time.monotonic() >= end:
            late.append(f"{row.name} (none left)")
            continue
        first = about(row)
        start = time.monotonic()
        if start + ratio * first > end:
            late.append(f"{row.name} (about {ratio * first:.0f} s, {max(0.0, end - start):.0f} s left)")
            continue
        call(row)
        ratio = (time.monotonic() - start) / max(first, 1e-9)
    return ", ".join(late)
