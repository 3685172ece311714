"""FixRes: a classifier tuned at its test resolution, and measured against test size."""

from ..._moved import former

__getattr__ = former("frozen_det.upstream.fixres", "frozen_det.upstream.fixres.classifier")
