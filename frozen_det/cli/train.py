"""Train a detector (or a classifier) by config; ends with the best checkpoint, curves, pictures and the proof.

frozen-det train quickstart
frozen-det train custom --data my/data --epochs 30 --size 640 --backbone timm/convnext_tiny.fb_in22k --adapters parallel
frozen-det train my.py --resume                                                     (frozen-det new writes my.py)
frozen-det train quickstart --fraction 0.1 --same-updates --seed 1
"""

from pathlib import Path

from .shared.config_arguments import add_choices, add_config, choices_of, options_of


def add_arguments(parser) -> None:
    add_config(parser)
    add_choices(parser)
    parser.add_argument("--work-dir", help="where everything goes (default: work_dirs/NAME)")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        default=None,
        metavar="CHECKPOINT",
        help="resume from the newest checkpoint of the work directory, or from the file or folder named",
    )
    parser.add_argument("--amp", action="store_true", help="automatic mixed precision")
    parser.add_argument(
        "--val-loss", action="store_true", help="the loss on the validation images too, in log, TensorBoard and report"
    )
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="how several processes were started; pytorch is torchrun",
    )
    parser.add_argument("--seed", type=int, help="run seed (default: the config's)")
    parser.add_argument("--no-report", action="store_true", help="leave out the page that is written at the end")
    parser.add_argument("--verbose", action="store_true", help="the whole log on the console, as mmengine writes it")
    add_fraction(parser)


def add_fraction(parser) -> None:
    """Add `--fraction-seed` and `--same-updates`, and `--fraction`."""
    parser.add_argument(
        "--fraction",
        type=float,
        metavar="F",
        help="train on this share of the images, in (0, 1], at least one image of every class; the ids "
        "go to fraction_ids.json",
    )
    add_fraction_details(parser)


def add_fraction_details(parser) -> None:
    """Add what belongs to a fraction, or to several."""
    parser.add_argument(
        "--fraction-seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of the draw of the fraction; the run's seed does not change it (default: 0)",
    )
    parser.add_argument(
        "--same-updates",
        action="store_true",
        help="with a fraction F, 1/F times the epochs: all that the schedule counts in epochs is "
        "stretched, so that every fraction trains for as many updates",
    )


def run(args) -> int:
    from ..engine.runs import is_first_process
    from ..engine.training import train

    newest = train(
        args.config,
        **choices_of(args),
        options=options_of(args),
        work_dir=args.work_dir,
        resume=args.resume,
        seed=args.seed,
        amp=args.amp,
        validation_loss=args.val_loss,
        launcher=args.launcher,
        fraction=args.fraction,
        fraction_seed=args.fraction_seed,
        same_updates=args.same_updates,
        verbose=args.verbose,
    )
    if newest is not None and is_first_process():
        _print_next(newest, args)
    return 0


def _print_next(newest: Path, args) -> None:
    """Write the report of a finished run, and say what can be done with it."""
    import contextlib
    import shlex
    import sys

    from ..config import load_config
    from ..config.classifiers import is_classifier
    from ..errors import InputError
    from ..reports.write import write_report
    from ..weights.kept_checkpoints import best_checkpoint
    from .shared.program import program

    work_dir = newest.parent
    best = best_checkpoint(work_dir) or newest
    if not args.no_report:
        try:
            with contextlib.redirect_stdout(sys.stderr):
                print(f"report {write_report([work_dir])[0]}")
        except InputError as error:
            print(f"no report: {error}", file=sys.stderr)
    typed = lambda path: shlex.quote(str(path))  # noqa: E731
    recorded = max(work_dir.glob("*.py"), key=lambda path: path.stat().st_mtime, default=args.config)
    print(
        f"next   {program()} test {typed(recorded)} {typed(best)}", file=sys.stderr
    )  # the config as it was run, overrides and all
    if is_classifier(load_config(str(recorded)).model):
        print(f"       {program()} train custom --data my/data --backbone {typed(work_dir)}", file=sys.stderr)
    else:
        print(f"       {program()} predict IMAGES --checkpoint {typed(best)}", file=sys.stderr)
