"""Fix a classifier for a larger test size: tune head and last norm there, or measure accuracy against test size.

    frozen-det fixres CONFIG CHECKPOINT --test-size 320                       (tune; before and after; proven)
    frozen-det fixres CONFIG CHECKPOINT --sweep 128 160 192 224 256 288 320   (measure only)
    frozen-det fixres CONFIG CHECKPOINT --sweep 224 288 320 --also fixed=work_dirs/NAME
    frozen-det fixres CONFIG --statistics-only --split-half --sweep 224 288   (no gradient, no training images)
    torchrun --nproc-per-node 2 -m frozen_det.cli fixres CONFIG CHECKPOINT --test-size 320 --launcher pytorch
CHECKPOINT may be a file, a work directory, or left out for a config with model.weights.
"""

from pathlib import Path

from .shared.config_arguments import add_config, add_launcher, config_of


def add_arguments(parser) -> None:
    add_config(parser)
    parser.add_argument("checkpoint", nargs="?", help="checkpoint file or work directory of the finished classifier")
    parser.add_argument("--work-dir", help="where everything goes (default: work_dirs/NAME-fixres)")
    add_launcher(parser)
    tuning = parser.add_argument_group("tuning")
    tuning.add_argument("--test-size", type=int, metavar="PX", help="test size to tune for (default: the config's)")
    tuning.add_argument(
        "--crop-ratio",
        type=float,
        metavar="R",
        help="the crop's share of the resized short side (default: the config's)",
    )
    tuning.add_argument(
        "--transform",
        choices=["v1", "v2", "train"],
        help="v1: as the test (default); v2: "
        "with flips, slight colour changes and sideways shifts; train: random crops, as in training",
    )
    tuning.add_argument("--affine", action="store_true", default=None, help="train the last norm's scale and shift too")
    tuning.add_argument(
        "--norm",
        nargs="+",
        metavar="NAME",
        help="norm (or modules with norms) whose statistics move, "
        "'none' for none (default: the batch norm that runs last)",
    )
    tuning.add_argument("--epochs", type=int, help="of the tuning (default: the config's, or 11)")
    tuning.add_argument("--lr", type=float, help="learning rate for 64 images (default: the config's, or 1e-3)")
    tuning.add_argument("--label-smoothing", type=float, metavar="EPS", help="of the loss, in [0, 1)")
    tuning.add_argument("--resume", action="store_true", help="resume from the newest checkpoint of the work directory")
    tuning.add_argument("--seed", type=int, help="run seed (default: the config's)")
    study = parser.add_argument_group("test sizes")
    study.add_argument(
        "--sweep",
        type=int,
        nargs="+",
        metavar="PX",
        help="measure at these test sizes; nothing is "
        "tuned unless --test-size is given too, and then both are measured",
    )
    study.add_argument(
        "--crop-ratios",
        type=float,
        nargs="+",
        metavar="R",
        help="for --sweep: one for all sizes, one "
        "for each, or several to be combined with each (default: the config's)",
    )
    study.add_argument(
        "--also",
        nargs="+",
        default=[],
        metavar="NAME=CHECKPOINT",
        help="for --sweep: further checkpoints of this config, e.g. of other training sizes (a grid) or tuned ones",
    )
    small = parser.add_argument_group("without gradients")
    small.add_argument(
        "--statistics-only",
        action="store_true",
        help="re-estimate the last norm's running statistics at the test size on training images; nothing is trained",
    )
    small.add_argument(
        "--parametric",
        action="store_true",
        help="map the pooled activations at the test size back to their fitted distribution at the training size, "
        "learned from training images; nothing is trained",
    )
    small.add_argument(
        "--split-half",
        action="store_true",
        help="with either: learned from one half of the test images, measured on the other, both ways round",
    )
    small.add_argument(
        "--fraction",
        type=float,
        default=1.0,
        metavar="F",
        help="with either: share of the training images to use",
    )
    small.add_argument("--split-seed", type=int, default=0, metavar="N", help="seed of halves and fractions")


def run(args) -> int:
    from ..engine.runner.processes import joined

    with joined(args.launcher):
        return _run(args)


def _run(args) -> int:
    from ..config import default_work_dir
    from ..engine.runner.processes import first_logs
    from ..errors import InputError
    from ..upstream.fixres.config import FixResSettings
    from ..upstream.fixres.run import Request, run_fixres

    if args.checkpoint and not Path(args.checkpoint).exists():
        raise InputError(f"expected a checkpoint or a work directory, but {args.checkpoint} does not exist.")
    cfg = config_of(args)
    if args.seed is not None:
        cfg.randomness = {**(cfg.get("randomness") or {}), "seed": args.seed}
    norm = () if args.norm == ["none"] else tuple(args.norm) if args.norm else None
    settings = FixResSettings(
        args.test_size, args.crop_ratio, args.transform, args.affine, norm, args.epochs, args.lr, args.label_smoothing
    )
    request = Request(
        args.checkpoint,
        Path(args.work_dir or f"{default_work_dir(cfg)}-fixres"),
        settings,
        args.sweep or (),
        args.crop_ratios or (),
        _named(args.also),
        args.statistics_only,
        args.parametric or bool((cfg.get("fixres") or {}).get("parametric")),
        args.split_half,
        args.fraction,
        args.split_seed,
        args.resume,
        _command(),
    )
    log = first_logs(lambda line: print(line, flush=True))
    page = run_fixres(cfg, request, log=log)
    log(f"report: {page}\n        {page.with_suffix('.json')}")
    return 0


def _named(pairs: list[str]) -> dict[str, str]:
    from ..errors import InputError

    found = {}
    for pair in pairs:
        name, sign, path = pair.partition("=")
        if not sign or not name or not Path(path).exists():
            raise InputError(f"expected --also as NAME=CHECKPOINT with a file or work directory, got {pair!r}.")
        found[name] = path
    return found


def _command() -> str:
    """The call as it was typed, for the record, without folders of this machine."""
    import sys

    return " ".join(
        [
            "frozen-det fixres",
            *(Path(word).name if word.startswith("/") else word for word in sys.argv[1:] if word != "fixres"),
        ]
    )
