"""One number, `accumulate`, sets gradient accumulation and keeps the learning rate right for the whole batch.

mmengine's own key, `optim_wrapper.accumulative_counts`, means the same here. Refuses two numbers that differ. A sampler
of repeated augmentation gets the batches of an update, so that each can be one rank's.
"""

from collections.abc import Mapping

from ..errors import InputError

_HOST_KEY = "optim_wrapper.accumulative_counts"


def apply_accumulation(cfg, options: Mapping[str, object]) -> None:
    """Spread the number of accumulated steps over the config, in place.

    mmengine scales by the loader's batch alone; dividing its base batch by the number of accumulated steps gives
    lr * (batch * accumulate) / base. In a config `base_batch_size` is therefore the batch of a whole update. A config
    without `accumulate` keeps mmengine's meaning.

    Args:
        cfg: with its overrides; options: the overrides, of which a given one of the two keys counts.

    Raises:
        InputError: a number below 1, or two that contradict.
    """
    count, of_host = cfg.get("accumulate"), (cfg.get("optim_wrapper") or {}).get("accumulative_counts")
    if count is None:
        return
    if of_host is not None and of_host != count:
        if (
            "accumulate" in options
            and _HOST_KEY in options
            or not ("accumulate" in options or _HOST_KEY in options or count == 1)
        ):
            raise InputError(
                f"accumulate is {count} and {_HOST_KEY} is {of_host}; both are the steps whose gradients "
                "are added up. Keep accumulate."
            )
        count = count if "accumulate" in options else of_host
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise InputError(f"expected `accumulate` as a whole number of steps from 1 on, got {count!r}.")
    cfg.accumulate = count
    _tell_sampler(cfg.get("train_dataloader") or {}, count)
    if cfg.get("optim_wrapper"):
        cfg.optim_wrapper.accumulative_counts = count
    scale = cfg.get("auto_scale_lr")
    if scale and scale.get("base_batch_size"):
        # Said in the config, because the Runner writes it down and it may be read again.
        base = scale.base_batch_size * scale.get("divided_by", 1)
        if count > 1 or "divided_by" in scale:
            scale.base_batch_size, scale.divided_by = base / count, count


def _tell_sampler(loader, count: int) -> None:
    sampler = (loader.get("sampler") if hasattr(loader, "get") else None) or {}
    if sampler.get("type") == "frozen_det.RepeatAugSampler" and loader.get("batch_size"):
        sampler["batch_size"], sampler["batches_of_update"] = loader["batch_size"], count
