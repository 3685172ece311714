"""``python -m frozen_det.cli COMMAND ...``: the same as ``frozen-det COMMAND ...``, for torchrun and subprocesses."""

import sys

from . import main

sys.exit(main())
