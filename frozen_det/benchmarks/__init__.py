"""Timings and counts against peers, one file for each `frozen-det benchmark WHAT`."""
