"""Export the backbone of a trained model: a weights file with its card, or a program (ONNX, torch.export); checked.

frozen-det export quickstart work_dirs/quickstart/epoch_8.pth -o backbone.safetensors
frozen-det export quickstart work_dirs/quickstart/epoch_8.pth -o backbone.onnx
With --with, several detectors on one frozen backbone: -o is a folder that gets backbone.onnx and one file a detector.
"""

from pathlib import Path

from ..errors import InputError
from .shared.config_arguments import add_config, options_of

# Suffix of the output -> what is written.
FORMATS = {".safetensors": "safetensors", ".pth": "pth", ".onnx": "onnx", ".pt2": "torch-export"}


def add_arguments(parser) -> None:
    add_config(parser)
    parser.add_argument("checkpoint", help="checkpoint that the config trained, lean or full")
    parser.add_argument(
        "-o", "--out", required=True, metavar="FILE", help=f"what to write, by suffix: {', '.join(FORMATS)}"
    )
    parser.add_argument(
        "--with",
        dest="others",
        nargs="+",
        metavar="CHECKPOINT",
        help="more detectors on the same backbone, by the configs in their checkpoints; all become ONNX programs",
    )
    parser.add_argument(
        "--format",
        choices=sorted(set(FORMATS.values())),
        help="the format, where it should be said twice (default: by suffix)",
    )
    parser.add_argument(
        "--layout",
        default="plain",
        choices=["plain", "timm", "torchvision", "mmdet", "mmpretrain"],
        help="whose key names a weights file gets (default: the backbone's own library)",
    )
    parser.add_argument("--fold-bn", action="store_true", help="fold BatchNorms into the convolutions before them")
    parser.add_argument(
        "--size", type=int, nargs="+", metavar="PX", help="programs: fix the input height and width (default: open)"
    )
    parser.add_argument(
        "--part",
        choices=["backbone", "detector"],
        default="backbone",
        help="programs: the whole detector: a two-stage one to its detections (ONNX), others to their raw outputs",
    )
    parser.add_argument(
        "--int8",
        action="store_true",
        help="two-stage detectors: store weights in 8 bits (docs/weights.md has the cost)",
    )


def run(args) -> int:
    from ..inference.detector import load_backbone

    if args.others:
        return _export_family(args)
    kind = _format(args)
    if args.part == "detector":
        return _export_detector(args, kind)
    backbone = load_backbone(args.config, args.checkpoint, options_of(args))
    if kind in ("onnx", "torch-export"):
        _export_program(args, backbone, kind)
    else:
        _export_weights(args, backbone)
    return 0


def _format(args) -> str:
    suffix = Path(args.out).suffix
    if suffix not in FORMATS:
        raise InputError(f"expected an output file that ends in one of {', '.join(FORMATS)}, got {args.out}.")
    kind = FORMATS[suffix]
    if args.format and args.format != kind:
        raise InputError(f"--format {args.format} does not go with {args.out}, whose suffix says {kind}.")
    program = kind in ("onnx", "torch-export")
    if program and args.layout != "plain":
        raise InputError(f"--layout {args.layout} is for weights files; a {kind} program holds no key names to map.")
    if not program and (args.size or args.part == "detector"):
        raise InputError(f"--size and --part are for programs (.onnx, .pt2), got {args.out}.")
    if args.int8 and (kind != "onnx" or args.part != "detector"):
        raise InputError(f"--int8 is for --part detector and a file that ends in .onnx, got {args.out}.")
    return kind


def _size(args) -> tuple[int, int] | None:
    if args.size and (len(args.size) > 2 or min(args.size) < 1):
        raise InputError(f"expected one or two positive numbers after --size, got {args.size}.")
    return tuple((args.size * 2)[:2]) if args.size else None


def _export_weights(args, backbone) -> None:
    from ..export import export_backbone

    card = export_backbone(backbone, args.out, layout=args.layout, fold_norms=args.fold_bn)
    print(
        f"{args.out}: {card.architecture}, strides {list(card.strides)}, channels {list(card.channels)}, "
        f"sha256 {card.digest[:12]}, read back and equal bit for bit"
    )
    if args.layout in ("mmdet", "mmpretrain") and args.out.endswith(".safetensors"):
        print(f"{args.layout} without frozen_det reads .pth only: export to a file that ends so if it has to")


def _export_program(args, backbone, kind: str) -> None:
    from ..export import export_program

    report = export_program(backbone, args.out, kind, _size(args), args.fold_bn)
    if report.fixed_hw:
        size = f"height and width fixed at {report.fixed_hw[0]} x {report.fixed_hw[1]}, batch open"
    elif report.step == 1:
        size = "batch, height and width open"
    else:
        size = f"batch open, height and width open in multiples of {report.step}"
    checked = ", ".join(f"{n} x 3 x {h} x {w}" for n, h, w in report.checked)
    print(
        f"{args.out}: {report.card.architecture}, input `images` ({size}), outputs {', '.join(report.outputs)}\n"
        f"differs from eager by at most {report.largest_difference:.1e} of the largest magnitude on {checked}"
    )


def _export_family(args) -> int:
    from ..export import export_family
    from ..inference.family import load_family, member_names

    if (
        Path(args.out).suffix in FORMATS
        or args.part == "detector"
        or args.fold_bn
        or args.layout != "plain"
        or args.int8
    ):
        raise InputError(
            f"expected a folder after -o for --with, and none of --part, --fold-bn, --layout, --int8; got {args.out}."
        )
    checkpoints = member_names([args.checkpoint, *args.others])
    configs = {next(iter(checkpoints)): args.config}
    family = load_family(checkpoints, configs, "cpu", options_of(args))
    for name, report in export_family(family, args.out, "onnx", _size(args)).items():
        print(f"{Path(args.out) / name}.onnx: outputs {', '.join(report.outputs)}, {_difference(report)}")
    return 0


def _export_detector(args, kind: str) -> int:
    from ..export.detector_program import export_detector
    from ..inference.detector import load_detector
    from ..inference.preparation import described

    detector = load_detector(args.config, args.checkpoint, "cpu", options_of(args))
    report = export_detector(detector.model, args.out, kind, _size(args), described(detector), args.int8)
    print(f"{args.out}: outputs {', '.join(report.outputs)}, {_difference(report)}")
    if args.int8:
        print("then its weights were stored in 8 bits: what it finds differs, measure its AP before it is used")
    return 0


def _difference(report) -> str:
    of = "in score or mask, boxes by at most 0.05 px" if "boxes" in report.outputs else "of the largest magnitude"
    return f"differ from eager by at most {report.largest_difference:.1e} {of}"
