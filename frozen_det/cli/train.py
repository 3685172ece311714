"""Train a detector (or a classifier) by config; ends with the best checkpoint, curves, pictures and the proof.

    frozen-det train quickstart
    frozen-det train configs/custom_coco.py --cfg-options data_root=my/data --resume
"""

from pathlib import Path

from ..errors import InputError
from .config_arguments import add_config, config_of, default_work_dir, options_of


def add_arguments(parser) -> None:
    add_config(parser)
    parser.add_argument("--work-dir", help="where everything goes (default: work_dirs/NAME)")
    parser.add_argument("--resume", nargs="?", const="auto", default=None, metavar="CHECKPOINT",
                        help="go on from the newest checkpoint of the work directory, or from the one named")
    parser.add_argument("--amp", action="store_true", help="automatic mixed precision")
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none",
                        help="how several processes were started; pytorch is torchrun")
    parser.add_argument("--seed", type=int, help="run seed (default: the config's)")


def run(args) -> int:
    cfg = config_of(args)
    cfg.work_dir = args.work_dir or cfg.get("work_dir") or default_work_dir(cfg)
    cfg.launcher = args.launcher
    if args.seed is not None:
        cfg.randomness = {**cfg.get("randomness", {}), "seed": args.seed}
    if args.amp:
        if cfg.optim_wrapper.type not in ("OptimWrapper", "AmpOptimWrapper"):
            raise InputError(f"--amp works with optim_wrapper.type='OptimWrapper', got {cfg.optim_wrapper.type!r}.")
        cfg.optim_wrapper.type = "AmpOptimWrapper"
        cfg.optim_wrapper.setdefault("loss_scale", "dynamic")
    _resume(cfg, args.resume)
    if "accumulate" in options_of(args):
        print(f"gradient accumulation: {cfg.accumulate} steps of {cfg.train_dataloader.batch_size} images make one "
              f"update of {cfg.accumulate * cfg.train_dataloader.batch_size}")
    build_runner(cfg).train()
    return 0


def _resume(cfg, wanted: str | None) -> None:
    """Point the config at the checkpoint to go on from."""
    from ..engine.lean_checkpoint import latest_checkpoint

    if wanted is None:
        return
    if wanted != "auto" and not Path(wanted).is_file():
        raise InputError(f"expected a checkpoint to resume from, but {wanted} does not exist.")
    path = Path(wanted) if wanted != "auto" else latest_checkpoint(cfg.work_dir)
    cfg.resume = path is not None
    cfg.load_from = str(path) if path else None
    print(f"resuming from {path}" if path else f"nothing to resume in {cfg.work_dir}: starting anew")


def build_runner(cfg):
    """mmengine's Runner for a config, with memory settings of the allocator for CPU runs in place."""
    import warnings

    from mmengine.runner import Runner

    # One line a step from torch about its own meshgrid, one from mmengine about frozen parameters: both say nothing
    # a user could act on.
    warnings.filterwarnings("ignore", message=".*torch.meshgrid.*")
    return Runner.from_cfg(cfg)
