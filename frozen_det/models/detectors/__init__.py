"""The detector: its blanks filled from backbone and data; the second stage."""
