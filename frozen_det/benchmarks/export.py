"""Exported backbones against eager: time of a forward pass, difference of the features, size of the files.

Each backbone is written as a weights file, an ONNX file and a torch.export file, as `frozen-det export` writes them,
and the programs are read back. All variants run on one batch, in turns, in one process with one number of threads.
Weights are random: time does not depend on them.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from .measurement import add_output, add_timm_backbones, in_turns, machine, number, require_from_one, text_table

BODIES = ("resnet50", "tf_efficientnet_lite0")
STRIDES = (4, 8, 16, 32)
# Variant -> suffix of its file.
ARMS = {"eager": ".safetensors", "onnxruntime": ".onnx", "torch.export": ".pt2"}


@dataclass
class Row:
    """One variant of one backbone.

    Attributes:
        file_mib: of the file in MiB; of the eager variant the weights file.
        difference: from eager, largest over three input sizes, relative to the largest magnitude; None for eager.
        wall_ms, cpu_ms: median wall and process time of a forward pass.
        spread_ms: from the lower to the upper quartile of the wall time.
        wall_ratio, cpu_ratio: over eager's; below 1 is faster than eager.
        open_size: whether the program takes any height and width (or multiples of a step).
    """

    body: str
    arm: str
    file_mib: float
    difference: float | None
    wall_ms: float
    spread_ms: float
    cpu_ms: float
    wall_ratio: float
    cpu_ratio: float
    open_size: bool


def add_arguments(parser) -> None:
    add_timm_backbones(parser, BODIES)
    parser.add_argument("--fixed", action="store_true", help="export for this size alone (default: open sizes)")
    parser.add_argument("--fold-bn", action="store_true", help="fold BatchNorms into the convolutions of the programs")
    parser.add_argument("--strides", type=int, nargs="+", default=list(STRIDES), help="strides of the features")
    parser.add_argument("--batch", type=int, default=1, help="images a pass (default 1)")
    parser.add_argument("--passes", type=int, default=20, help="measured passes of every variant, after two to warm up")
    add_output(parser, device=False)


def run(args) -> int:
    require_from_one(args, "passes", "batch")
    rows = []
    for name in args.bodies:
        rows += measure(name, tuple(args.strides), tuple(args.size), args.batch, args.passes, args.fixed, args.fold_bn)
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return 0
    import onnxruntime

    size = f"{args.batch} x 3 x {args.size[0]} x {args.size[1]}, {args.passes} passes of each variant in turns"
    print(f"{size}, {machine(on_gpu=False)}, onnxruntime {onnxruntime.__version__}", table(rows), sep="\n")
    return 0


def measure(
    name: str, strides, size_hw, batch: int, passes: int, fixed: bool = False, fold_norms: bool = False
) -> list[Row]:
    """All variants of one backbone; see :class:`Row`.

    Args:
        name: of a timm model.
        strides: of the features.
        size_hw, batch: of the images.
        passes: measured passes of each variant.
        fixed: export for `size_hw` alone.
        fold_norms: fold BatchNorms into convolutions in the programs.

    Raises:
        InputError: the model or one of its programs cannot be made, or onnxruntime is not installed.
    """
    from ..models import FrozenBackbone

    torch.manual_seed(0)
    backbone = FrozenBackbone(dict(type="timm", name=name), "random", strides).eval()
    images = torch.randn(batch, 3, *size_hw, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder:
        exported = _exported(backbone, Path(folder), size_hw if fixed else None, fold_norms)
        sizes = {arm: (Path(folder) / f"body{suffix}").stat().st_size for arm, suffix in ARMS.items()}
        calls = {arm: lambda call=call: call(images) for arm, (call, _) in exported.items()}
        with torch.no_grad():
            times = in_turns(calls, passes, warm_up=2)
    eager = times["eager"]
    return [
        Row(
            body=name,
            arm=arm,
            file_mib=sizes[arm] / 2**20,
            difference=report.largest_difference if report else None,
            wall_ms=times[arm].wall_ms,
            spread_ms=times[arm].spread_ms,
            cpu_ms=times[arm].cpu_ms,
            wall_ratio=times[arm].wall_ms / eager.wall_ms,
            cpu_ratio=times[arm].cpu_ms / max(eager.cpu_ms, 1e-6),
            open_size=report is None or report.fixed_hw is None,
        )
        for arm, (_, report) in exported.items()
    ]


def _exported(backbone, folder: Path, size_hw, fold_norms: bool) -> dict[str, tuple[Callable, object]]:
    """Variant -> (function of images, ProgramReport or None), each program read back from its file."""
    from ..export import export_backbone, export_program
    from ..export.programs import import_onnx, onnx_function, output_names

    onnxruntime = import_onnx()
    files = {arm: folder / f"body{suffix}" for arm, suffix in ARMS.items()}
    export_backbone(backbone, files["eager"])
    onnx = export_program(backbone, files["onnxruntime"], "onnx", size_hw, fold_norms)
    exported = export_program(backbone, files["torch.export"], "torch-export", size_hw, fold_norms)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(files["onnxruntime"]), options, providers=["CPUExecutionProvider"])
    return {
        "eager": (backbone, None),
        "onnxruntime": (onnx_function(session, output_names(backbone.strides)), onnx),
        "torch.export": (torch.export.load(files["torch.export"]).module(), exported),
    }


def table(rows: list[Row]) -> str:
    """The measurements as text. Process time says more than wall time on a machine with other load."""
    cells = [
        f"{row.body}|{row.arm}|{row.file_mib:.2f}|{number(row.difference, '.1e')}|{row.wall_ms:.1f}|"
        f"{row.spread_ms / 2:.1f}|{row.cpu_ms:.1f}|{row.wall_ratio:.2f}|{row.cpu_ratio:.2f}|"
        f"{'open' if row.open_size else 'fixed'}".split("|")
        for row in rows
    ]
    return text_table("backbone|variant|file MiB|difference|wall ms|± ms|CPU ms|x wall|x CPU|size", cells, left=2)
