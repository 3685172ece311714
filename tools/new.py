"""The command `frozen-det new`, for those who run tools/ from a checkout."""

import sys

from frozen_det.cli import run_command

sys.exit(run_command("new"))
