"""Evaluate a checkpoint by config: prints the AP table (of a classifier: accuracies), writes the numbers down.

frozen-det test quickstart work_dirs/quickstart/epoch_8.pth
frozen-det test upstream/efficientnet-lite0_given_imagenet1k      (a classifier: the weights its config names)
"""

from pathlib import Path

from .shared.config_arguments import add_choices, add_config, config_and_options


def add_arguments(parser) -> None:
    add_config(parser)
    add_choices(parser, without=("epochs", "batch", "patience"))
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
    parser.add_argument("--verbose", action="store_true", help="the whole log on the console, as mmengine writes it")
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")


def run(args) -> int:
    from mmengine.dist import is_main_process

    from ..engine.testing import evaluate
    from ..weights.atomic_write import require_writable, write_json

    if args.out:
        require_writable(args.out)
    config, options = config_and_options(args)
    metrics = evaluate(
        config,
        args.checkpoint,
        options=options,
        work_dir=args.work_dir,
        detections=args.detections,
        classes_file=Path(args.out).with_suffix(".classes.json") if args.out else None,
        launcher=args.launcher,
        verbose=args.verbose,
    )
    if args.out and is_main_process():
        write_json(args.out, metrics)
        print(f"metrics written to {args.out}")
    return 0
