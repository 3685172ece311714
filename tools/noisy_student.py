"""The command `frozen-det noisy_student`, for those who run tools/ from a checkout."""

import sys

from frozen_det.cli import run_command

sys.exit(run_command("noisy_student"))
