"""Exported backbones against eager: time of a forward pass, difference of the features, size of the files.

Each body is written as a weights file, an ONNX file and a torch.export file, as `frozen-det export` writes them, and
the programs are read back. All arms run on one batch, in turns, in one process with one number of threads, so that
other load on the machine falls on all of them alike. Weights are random: time does not depend on them.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ..errors import InputError

BODIES = ("resnet50", "tf_efficientnet_lite0")
STRIDES = (4, 8, 16, 32)
# Arm -> suffix of its file.
ARMS = {"eager": ".safetensors", "onnxruntime": ".onnx", "torch.export": ".pt2"}


@dataclass
class Row:
    """One arm on one body.

    Attributes:
        file_mib: of the file in MiB; of the eager arm the weights file.
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
    parser.add_argument(
        "--bodies",
        nargs="+",
        default=list(BODIES),
        metavar="NAME",
        help=f"names of timm models (default: {' '.join(BODIES)})",
    )
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=(256, 320),
        metavar=("H", "W"),
        help="image size in pixels (default 256 320)",
    )
    parser.add_argument("--fixed", action="store_true", help="export for this size alone (default: open sizes)")
    parser.add_argument("--fold-bn", action="store_true", help="fold BatchNorms into the convolutions of the programs")
    parser.add_argument("--strides", type=int, nargs="+", default=list(STRIDES), help="strides of the features")
    parser.add_argument("--batch", type=int, default=1, help="images a pass (default 1)")
    parser.add_argument("--passes", type=int, default=20, help="measured passes of every arm, after two to warm up")
    parser.add_argument("--json", action="store_true", help="print one JSON list instead of a table")


def run(args) -> int:
    if args.passes < 1 or args.batch < 1:
        raise InputError(f"expected --passes and --batch from 1 on, got {args.passes} and {args.batch}.")
    rows = []
    for name in args.bodies:
        rows += measure(name, tuple(args.strides), tuple(args.size), args.batch, args.passes, args.fixed, args.fold_bn)
    if args.json:
        print(json.dumps([asdict(row) for row in rows], indent=1))
        return 0
    import onnxruntime

    print(
        f"{args.batch} x 3 x {args.size[0]} x {args.size[1]}, {args.passes} passes of each arm in turns, CPU with "
        f"{torch.get_num_threads()} threads, torch {torch.__version__}, onnxruntime {onnxruntime.__version__}"
    )
    print(table(rows))
    return 0


def measure(
    name: str, strides, size_hw, batch: int, passes: int, fixed: bool = False, fold_norms: bool = False
) -> list[Row]:
    """All arms of one body; see :class:`Row`.

    Args:
        name: of a timm model.
        strides: of the features.
        size_hw, batch: of the images.
        passes: measured passes of each arm.
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
        made = _made(backbone, Path(folder), size_hw if fixed else None, fold_norms)
        sizes = {arm: (Path(folder) / f"body{suffix}").stat().st_size for arm, suffix in ARMS.items()}
        walls, cpus = _in_turns({arm: call for arm, (call, _) in made.items()}, images, passes)
    rows = []
    for arm, (_, report) in made.items():
        quartiles = statistics.quantiles(walls[arm], n=4) if passes > 1 else [walls[arm][0]] * 3
        wall, cpu = statistics.median(walls[arm]), statistics.median(cpus[arm])
        rows.append(
            Row(
                name,
                arm,
                sizes[arm] / 2**20,
                report.largest_difference if report else None,
                1e3 * wall,
                1e3 * (quartiles[2] - quartiles[0]),
                1e3 * cpu,
                wall / statistics.median(walls["eager"]),
                cpu / max(statistics.median(cpus["eager"]), 1e-9),
                report is None or report.fixed_hw is None,
            )
        )
    return rows


def _made(backbone, folder: Path, size_hw, fold_norms: bool) -> dict[str, tuple[Callable, object]]:
    """Arm -> (function of images, ProgramReport or None), each program read back from its file."""
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


def _in_turns(calls: dict[str, Callable], images: torch.Tensor, passes: int) -> tuple[dict, dict]:
    """Wall and process seconds of every pass, by arm; the arms take turns, and who comes first changes each time."""
    walls, cpus = ({arm: [] for arm in calls} for _ in range(2))
    order = list(calls)
    with torch.no_grad():
        for number in range(-2, passes):
            order.append(order.pop(0))
            for arm in order:
                wall, cpu = time.perf_counter(), time.process_time()
                calls[arm](images)
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
                if number >= 0:
                    walls[arm].append(wall)
                    cpus[arm].append(cpu)
    return walls, cpus


def table(rows: list[Row]) -> str:
    """The measurements as text. Process time says more than wall time on a machine with other load."""
    lines = [
        f"{'body':<24}{'arm':<14}{'file MiB':>9}{'difference':>12}{'wall ms':>9}{'± ms':>7}{'CPU ms':>9}"
        f"{'x wall':>8}{'x CPU':>8}  size"
    ]
    for row in rows:
        difference = "-" if row.difference is None else f"{row.difference:.1e}"
        lines.append(
            f"{row.body:<24}{row.arm:<14}{row.file_mib:>9.2f}{difference:>12}{row.wall_ms:>9.1f}"
            f"{row.spread_ms / 2:>7.1f}{row.cpu_ms:>9.1f}{row.wall_ratio:>8.2f}{row.cpu_ratio:>8.2f}  "
            f"{'open' if row.open_size else 'fixed'}"
        )
    return "\n".join(lines)
