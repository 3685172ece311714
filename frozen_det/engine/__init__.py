"""Hooks and training-time parts of frozen_det. Importing it registers them."""

from .frozen_proof import FrozenProofHook
from .lean_checkpoint import LeanCheckpointHook
from .nan_guard import NaNGuardHook
from .parameter_groups import RoleParameterGroups
from .step_seed import StepSeedHook
from .unfreeze import UnfreezeHook
from .validation_pictures import ValidationPicturesHook

__all__ = ["FrozenProofHook", "LeanCheckpointHook", "NaNGuardHook", "RoleParameterGroups", "StepSeedHook",
           "UnfreezeHook", "ValidationPicturesHook"]
