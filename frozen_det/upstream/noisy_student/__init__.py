"""Noisy Student: a teacher labels a pool, a student learns from it, and becomes teacher."""

from ..._moved import former

__getattr__ = former("frozen_det.upstream.noisy_student", "frozen_det.upstream.noisy_student.loop")
