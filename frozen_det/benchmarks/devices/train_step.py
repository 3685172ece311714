"""Time and memory of a training step: frozen against fine-tuned against mmdet, ResNet-50 + NAS-FPN + Cascade.

All variants have the same size, batch, number of RoIs, proposal network and box heads; they differ in what is frozen,
in the neck (the authors' NAS-FPN or mmdet's, same repeats) and in checkpointing. FLOPs and bytes of one image come from
meta tensors, times from real steps taken in turns. Weights are random: neither time nor memory depends on them. On a
CPU, RoIAlign and NMS are torchvision's. A second table has modes of the frozen variant's step against float32: on a GPU
all of them, on a CPU those of --modes.
"""

import copy
import json
import sys
import time
from dataclasses import asdict, dataclass

from ...errors import InputError
from ...host.devices import device_of
from ..measurement import (
    add_output,
    in_fresh_process,
    in_turns,
    machine,
    number,
    peak_resident_bytes,
    resident_bytes,
    text_table,
)
from .step_modes import MODES, measure_modes, modes_table, names_of

CONFIG = "cascade-rcnn_frozen-resnet50tv_nasfpn_lsj-72e_coco"
FINE_TUNED, FROZEN, CHECKPOINTED = "ours fine-tuned", "ours frozen", "ours frozen, cells checkpointed"
HOST_STAGE_1, HOST_FROZEN = "mmdet frozen_stages=1", "mmdet frozen_stages=4"
ARMS = (FINE_TUNED, FROZEN, CHECKPOINTED, HOST_STAGE_1, HOST_FROZEN)

# What the requirements allow, printed beside what was found.
_KEPT_AT_MOST = {FROZEN: 0.55, CHECKPOINTED: 0.35}
_TIME_OVER_FLOPS_AT_MOST = 1.1


@dataclass(frozen=True)
class Setting:
    """What all variants share: image side in px, images a step, RoIs an image, repeats of the pyramid, GPU options;
    `from_host`: images are uint8 in pinned host memory, `graph_backbone`: the frozen forward is a CUDA graph."""

    size: int = 512
    batch: int = 1
    rois: int = 512
    repeats: int = 5
    device: str = "cpu"
    bf16: bool = False
    channels_last: bool = False
    compile_neck: bool = False
    fp16: bool = False
    fused: bool = False
    graph_backbone: bool = False
    from_host: bool = False

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")


@dataclass
class Row:
    """One variant.

    Attributes:
        total_params, trainable_share: of the whole detector.
        step_flops: of a training step, one image, on meta tensors.
        meta_kept_mib: what autograd keeps for backward, one image, float32, on meta tensors (RoIAlign and losses
            left out).
        kept_mib: the same in a real step of the whole batch, all included; None without real steps.
        step_ms, spread_ms, cpu_ms: median wall time, its quartile range, median time of the process's own work.
        peak_mib: largest memory of a step beyond the model: allocated on a GPU, resident set of a fresh process on
            a CPU.
        loss: of the last step.
    """

    arm: str
    total_params: int
    trainable_share: float
    step_flops: int
    meta_kept_mib: float
    kept_mib: float | None = None
    step_ms: float | None = None
    spread_ms: float | None = None
    cpu_ms: float | None = None
    peak_mib: float | None = None
    loss: float | None = None


def add_arguments(parser) -> None:
    text = "side of the square image, a multiple of 128 from 256 on (default 512)"
    parser.add_argument("--size", type=int, default=512, help=text)
    parser.add_argument("--batch", type=int, default=1, help="images a step (default 1)")
    parser.add_argument("--rois", type=int, default=512, help="regions an image in the second stage (default 512)")
    parser.add_argument("--repeats", type=int, default=5, help="cells of the NAS-FPN in every variant (default 5)")
    text = "measured steps of every variant, after one to warm up; 0 for the counts alone, which takes seconds"
    parser.add_argument("--steps", type=int, default=10, help=text)
    parser.add_argument("--arms", nargs="+", default=list(ARMS), metavar="ARM", help=f"among {', '.join(ARMS)}")
    parser.add_argument("--no-peak", action="store_true", help="leave the peak out (on a CPU: a process each)")
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    parser.add_argument("--channels-last", action="store_true", help="channels-last memory format")
    parser.add_argument("--compile", action="store_true", help="torch.compile of the neck")
    text = f"all, or among {', '.join(MODES)} (default: all on a GPU, none on a CPU)"
    parser.add_argument("--modes", nargs="+", default=None, metavar="MODE", help=text)
    # One that compiles may take three minutes more: the whole command at most eight.
    text = "no further mode begins after so many minutes of the whole command (default 5)"
    parser.add_argument("--minutes", type=float, default=5.0, help=text)
    add_output(parser, "print one JSON object instead of a table")


def run(args) -> int:
    if args.size < 256 or args.size % 128:
        raise InputError(
            "expected --size as a multiple of 128 (level 7 of the pyramid) from 256 on (below, level 7 "
            f"is a single value, without statistics for its norms), got {args.size}."
        )
    if min(args.batch, args.rois, args.repeats) < 1 or args.steps < 0:
        raise InputError(
            "expected --batch, --rois and --repeats from 1 on and --steps from 0 on, got "
            f"{args.batch}, {args.rois}, {args.repeats} and {args.steps}."
        )
    for arm in args.arms:
        if arm not in ARMS:
            raise InputError(f"expected --arms among {', '.join(ARMS)}, got {arm!r}.")
    device = str(device_of(args.device))
    setting = Setting(
        args.size, args.batch, args.rois, args.repeats, device, args.bf16, args.channels_last, args.compile
    )
    names, until = names_of(args.modes, setting.on_gpu), time.monotonic() + 60 * args.minutes
    if names and not args.steps:
        raise InputError("expected --steps from 1 on with --modes, got 0.")
    rows = measure(setting, args.arms, args.steps, peak=not args.no_peak)
    modes = measure_modes(arm_model(FROZEN, setting), setting, names, args.steps, until) if names else []
    if args.json:
        found = dict(rows=[asdict(row) for row in rows], modes=[asdict(row) for row in modes])
        print(json.dumps(dict(setting=asdict(setting), **found, ratios=ratios(rows, setting.on_gpu)), indent=1))
    else:
        print(
            f"{setting.batch} x {setting.size} x {setting.size} px, {setting.rois} RoIs, {setting.repeats} repeats, "
            f"{args.steps} steps, {machine(setting.on_gpu)}",
            table(rows, setting.on_gpu),
            *(["", f"Modes of {FROZEN!r}:", modes_table(modes)] if modes else []),
            sep="\n",
        )
    return 0


def arm_model(arm: str, setting: Setting) -> dict:
    """The complete detector config of a variant, as mmdet builds it."""
    from ...config import load_config
    from ...models import fill_blanks

    detector = copy.deepcopy(load_config(CONFIG).model.detector.to_dict())
    detector["data_preprocessor"]["batch_augments"] = None
    detector["train_cfg"]["rcnn"]["sampler"]["num"] = setting.rois
    # The same in every variant: what is measured is the backbone and the neck.
    detector["roi_head"]["bbox_head"]["with_checkpoint"] = True
    detector["backbone"].update(weights="random", freeze=arm != FINE_TUNED)
    detector["neck"].update(num_repeats=setting.repeats, with_checkpoint=arm == CHECKPOINTED)
    detector = fill_blanks(detector, num_classes=80)
    if arm in (HOST_STAGE_1, HOST_FROZEN):
        detector["backbone"] = dict(
            type="mmdet.ResNet",
            depth=50,
            num_stages=4,
            out_indices=(0, 1, 2, 3),
            norm_eval=True,
            norm_cfg=dict(type="BN", requires_grad=True),
            frozen_stages=1 if arm == HOST_STAGE_1 else 4,
        )
        detector["neck"] = dict(
            type="mmdet.NASFPN",
            in_channels=[256, 512, 1024, 2048],
            out_channels=256,
            num_outs=5,
            start_level=1,
            stack_times=setting.repeats,
            norm_cfg=dict(type="BN"),
        )
    return detector


def measure(setting: Setting, arms, steps: int, peak: bool = True) -> list[Row]:
    """Every variant: counts on meta tensors, then, with ``steps`` above 0, real steps in turns; see :class:`Row`."""
    rows = {arm: _counted(arm, setting) for arm in arms}
    if not steps:
        return list(rows.values())
    from ..measured_step import DetectorStep

    if peak and not setting.on_gpu:
        for arm in arms:
            rows[arm].peak_mib = _peak_in_fresh_process(arm, setting)
    models = {arm: DetectorStep(arm_model(arm, setting), setting) for arm in arms}
    for arm, model in models.items():
        rows[arm].kept_mib = model.kept_bytes() / 2**20
    calls = {arm: model.step for arm, model in models.items()}
    gpu = setting.device if setting.on_gpu else None
    times = in_turns(calls, steps, gpu=gpu, after=lambda arm: models[arm].drop_gradients())
    for arm, row in rows.items():
        took = times[arm]
        row.step_ms, row.cpu_ms, row.spread_ms = took.wall_ms, took.cpu_ms, took.spread_ms
        row.loss = models[arm].last_loss
        if setting.on_gpu and peak:
            row.peak_mib = max(most - base for most, base in zip(took.peaks, took.bases)) / 2**20
    return list(rows.values())


def ratios(rows: list[Row], on_gpu: bool) -> dict:
    """What the variants are to each other: bytes kept, FLOPs and time against fine-tuned, time against mmdet's frozen.

    Times are the process's own on a CPU, wall times on a GPU (where the process's own say nothing).
    """
    by_arm = {row.arm: row for row in rows}
    whole, host = by_arm.get(FINE_TUNED), by_arm.get(HOST_FROZEN)

    def time_of(row: Row) -> float:
        return row.step_ms if on_gpu else row.cpu_ms

    found = {}
    for arm in (FROZEN, CHECKPOINTED):
        row = by_arm.get(arm)
        if row is None:
            continue
        of = found[arm] = {}
        if whole is not None:
            of["meta_kept_of_fine_tuned"] = row.meta_kept_mib / whole.meta_kept_mib
            of["flops_of_fine_tuned"] = row.step_flops / whole.step_flops
            if row.step_ms is not None:
                of["kept_of_fine_tuned"] = row.kept_mib / whole.kept_mib
                of["time_of_fine_tuned"] = time_of(row) / time_of(whole)
                of["time_over_flops"] = of["time_of_fine_tuned"] / of["flops_of_fine_tuned"]
        if host is not None and row.step_ms is not None:
            of["time_of_mmdet_frozen"] = time_of(row) / time_of(host)
    return found


def table(rows: list[Row], on_gpu: bool) -> str:
    """The measurements as text, with the ratios below."""
    cells = [
        [
            row.arm,
            f"{row.total_params / 1e6:.2f}",
            f"{100 * row.trainable_share:.1f}",
            f"{row.step_flops / 1e9:.0f}",
            f"{row.meta_kept_mib:.0f}",
            *(number(value, ".0f") for value in (row.kept_mib, row.peak_mib, row.step_ms)),
            number(None if row.spread_ms is None else row.spread_ms / 2, ".0f"),
            number(row.cpu_ms, ".0f"),
        ]
        for row in rows
    ]
    header = "variant|params M|trains %|GFLOPs|kept/img|kept MiB|peak MiB|step ms|± ms|CPU ms"
    lines = [text_table(header, cells, left=1), ""]
    for arm, of in ratios(rows, on_gpu).items():
        lines += [f"{arm}: {name.replace('_', ' ')} {value:.3f}{_target(arm, name)}" for name, value in of.items()]
    return "\n".join(lines)


def _target(arm: str, name: str) -> str:
    if name == "meta_kept_of_fine_tuned":
        return f"   (to reach at 1024 px, batch 1: at most {_KEPT_AT_MOST[arm]})"
    if name == "time_over_flops" and arm == FROZEN:
        return f"   (to reach at 512 px: at most {_TIME_OVER_FLOPS_AT_MOST})"
    return ""


def _counted(arm: str, setting: Setting) -> Row:
    """The columns that need no real tensors."""
    from mmengine.config import Config

    from ...reports.describe import describe_model

    d = describe_model(Config(dict(model=arm_model(arm, setting))), (setting.size, setting.size))
    return Row(arm, d.total_params, d.trainable_share, d.training_step_flops, d.bytes_kept_for_backward / 2**20)


def _peak_in_fresh_process(arm: str, setting: Setting) -> float:
    """MiB by which the resident set grows in a process that takes its first step.

    A process of its own: the allocator of one that has taken steps holds memory of the variant before.
    """
    return in_fresh_process(__spec__.name, json.dumps([arm, asdict(setting)]), what=f"a step of {arm!r}")


def _resident_growth_mib(arm: str, setting: Setting) -> float:
    from ..measured_step import DetectorStep

    step = DetectorStep(arm_model(arm, setting), setting)
    before = resident_bytes() or peak_resident_bytes()
    step.step()
    return max(0, peak_resident_bytes() - before) / 2**20


if __name__ == "__main__":  # the process that `_peak_in_fresh_process` starts
    wanted_arm, wanted_setting = json.loads(sys.argv[1])
    print(_resident_growth_mib(wanted_arm, Setting(**wanted_setting)))
