"""Noisy Student: a teacher labels a pool, a student learns from it and becomes teacher; any number of rounds.

frozen-det noisy_student noisy_student/resnet20_cifar10 --cfg-options data_root=my/cifar10
frozen-det noisy_student my_loop.py --work-dir runs/loop        (again: continues where it stopped)
torchrun --nproc-per-node 2 -m frozen_det.cli noisy_student my_loop.py --launcher pytorch
"""

from .shared.config_arguments import (
    add_config,
    add_feature_cache,
    add_launcher,
    add_list_again,
    config_of,
    store_of,
    work_dir_of,
)


def add_arguments(parser) -> None:
    add_config(parser)
    parser.add_argument("--work-dir", help="where everything goes (default: work_dirs/NAME)")
    parser.add_argument(
        "--seed", type=int, help="of the split, the selection and every training (default: the configs')"
    )
    add_list_again(parser)
    add_feature_cache(parser)
    add_launcher(parser)


def run(args) -> int:
    from ..engine.runner.processes import joined

    with joined(args.launcher):
        return _run(args)


def _run(args) -> int:
    from ..engine.runner.processes import first_logs
    from ..upstream.noisy_student.loop import run_noisy_student

    cfg = config_of(args)
    if args.seed is not None:
        set_seed(cfg, args.seed)
    store = store_of(args)
    log = first_logs(lambda line: print(line, flush=True))
    result = run_noisy_student(cfg, work_dir_of(args, cfg), log, store, args.list_again)
    if store is not None:
        log(store.summary())
    log("")
    for model in result.models:
        numbers = result.metrics.get(model.name) or {}
        shown = f"top-1 {numbers['top1']:6.2f}   " if "top1" in numbers else ""
        log(f"{model.name:<11}{shown}{model.checkpoint}")
    log(f"{'report':<11}{result.report}")
    return 0


def set_seed(cfg, seed: int) -> None:
    """Give all parts of a loop one seed."""
    if cfg.get("split"):
        cfg.split["seed"] = seed
    for part in (cfg.teacher, *cfg.rounds, cfg.get("fixres")):
        if part:
            part["options"] = {**(part.get("options") or {}), "randomness": dict(seed=seed)}
    for part in cfg.rounds:
        part["seed"] = seed
