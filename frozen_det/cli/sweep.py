"""Train and test configs x fractions x seeds, resumable, and write one report over all of them.

    frozen-det sweep frozen.py finetune.py --seeds 0 1 --fractions 0.1 1.0 --work-dir work_dirs/comparison
    frozen-det sweep upstream/resnet20_plain_cifar10 upstream/resnet20_cutmix_cifar10 --seeds 0 1 2
Each run is in WORK_DIR/CONFIG/fraction-F/seed-S. Called again, it continues where it was.
"""

import argparse
from pathlib import Path

from ..errors import InputError
from .shared.config_arguments import add_cfg_options, add_choices, config_of, options_of, with_choices_as_options


def add_arguments(parser) -> None:
    from .train import add_fraction_details

    parser.add_argument("configs", nargs="+", metavar="CONFIG", help="config files, or names of ones that ship")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], metavar="S", help="run seeds (default: 0)")
    parser.add_argument(
        "--fractions",
        type=float,
        nargs="+",
        default=[1.0],
        metavar="F",
        help="shares of the training images, in (0, 1] (default: 1.0)",
    )
    parser.add_argument("--work-dir", default="work_dirs/sweep", help="where all runs and the report go")
    add_choices(parser)
    add_cfg_options(parser, "overrides for all configs")
    parser.add_argument(
        "--second-test",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="test the final checkpoint once more with these overrides, on other images; the report of "
        "classifiers then says whether the order of the configs holds there",
    )
    add_fraction_details(parser)
    parser.add_argument("--amp", action="store_true", help="automatic mixed precision")
    parser.add_argument(
        "--together",
        action="store_true",
        help="train and test runs on the same frozen backbone and data in one process, on one pass of both; each ends "
        "with the weights that it would have alone. Runs of several seeds read the same data with --data-seed",
    )
    parser.add_argument(
        "--data-seed",
        type=int,
        metavar="S",
        help="one order of the data for all runs; --seeds then vary the decoder's start and its draws alone",
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs side by side; they share the cores")
    parser.add_argument("--launch", choices=["none", "torchrun"], default="none", help="start each run by torchrun")
    parser.add_argument("--nproc", type=int, default=1, metavar="N", help="processes of a run, with --launch torchrun")
    parser.add_argument("--dry-run", action="store_true", help="check all settings, print the runs, start none")


def run(args) -> int:
    from ..workflows.sweep import Sweep

    if args.nproc > 1 and args.launch != "torchrun":
        raise InputError(f"expected --launch torchrun with --nproc {args.nproc}, got --launch {args.launch}.")
    if args.data_seed is not None:
        args.cfg_options = [*args.cfg_options, f"train_dataloader.sampler.seed={args.data_seed}"]
    runs = planned_runs(args)
    print(f"{len(runs)} runs: {len(args.configs)} configs x {len(args.fractions)} fractions x {len(args.seeds)} seeds")
    if args.dry_run:
        print("\n".join(f"{one.title} -> {one.folder}" for one in runs))
        return 0
    sweep = Sweep(runs, args.jobs, args.nproc, log=lambda line: print(line, flush=True), together=args.together)
    result = sweep.run()
    for one, fault in result.failed:
        print(f"failed: {one.title}: {fault}; log {one.folder / 'sweep.log'}")
    print(
        f"{len(result.done)} of {len(runs)} runs have results ({result.reused} from before), "
        f"{len(result.failed)} failed",
        flush=True,
    )
    if result.done:
        _report(sorted(result.done, key=[one.folder for one in runs].index), Path(args.work_dir) / "report.html")
    return 1 if result.failed else 0


def planned_runs(args) -> list:
    """All runs, settings resolved and checked before the first starts; runs on little data first.

    Raises:
        InputError: a config that does not load, two configs of one name, a value given twice, a fraction out of range.
    """
    from ..config import find_config

    names: dict[str, argparse.Namespace] = {}
    for config in args.configs:
        one = with_choices_as_options(args, config)
        name = find_config(one.config).stem
        if name in names:
            raise InputError(
                f"expected configs of different names, got {names[name].config!r} and {config!r}, whose runs "
                "would share a folder; rename one."
            )
        names[name] = one
    for option, values in (("--seeds", args.seeds), ("--fractions", args.fractions)):
        if len(set(values)) < len(values):
            raise InputError(f"expected each value once in {option}, got {values}.")
    return [
        _planned(one, one.config, name, share, seed)
        for share in sorted(args.fractions)
        for seed in args.seeds
        for name, one in names.items()
    ]


def _planned(args, config: str, name: str, share: float, seed: int):
    from ..engine.training import training_config
    from ..workflows.sweep_runs import SweepRun, settings_text

    folder = Path(args.work_dir) / name / f"fraction-{share:g}" / f"seed-{seed}"
    same_updates = args.same_updates and share != 1
    cfg = training_config(
        config,
        options_of(args),
        work_dir=folder,
        seed=seed,
        amp=args.amp,
        fraction=share,
        fraction_seed=args.fraction_seed,
        same_updates=same_updates,
    )
    _check_second_test(args, config)
    arguments = ["--seed", str(seed), "--fraction", repr(share), "--fraction-seed", str(args.fraction_seed)]
    arguments += ["--same-updates"] * same_updates + ["--amp"] * args.amp
    best = (cfg.get("default_hooks") or {}).get("checkpoint", {}).get("save_best")
    return SweepRun(
        config,
        name,
        seed,
        share,
        folder,
        arguments,
        list(args.cfg_options),
        settings_text(cfg),
        save_best=best if isinstance(best, str) else None,
        weight=1.0 if same_updates else share,
        second_test=list(args.second_test),
    )


def _check_second_test(args, config: str) -> None:
    """Refuse overrides of the second test that do not load, or that change nothing of the test's images."""
    if not args.second_test:
        return
    both = argparse.Namespace(config=config, cfg_options=[*args.cfg_options, *args.second_test])
    first = config_of(argparse.Namespace(config=config, cfg_options=args.cfg_options))
    if config_of(both).get("test_dataloader") == first.get("test_dataloader"):
        raise InputError(
            f"expected --second-test to name other images, as in test_dataloader.dataset.split=test2, got "
            f"{args.second_test}, with which test_dataloader of {config} stays as it is."
        )


def _report(folders: list[Path], out: Path) -> None:
    import contextlib
    import sys

    from ..reports.write import write_report

    # mmengine prints to stdout while a model is built.
    with contextlib.redirect_stdout(sys.stderr):
        html, markdown = write_report(folders, out)
    print(f"report: {html}\n        {markdown}")
