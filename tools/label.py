"""The command `frozen-det label`, for those who run tools/ from a checkout."""

import sys

from frozen_det.cli import run_command

if __name__ == "__main__":  # local processes import this file
    sys.exit(run_command("label"))
