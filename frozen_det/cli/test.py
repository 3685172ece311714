"""Evaluate a checkpoint by config: prints the AP table (of a classifier: accuracies), writes the numbers down.

frozen-det test quickstart work_dirs/quickstart/epoch_8.pth
frozen-det test upstream/efficientnet-lite0_given_imagenet1k      (a classifier: the weights its config names)
"""

from pathlib import Path

from ..errors import InputError
from .config_arguments import add_config, config_of, default_work_dir


def add_arguments(parser) -> None:
    add_config(parser)
    parser.add_argument(
        "checkpoint",
        nargs="?",
        help="checkpoint file, lean or full; may be left out for a classifier "
        "with model.weights, which are tested then",
    )
    parser.add_argument("--work-dir", help="where logs and results go (default: work_dirs/NAME)")
    parser.add_argument(
        "--out",
        help="write the metrics to this JSON file; of a classifier, the accuracy of every "
        "class goes to NAME.classes.json beside it",
    )
    parser.add_argument(
        "--detections",
        metavar="PREFIX",
        help="store the detections too, as PREFIX.bbox.json and so on: they can be evaluated again and "
        "drawn by `report` (metrics of frozen_det)",
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")


def run(args) -> int:
    from mmengine.dist import is_main_process

    from ..weights.atomic_write import require_writable, write_json
    from .train import build_runner, set_launcher

    if args.checkpoint and not Path(args.checkpoint).is_file():
        raise InputError(f"expected a checkpoint file, but {args.checkpoint} does not exist.")
    if args.out:
        require_writable(args.out)
    cfg = config_of(args)
    classifiers = ("frozen_det.ImageClassifier", "frozen_det.FixResClassifier")
    if not args.checkpoint and not (cfg.model.type in classifiers and cfg.model.get("weights")):
        raise InputError(
            f"expected a checkpoint file after the config: {cfg.filename} is not a classifier whose "
            "model.weights could be tested without training."
        )
    cfg.work_dir = args.work_dir or cfg.get("work_dir") or default_work_dir(cfg)
    set_launcher(cfg, args.launcher)
    cfg.load_from = args.checkpoint
    if args.detections:
        store_detections(cfg, args.detections)
    if args.out:
        store_classes(cfg, args.out)
    runner = build_runner(cfg)
    if not args.checkpoint:
        getattr(runner.model, "module", runner.model).init_weights()  # the host does this for training alone
    metrics = runner.test()
    if args.out and is_main_process():
        write_json(args.out, {k: float(v) for k, v in metrics.items()})
        print(f"metrics written to {args.out}")
    return 0


def store_detections(cfg, prefix: str) -> None:
    """Let the test's metrics of this package store what they evaluate, unless the config says where already."""
    evaluators = cfg.get("test_evaluator") or []
    for one in evaluators if isinstance(evaluators, list | tuple) else [evaluators]:
        if one.get("type") in ("frozen_det.CocoMetric", "frozen_det.LVISMetric") and not one.get("outfile_prefix"):
            one["outfile_prefix"] = prefix


def store_classes(cfg, out: str) -> None:
    """Let a classifier's metric write the accuracy of every class beside `out`, unless the config says where already.
    Of several such metrics the first does."""
    evaluators = cfg.get("test_evaluator") or []
    for one in evaluators if isinstance(evaluators, list | tuple) else [evaluators]:
        if one.get("type") == "frozen_det.ClassificationMetric":
            if not one.get("outfile"):
                one["outfile"] = str(Path(out).with_suffix(".classes.json"))
            return
