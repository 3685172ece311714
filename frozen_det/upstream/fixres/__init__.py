"""FixRes: a classifier tuned at its test resolution, and measured against test size."""
