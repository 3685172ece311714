"""Checks that a run can resume from a checkpoint under this config: what it would ignore is refused, the rest named.

The optimiser's settings, its state and the run's counters come from the checkpoint. A changed learning rate, batch,
seed, frozen part or class list would therefore have no effect, or a wrong one. Everything else that decides about a run
(data, losses, pipeline, hooks, length and schedule) takes effect from the checkpoint on, and is listed.
"""

import re
from collections.abc import Mapping

from ...errors import InputError
from .stored_settings import differences, settings_of_text

# Parts of a config that decide about the weights; logging, folders, workers and the like do not.
_PARTS = (
    "model",
    "train_dataloader",
    "val_dataloader",
    "val_evaluator",
    "optim_wrapper",
    "param_scheduler",
    "train_cfg",
    "auto_scale_lr",
    "randomness",
    "custom_hooks",
    "sync_bn",
)
_NO_MATTER = re.compile(r"(^|\.)(num_workers|persistent_workers|prefetch_factor|pin_memory|_scope_)$")
# A resumed run takes these from the checkpoint.
_KEPT = re.compile(
    r"^(optim_wrapper\.(optimizer|paramwise_cfg|constructor|accumulative_counts)(\.|$)"
    r"|auto_scale_lr(\.|$)|randomness\.seed$|train_cfg\.(type|by_epoch)$"
    r"|model\.(detector\.)?backbone\.(body|freeze|adapters|strides)(\.|$))"
)
_NEEDED = ("state_dict", "optimizer", "message_hub", "meta")
_OF_HUB = ("log_scalars", "runtime_info", "resumed_keys")
# What torch's optimisers keep in the shape of each parameter.
_MOMENTS = frozenset(
    {
        "exp_avg",
        "exp_avg_sq",
        "max_exp_avg_sq",
        "exp_inf",
        "momentum_buffer",
        "square_avg",
        "grad_avg",
        "acc_delta",
        "sum",
    }
)


def check_resumable(checkpoint, cfg, where: str) -> list[str]:
    """Compare the config of a checkpoint with the present one.

    Args:
        checkpoint: as read from a file.
        cfg: mmengine's Config of the run that is to go on.
        where: the file, for messages.

    Returns:
        what differs and takes effect, one ``key: before -> now`` each.

    Raises:
        InputError: no checkpoint of a training, or settings that a resumed run would not heed.
    """
    _require_training_state(checkpoint, where)
    if checkpoint.get("ema_state_dict") is not None and not any("EMAHook" in kind for kind in _hook_types(cfg)):
        raise InputError(
            f"expected an EMAHook in custom_hooks to resume from {where}, whose `state_dict` is an "
            f"average: without the hook the run would continue from that. {_remedy(where)}"
        )
    text = (checkpoint["meta"] or {}).get("cfg")
    before = settings_of_text(text) if isinstance(text, str) else None
    if before is None:
        return ["the checkpoint has no config to compare with"]
    changed = [
        one
        for part in _PARTS
        for one in differences(before.get(part), cfg.get(part), part)
        if not _NO_MATTER.search(one[0])
    ]
    kept = [one for one in changed if _KEPT.search(one[0]) and not (one[0] == "randomness.seed" and one[2] is None)]
    if kept:
        raise InputError(
            f"expected the settings of the run that wrote {where}, got {_listed(kept)}: a resumed run "
            f"keeps those of its checkpoint. {_remedy(where)}"
        )
    return [_line(*one) for one in changed]


def check_fits_run(checkpoint: dict, runner, where: str) -> list[str]:
    """Compare what only a built run knows: images of a step, steps of an epoch, parameters of the optimiser.

    Returns:
        what is worth a line.

    Raises:
        InputError: any of them differs.
    """
    meta, loader = checkpoint["meta"], runner.train_dataloader
    now, before = run_size(runner), meta.get("run") or {}
    if before and before["images_per_step"] != now["images_per_step"]:
        raise InputError(
            f"expected {before['images_per_step']} images in a step, as in {where} ({before['num_processes']} "
            f"processes), got {now['images_per_step']} ({now['num_processes']} processes x train_dataloader.batch_size "
            f"{loader.batch_size}): the learning rate and the schedule are for the former. {_remedy(where)}"
        )
    notes = _same_epochs(meta, runner, where)
    _same_groups(checkpoint["optimizer"], runner.optim_wrapper, where)
    return notes


def run_size(runner) -> dict:
    """How many processes a run has and how many images all of them see in a step; goes into each checkpoint."""
    batch = getattr(getattr(runner, "train_dataloader", None), "batch_size", None) or 0
    processes = int(getattr(runner, "world_size", 1))
    return {"num_processes": processes, "images_per_step": int(batch) * processes}


def _require_training_state(checkpoint, where: str) -> None:
    if not isinstance(checkpoint, Mapping) or "state_dict" not in checkpoint:
        raise InputError(
            f"expected a checkpoint of a training run to resume from, but {where} holds no run's state. "
            "Weights alone are given by load_from or model.backbone.weights."
        )
    lacking = [key for key in _NEEDED if not checkpoint.get(key)]
    if lacking:
        raise InputError(
            f"expected a checkpoint with the run's state to resume from, but {where} has no "
            f"{', '.join(lacking)}: best and published ones have no optimiser's. Take epoch_N.pth or "
            f"iter_N.pth of the run. {_remedy(where)}"
        )
    hub, optimizer = checkpoint["message_hub"], checkpoint["optimizer"]
    whole = {
        "meta": isinstance(checkpoint["meta"], Mapping),
        "message_hub": isinstance(hub, Mapping) and set(_OF_HUB) <= set(hub),
        "optimizer": isinstance(optimizer, Mapping)
        and (
            "param_groups" in optimizer
            or all(isinstance(one, Mapping) and "param_groups" in one for one in optimizer.values())
        ),
    }
    broken = [key for key, is_whole in whole.items() if not is_whole]
    if broken:
        raise InputError(
            f"expected the run's state in {where} as mmengine writes it, but {' and '.join(broken)} "
            f"{'is' if len(broken) == 1 else 'are'} something else. {_remedy(where)}"
        )
    if not isinstance(checkpoint["meta"].get("epoch"), int) or not isinstance(checkpoint["meta"].get("iter"), int):
        raise InputError(f"expected epoch and iteration in the meta of {where} to resume from, got none.")


def _same_epochs(meta: dict, runner, where: str) -> list[str]:
    """Whether epochs have as many steps as they had."""
    steps = len(runner.train_dataloader) if hasattr(runner.train_dataloader, "__len__") else 0
    if not steps or not meta["epoch"]:
        return []
    within = meta["iter"] - meta["epoch"] * steps
    if within == 0:
        return []
    if 0 < within < steps:
        then = "goes on there" if hasattr(runner.train_dataloader.sampler, "skip") else "starts again"
        return [f"the checkpoint lies {within} steps inside epoch {meta['epoch'] + 1}, which {then}"]
    raise InputError(
        f"expected epochs of {meta['iter'] / meta['epoch']:g} steps, as in {where} ({meta['iter']} iterations in "
        f"{meta['epoch']} epochs), got {steps}: the training images, the batch or the number of processes changed, and "
        f"the schedule counts steps. {_remedy(where)}"
    )


def _same_groups(before: dict, wrapper, where: str) -> None:
    """Whether the optimiser holds as many parameters in as many groups, of the shapes that its state has."""
    groups = getattr(getattr(wrapper, "optimizer", None), "param_groups", None)
    stored = before.get("param_groups") if isinstance(before, Mapping) else None
    if groups is None or stored is None:
        return
    sizes, wanted = [len(group["params"]) for group in groups], [len(group["params"]) for group in stored]
    if sizes != wanted:
        raise InputError(
            f"expected the optimiser to hold {sum(wanted)} parameters in {len(wanted)} groups, as in "
            f"{where}, got {sum(sizes)} in {len(sizes)}: other parts of the model train now. "
            f"{_remedy(where)}"
        )
    state = before.get("state") or {}
    for group, one in zip(groups, stored):
        for parameter, number in zip(group["params"], one["params"]):
            shapes = {
                name: tuple(value.shape)
                for name, value in (state.get(number) or {}).items()
                if name in _MOMENTS and hasattr(value, "shape")
            }
            other = next((name for name, shape in shapes.items() if shape != tuple(parameter.shape)), None)
            if other is not None:
                raise InputError(
                    f"expected the optimiser's {other} of parameter {number} in the shape "
                    f"{tuple(parameter.shape)}, got {shapes[other]} in {where}: the file was changed, or "
                    f"its parameters stood in another order. {_remedy(where)}"
                )


def _hook_types(cfg) -> list[str]:
    hooks = [*(cfg.get("custom_hooks") or []), *(cfg.get("default_hooks") or {}).values()]
    return [str(hook.get("type")) for hook in hooks if isinstance(hook, Mapping)]


def _remedy(where: str) -> str:
    return f"Put it back, or begin a new run from these weights: another --work-dir and --cfg-options load_from={where}"


def _listed(changed: list[tuple], most: int = 4) -> str:
    more = f" and {len(changed) - most} more" if len(changed) > most else ""
    return "; ".join(_line(*one) for one in changed[:most]) + more


def _line(path: str, old, new) -> str:
    return f"{path}: {_short(old)} -> {_short(new)}"


def _short(value) -> str:
    text = repr(value)
    return text if len(text) <= 90 else f"{text[:60]} ... {text[-25:]}"
