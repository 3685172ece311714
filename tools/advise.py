"""The command `frozen-det advise`, for those who run tools/ from a checkout."""

import sys

from frozen_det.cli import run_command

sys.exit(run_command("advise"))
