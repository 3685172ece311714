"""What a feature cache of a frozen backbone could save and what it takes, before anything is run.

An epoch that reads costs what the step costs without its frozen forward pass; FLOPs stand for time, so decoding and
augmentation, which no cache saves, are left out and the factor is an upper bound. Reading is taken at the speed of one
process that also checks every file.
"""

from dataclasses import dataclass

WORTH_IT = 1.3
MOST_VIEWS = 8  # that a config without a cache is estimated with: a third of its epochs, at most these
_READ_BYTES_PER_S = 1.5e9  # measured, 0.99 to 1.60: docs/results.md


@dataclass
class CacheEstimate:
    """A feature cache of one config.

    Attributes:
        backbone_share: of the FLOPs of a training step, from 0 to 1.
        views: epochs whose draws are stored.
        max_epochs: of the training; None if it does not count epochs.
        speedup: time of training without the cache over that with it, at most.
        bytes_per_view: of one image in bfloat16; twice that in float32.
        break_even_tflops: 10^12 operations per second above which a device computes faster than one process reads.
    """

    backbone_share: float
    views: int
    max_epochs: int | None
    speedup: float
    bytes_per_view: int
    break_even_tflops: float

    def words(self) -> str:
        """Lines for people."""
        epochs = f" of {self.max_epochs} epochs" if self.max_epochs else ""
        advice = "" if self.speedup >= WORTH_IT else ": not worth it"
        return (
            f"frozen backbone: {100 * self.backbone_share:.0f} % of a training step. A feature cache "
            f"(frozen_det.FeatureCacheHook) with {self.views} views{epochs} makes training at most "
            f"{self.speedup:.2f} times as fast{advice}\n"
            f"feature cache: {self.bytes_per_view / 1e6:.1f} MB a view of an image in bfloat16, "
            f"{self.bytes_per_view * self.views / 1e6:.0f} GB for 1,000 images; computing is faster than reading on a "
            f"device above {self.break_even_tflops:.2g} TFLOP/s"
        )


def cache_estimate(cfg, backbone_flops: int, step_flops: int, num_values: int) -> CacheEstimate:
    """Estimate.

    Args:
        cfg: of a training whose backbone is wholly frozen.
        backbone_flops, step_flops: of one image; with the backward pass in a step.
        num_values: in the feature maps of one image.
    """
    share = backbone_flops / step_flops
    hook = _cache_hook(cfg)
    epochs = (cfg.get("train_cfg") or {}).get("max_epochs")
    views = hook.get("views") or (min(MOST_VIEWS, max(1, epochs // 3)) if epochs else MOST_VIEWS)
    read = 1.0 if not epochs else max(epochs - views, 0) / epochs
    num_bytes = 2 * num_values
    return CacheEstimate(
        share,
        views,
        epochs,
        1 / (1 - read * share),
        num_bytes,
        backbone_flops / (num_bytes / _READ_BYTES_PER_S) / 1e12,
    )


def _cache_hook(cfg) -> dict:
    hooks = [*(cfg.get("custom_hooks") or []), *(cfg.get("default_hooks") or {}).values()]
    found = [hook for hook in hooks if isinstance(hook, dict) and str(hook.get("type")).endswith("FeatureCacheHook")]
    return found[0] if found else {}
