"""Optimisers, their parameter groups, and learning rate schedules."""
