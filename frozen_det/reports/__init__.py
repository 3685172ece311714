"""What finished runs and built models say: run records, comparisons of run groups, descriptions."""

from .diagnosis import doubtful, errors, thresholds  # noqa: F401  their sections
