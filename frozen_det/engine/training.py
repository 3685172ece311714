"""Training by config, as `frozen-det train` does it: overrides, launcher, a share of the data, the folder, the run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..weights.kept_checkpoints import latest_checkpoint
from .choices import Choices, chosen
from .runner.processes import set_launcher
from .runs import host_scope, is_first_process, new_runner, training_folder

if TYPE_CHECKING:
    from mmengine import Config


def train(
    config: str | Path,
    *,
    data: str | Path | None = None,
    epochs: int | None = None,
    size: int | None = None,
    batch: int | None = None,
    patience: int | None = None,
    detector: str | None = None,
    backbone: str | Path | None = None,
    weights: str | Path | None = None,
    adapters: str | None = None,
    options: Mapping[str, Any] | None = None,
    work_dir: str | Path | None = None,
    resume: str | Path | None = None,
    seed: int | None = None,
    amp: bool = False,
    validation_loss: bool = False,
    launcher: str = "none",
    fraction: float | None = None,
    fraction_seed: int = 0,
    same_updates: bool = False,
    verbose: bool = False,
    log: Callable[[str], None] = print,
) -> Path | None:
    """Train a detector or a classifier by config; what `frozen-det train` does.

    Args:
        config: path, or name of a config that ships; ``custom`` is `custom_masks` where every object of `data` has a
            mask, else `custom_coco`.
        data: folder of the data, ``data_root`` of the config.
        epochs: passes over the training images; the learning rate's schedule follows.
        size: side of the images in px, of configs whose images are square.
        batch: training images in a step.
        patience: validations without a better score after which the run stops; None trains to the end.
        detector: ``faster``, ``mask``, ``dino``, ...; ``mmdet::FOLDER/NAME.py``; or a config, whose detector is taken.
        backbone: ``timm/NAME``, ``torchvision/NAME``, or the path of weights whose card names their network.
        weights: of the backbone: a file, ``timm:TAG``, ``random``; by default the library's pretrained ones.
        adapters: ``parallel``, ``series``, ``lora``, ``conv_adapter`` or ``none``.
        options: overrides of the config, ``{"optim_wrapper.optimizer.lr": 0.01}``; the arguments above are printed as
            such.
        work_dir: where checkpoints, logs and the proof go; by default the config's, else ``work_dirs/NAME``.
        resume: ``"auto"`` continues from the newest checkpoint of `work_dir`, if it has one; a path from that file or
            folder; None begins again.
        seed: of the run; by default the config's.
        amp: automatic mixed precision: float16 with a loss scale on a GPU, bfloat16 on a CPU. For bfloat16 on a GPU
            give `options` the ``optim_wrapper.type`` ``frozen_det.AutocastOptimWrapper`` instead.
        validation_loss: compute the loss on the validation images too, at every validation; it costs as much again.
        launcher: how the processes were started: ``none``, ``pytorch`` (torchrun), ``slurm`` or ``mpi``.
        fraction: share of the training images, in (0, 1]; every class keeps at least one image. None takes all.
        fraction_seed: seed of the draw of the fraction; the run's seed does not change it.
        same_updates: with a fraction F, 1/F times the epochs, so that the number of updates stays the same.
        verbose: show the whole log on the console, as mmengine does; it is in the log file in any case.
        log: called with each line about how the run begins.

    Returns:
        the newest checkpoint at the end; None if the config keeps none.

    Raises:
        InputError: a config, override or option that cannot be right; a folder that is in use or holds another run;
            broken data or weights.
        StorageError: the folder cannot be written.
    """
    text = lambda value: None if value is None else str(value)  # noqa: E731 - paths
    choices = Choices(text(data), epochs, size, batch, patience, detector, text(backbone), text(weights), adapters)
    config, options = chosen(str(config), choices, options, log if is_first_process() else lambda line: None)
    cfg = training_config(
        config,
        options,
        work_dir=work_dir,
        seed=seed,
        amp=amp,
        validation_loss=validation_loss,
        launcher=launcher,
        fraction=fraction,
        fraction_seed=fraction_seed,
        same_updates=same_updates,
        log=log,
    )
    resume = str(resume) if resume is not None else None
    with training_folder(cfg, resume, log, "the same with --resume (resume='auto')"), host_scope():
        runner = new_runner(cfg, concise=not verbose)
        if cfg.get("accumulate", 1) > 1 and runner.rank == 0:
            log(describe_accumulation(cfg, runner.world_size))
        runner.train()
    return latest_checkpoint(cfg.work_dir)


def training_config(
    config: str | Path,
    options: Mapping[str, Any] | None = None,
    *,
    work_dir: str | Path | None = None,
    seed: int | None = None,
    amp: bool = False,
    validation_loss: bool = False,
    launcher: str = "none",
    fraction: float | None = None,
    fraction_seed: int = 0,
    same_updates: bool = False,
    log: Callable[[str], None] = print,
) -> "Config":
    """The config of a training run with all arguments of :func:`train` but `resume`; arguments as there.

    Raises:
        InputError: see :func:`train`.
    """
    from ..config import default_work_dir, load_config

    cfg = load_config(config, options)
    cfg.work_dir = str(work_dir or cfg.get("work_dir") or default_work_dir(cfg))
    set_launcher(cfg, launcher, log)
    if seed is not None:
        cfg.randomness = {**cfg.get("randomness", {}), "seed": seed}
    if amp:
        _set_amp(cfg)
    if validation_loss:
        cfg.custom_hooks = [*(cfg.get("custom_hooks") or []), dict(type="frozen_det.ValidationLossHook")]
    _set_fraction(cfg, fraction, fraction_seed, same_updates, log)
    return cfg


def _set_amp(cfg) -> None:
    import torch

    wrapper, on_gpu = cfg.optim_wrapper, torch.cuda.is_available()
    if wrapper.type == "frozen_det.AutocastOptimWrapper":
        return
    if wrapper.type not in ("OptimWrapper", "AmpOptimWrapper"):
        raise InputError(f"--amp works with optim_wrapper.type='OptimWrapper', got {wrapper.type!r}.")
    if wrapper.get("dtype", "float16" if on_gpu else "bfloat16") == "bfloat16":
        wrapper.pop("dtype", None)
        wrapper.pop("loss_scale", None)
        wrapper.type = "frozen_det.AutocastOptimWrapper"
        return
    if not on_gpu:
        raise InputError(
            f"--amp on a CPU is bfloat16 alone: optim_wrapper.dtype={wrapper.dtype!r} needs a GPU. Leave it out here."
        )
    wrapper.type = "AmpOptimWrapper"
    wrapper.setdefault("loss_scale", "dynamic")


def _set_fraction(cfg, share: float | None, seed: int, same_updates: bool, log) -> None:
    """Give the training data their fraction, record which images it is, and stretch the schedule if requested."""
    from ..datasets.samplers.data_fraction import fraction_of, put_fraction
    from .runner.stretch_schedule import stretch_schedule

    if share is not None:
        put_fraction(cfg, share, seed)
    fraction = fraction_of(cfg)
    if fraction is not None:
        hooks = list(cfg.get("custom_hooks") or [])
        if not any(hook.get("type") == "frozen_det.FractionRecordHook" for hook in hooks):
            cfg.custom_hooks = [*hooks, dict(type="frozen_det.FractionRecordHook")]
    if same_updates:
        changed = stretch_schedule(cfg, 1 / fraction["share"]) if fraction else []
        log("as many updates as with all the data: " + (", ".join(changed) or "the schedule stays as it is"))


def describe_accumulation(cfg, num_processes: int) -> str:
    """The arithmetic of gradient accumulation: images of one update, and the learning rate that follows."""
    from .optimizers.rate_scaling import rate_factor, scaling_of

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
