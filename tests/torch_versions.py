"""Marks of tests whose subject needs a newer torch than the oldest one supported."""

import pytest

from frozen_det.export.programs import NEEDED_TORCH
from frozen_det.host.torch_versions import TORCH

needs_programs = pytest.mark.skipif(TORCH < NEEDED_TORCH, reason="needs torch >= 2.6: torch.export with open sizes")
