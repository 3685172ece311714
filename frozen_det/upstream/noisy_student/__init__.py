"""Noisy Student: a teacher labels a pool, a student learns from it, and becomes teacher."""
