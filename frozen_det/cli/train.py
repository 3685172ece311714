"""Train a detector (or a classifier) by config; ends with the best checkpoint, curves, pictures and the proof.

frozen-det train quickstart
frozen-det train configs/custom_coco.py --cfg-options data_root=my/data --resume
frozen-det train quickstart --fraction 0.1 --same-updates --seed 1
"""

from ..errors import InputError
from .config_arguments import add_config, config_of, default_work_dir


def add_arguments(parser) -> None:
    add_config(parser)
    parser.add_argument("--work-dir", help="where everything goes (default: work_dirs/NAME)")
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        default=None,
        metavar="CHECKPOINT",
        help="go on from the newest checkpoint of the work directory, or from the file or folder named",
    )
    parser.add_argument("--amp", action="store_true", help="automatic mixed precision")
    parser.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm", "mpi"],
        default="none",
        help="how several processes were started; pytorch is torchrun",
    )
    parser.add_argument("--seed", type=int, help="run seed (default: the config's)")
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
    from ..engine.runs import training_folder

    cfg = training_config(args)
    with training_folder(cfg, args.resume, print, "the same command with --resume"):
        runner = build_runner(cfg)
        if cfg.get("accumulate", 1) > 1 and runner.rank == 0:
            print(accumulation_words(cfg, runner.world_size))
        runner.train()
    return 0


def accumulation_words(cfg, num_processes: int) -> str:
    """The arithmetic of gradient accumulation: images of one update, and the learning rate that follows."""
    from ..engine.optimizers.rate_scaling import rate_factor, scaling_of

    steps, batch = cfg.accumulate, cfg.train_dataloader.batch_size
    update = steps * num_processes * batch
    text = (
        f"gradient accumulation: {steps} steps x {num_processes} process{'es' if num_processes > 1 else ''} x "
        f"{batch} images = {update} images for one update"
    )
    scale, rate = cfg.get("auto_scale_lr") or {}, cfg.optim_wrapper.optimizer.get("lr")
    if rate is None or not scale.get("enable"):
        return f"{text}; the learning rate {rate} is as given, whatever the batch"
    base = scale.base_batch_size * scale.get("divided_by", 1)  # the config's own number
    scaling = scaling_of(scale)
    sum_ = f"{rate:g} x {update} / {base:g}" if scaling == "linear" else f"{rate:g} x sqrt({update} / {base:g})"
    law = "linear in the batch" if scaling == "linear" else "by the root of the batch"
    return f"{text}; learning rate {sum_} = {rate * rate_factor(update, base, scaling):g} ({law})"


def training_config(args):
    """The config of a training run with all that the command's options say, but for `--resume`."""
    cfg = config_of(args)
    cfg.work_dir = args.work_dir or cfg.get("work_dir") or default_work_dir(cfg)
    set_launcher(cfg, args.launcher)
    if args.seed is not None:
        cfg.randomness = {**cfg.get("randomness", {}), "seed": args.seed}
    if args.amp:
        import torch

        if not torch.cuda.is_available():
            raise InputError("--amp needs a GPU: the host's mixed precision runs on no CPU. Leave --amp out here.")
        if cfg.optim_wrapper.type not in ("OptimWrapper", "AmpOptimWrapper"):
            raise InputError(f"--amp works with optim_wrapper.type='OptimWrapper', got {cfg.optim_wrapper.type!r}.")
        cfg.optim_wrapper.type = "AmpOptimWrapper"
        cfg.optim_wrapper.setdefault("loss_scale", "dynamic")
    _fraction(cfg, args)
    return cfg


def _fraction(cfg, args) -> None:
    """Give the training data their fraction, write down which images it is, and stretch the schedule if asked."""
    from ..datasets.samplers.data_fraction import fraction_of, put_fraction
    from ..engine.runner.stretch_schedule import stretch_schedule

    if args.fraction is not None:
        put_fraction(cfg, args.fraction, args.fraction_seed)
    fraction = fraction_of(cfg)
    if fraction is not None:
        hooks = list(cfg.get("custom_hooks") or [])
        if not any(hook.get("type") == "frozen_det.FractionRecordHook" for hook in hooks):
            cfg.custom_hooks = [*hooks, dict(type="frozen_det.FractionRecordHook")]
    if args.same_updates:
        changed = stretch_schedule(cfg, 1 / fraction["share"]) if fraction else []
        print("as many updates as with all the data: " + (", ".join(changed) or "the schedule stays as it is"))


def set_launcher(cfg, launcher: str) -> None:
    """How the processes were started; without a GPU they talk by gloo, where the config says nccl."""
    import torch

    cfg.launcher = launcher
    talk = (cfg.get("env_cfg") or {}).get("dist_cfg") or {}
    if launcher == "none" or torch.cuda.is_available():
        return
    if talk.get("backend", "nccl") == "nccl":
        cfg.env_cfg = {**(cfg.get("env_cfg") or {}), "dist_cfg": {**talk, "backend": "gloo"}}
    if cfg.pop("sync_bn", None) is not None:
        print(
            "sync_bn is left out: torch synchronises norms on GPUs only. Norms that train see their own process's "
            "batch; frozen_det.NormStatisticsHook averages their running statistics at the end of each epoch."
        )
    if launcher == "pytorch":
        # The host would set a CUDA device first, and name one to the wrapper; neither is there.
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo")
        cfg.setdefault(
            "model_wrapper_cfg", dict(type="MMDistributedDataParallel", device_ids=None, broadcast_buffers=False)
        )


def build_runner(cfg):
    """mmengine's Runner for a config, with memory settings of the allocator for CPU runs in place."""
    import warnings

    from ..engine.runs import new_runner

    # One line a step from torch about its own meshgrid, one from mmengine about frozen parameters: both say nothing
    # a user could act on.
    warnings.filterwarnings("ignore", message=".*torch.meshgrid.*")
    return new_runner(cfg)
