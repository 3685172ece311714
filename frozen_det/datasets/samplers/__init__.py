"""Samplers and seeds: every draw follows from (run seed, epoch, index)."""

from ..._moved import former

__getattr__ = former("frozen_det.datasets.samplers", "frozen_det.datasets.samplers.epoch")
