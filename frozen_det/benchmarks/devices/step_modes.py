"""Modes of one training step against float32: precision, memory format, compilation, CUDA graphs, optimiser, batch.

Every mode takes its steps in turns with plain float32, on the same weights and images. A mode that cannot run here says
why; those for which the time is over are named.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ...errors import InputError
from ..detector_check import said
from ..measurement import in_turns, number, text_table

PLAIN = "fp32"


@dataclass(frozen=True)
class Mode:
    """A way to take a step.

    Attributes:
        used: how a training has it; or that it has not, and why.
        setting: entries of :class:`~.train_step.Setting` that differ from float32's.
        backbone: entries of the frozen backbone's config that differ.
        never: why there is nothing to measure; empty where there is.
        gpu_only: the mode needs CUDA.
    """

    used: str
    setting: dict = field(default_factory=dict)
    backbone: dict = field(default_factory=dict)
    never: str = ""
    gpu_only: bool = False


_BF16 = "optim_wrapper.type=frozen_det.AutocastOptimWrapper (--amp on a CPU)"
_FORWARD = "model.detector.backbone.forward"
# In the order in which they are measured: what compiles comes last, where the time may be over.
MODES = {
    PLAIN: Mode("the default"),
    "bf16": Mode(_BF16, dict(bf16=True)),
    "fp16": Mode("--amp on a GPU", dict(fp16=True), gpu_only=True),
    "channels-last": Mode(f"of the frozen part, {_FORWARD}.memory_format", dict(channels_last=True)),
    "bf16, channels-last": Mode("both switches", dict(bf16=True, channels_last=True)),
    "fused optimiser": Mode("optim_wrapper.optimizer.fused=True", dict(fused=True)),
    "batch from the host": Mode(
        "always: copied as uint8, normalised and padded on the device; flips and crops are the loader's",
        dict(from_host=True),
    ),
    "backbone in a CUDA graph": Mode(
        "no: every image size would need a graph of its own", dict(graph_backbone=True), gpu_only=True
    ),
    "step in a CUDA graph": Mode("no", never="the host reads how many proposals and samples there are in every step"),
    "backbone compiled": Mode(f"{_FORWARD}.compile=True", backbone=dict(forward=dict(compile=True))),
    "neck compiled": Mode("no: measured alone", dict(compile_neck=True)),
    "bf16, channels-last, neck compiled": Mode(
        "no: measured alone", dict(bf16=True, channels_last=True, compile_neck=True)
    ),
}


@dataclass
class ModeRow:
    """One mode.

    Attributes:
        step_ms, spread_ms: median wall time of a step and its quartile range.
        x_plain: the median over that of float32 in the same turns; process time on a CPU, wall time on a GPU.
        peak_mib: most that is allocated on a GPU during a step beyond what was before.
        first_s: of the first step, compilation included.
        loss: of the last step.
        unavailable: why there are no numbers.
    """

    mode: str
    used: str
    step_ms: float | None = None
    spread_ms: float | None = None
    x_plain: float | None = None
    peak_mib: float | None = None
    first_s: float | None = None
    loss: float | None = None
    unavailable: str = ""


def names_of(wanted: list[str] | None, on_gpu: bool) -> list[str]:
    """The modes to measure: all on a GPU and none on a CPU by default; ``all`` are all.

    Raises:
        InputError: an unknown one.
    """
    if wanted is None:
        return list(MODES) if on_gpu else []
    for name in wanted:
        if name not in (*MODES, "all"):
            raise InputError(f"expected --modes among all, {', '.join(MODES)}, got {name!r}.")
    return list(MODES) if "all" in wanted else wanted


def measure_modes(
    model_cfg: dict, setting, names: list[str], steps: int, until: float, clock: Callable[[], float] = time.monotonic
) -> list[ModeRow]:
    """Each mode against float32.

    Args:
        model_cfg: complete config of a detector.
        setting: the :class:`~.train_step.Setting` of float32.
        names: of :data:`MODES`.
        steps: measured ones of each mode.
        until: no mode begins after this moment of `clock`.
        clock: seconds.
    """
    from ..measured_step import DetectorStep

    plain = DetectorStep(model_cfg, setting)
    rows = []
    for name in names:
        mode = MODES[name]
        row = ModeRow(name, mode.used)
        rows.append(row)
        if mode.never:
            row.unavailable = mode.never
        elif mode.gpu_only and not setting.on_gpu:
            row.unavailable = "needs CUDA"
        elif clock() > until:
            row.unavailable = "not measured: the time was over (--minutes)"
        else:
            try:
                _measure(row, mode, model_cfg, setting, plain, steps)
            except Exception as error:  # whatever it is, it is this row: a mode that one GPU has and another has not
                row.unavailable = said(error)
    return rows


def _measure(row: ModeRow, mode: Mode, model_cfg: dict, setting, plain, steps: int) -> None:
    from ..measured_step import DetectorStep

    cfg = {**model_cfg, "backbone": {**model_cfg["backbone"], **mode.backbone}}
    one = plain if row.mode == PLAIN else DetectorStep(cfg, replace(setting, **mode.setting))
    begin = time.perf_counter()
    one.step()
    row.first_s = time.perf_counter() - begin
    calls = {PLAIN: plain.step, row.mode: one.step}
    steppers = {PLAIN: plain, row.mode: one}
    gpu = setting.device if setting.on_gpu else None
    times = in_turns(calls, steps, gpu=gpu, after=lambda name: steppers[name].drop_gradients())
    took, base = times[row.mode], times[PLAIN]
    row.step_ms, row.spread_ms, row.loss = took.wall_ms, took.spread_ms, one.last_loss
    row.x_plain = took.wall_ms / base.wall_ms if setting.on_gpu else took.cpu_ms / base.cpu_ms
    if setting.on_gpu:
        row.peak_mib = max(most - before for most, before in zip(took.peaks, took.bases)) / 2**20


def modes_table(rows: list[ModeRow]) -> str:
    """The measurements, and below them how a training has each mode."""
    cells = []
    for row in rows:
        if row.unavailable:
            cells.append([row.mode, row.unavailable])
            continue
        cells.append(
            f"{row.mode}|{row.step_ms:.0f}|{row.spread_ms / 2:.0f}|{row.x_plain:.2f}|{number(row.peak_mib, '.0f')}|"
            f"{row.first_s:.1f}|{row.loss:.4f}".split("|")
        )
    measured = text_table("mode|step ms|± ms|x fp32|peak MiB|first s|loss", cells, left=1)
    used = text_table("mode|in training", [[row.mode, row.used] for row in rows], left=2)
    return "\n".join([measured, "", used])
