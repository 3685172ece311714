"""Add classes to a trained detector: a new member on its frozen backbone, the old decoder untouched, both proven.

frozen-det extend work_dirs/birds/epoch_24.pth --data boats/
frozen-det extend work_dirs/birds/epoch_24.pth --data harbour/ --classes boat buoy --joint work_dirs/all/epoch_24.pth
The detector's own config trains the new member, on the new data; a page says what each class reaches. Called again, it
goes on where it was. `predict --checkpoint OLD NEW --join` uses both as one detector.
"""

from pathlib import Path

from .shared.config_arguments import add_cfg_options, options_of


def add_arguments(parser) -> None:
    parser.add_argument("checkpoint", help="of the detector, lean or full; it is only read")
    parser.add_argument("--data", required=True, metavar="DIR", help="folder with the new data, as of custom_coco")
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="classes of the new data to learn (default: all)")
    parser.add_argument("--work-dir", help="where everything goes (default: work_dirs/DETECTOR_and_DATA)")
    parser.add_argument("--seed", type=int, help="run seed (default: the detector's)")
    parser.add_argument(
        "--joint", metavar="CHECKPOINT", help="a detector trained on all classes at once, to be measured beside"
    )
    add_cfg_options(parser, "overrides of the detector's config, e.g. train_cfg.max_epochs=12")


def run(args) -> int:
    from ..workflows.extend import extend

    names = Path(args.checkpoint).resolve().parent.name, Path(args.data).resolve().name
    trained, page = extend(
        args.checkpoint,
        args.data,
        args.work_dir or Path("work_dirs", "_and_".join(names)),
        classes=args.classes,
        seed=args.seed,
        options=options_of(args),
        joint=args.joint,
        log=lambda line: print(line, flush=True),
    )
    print(f"{'old':<8}{args.checkpoint}\n{'new':<8}{trained}\n{'page':<8}{page}")
    return 0
