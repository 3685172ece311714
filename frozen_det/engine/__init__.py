"""Hooks and training-time parts of frozen_det. Importing it registers them, and every Runner checks what it loads."""

from .checkpoint_match import CheckpointMatchHook, guard_host_runner
from .fraction_record import FractionRecordHook
from .frozen_proof import FrozenProofHook
from .lean_checkpoint import LeanCheckpointHook
from .nan_guard import NaNGuardHook
from .norm_statistics import NormStatisticsHook
from .parameter_groups import RoleParameterGroups
from .second_stage import SecondStageHook
from .split_overlap import SplitOverlapHook
from .step_seed import StepSeedHook
from .unfreeze import UnfreezeHook
from .validation_pictures import ValidationPicturesHook

__all__ = ["CheckpointMatchHook", "FractionRecordHook", "FrozenProofHook", "LeanCheckpointHook", "NaNGuardHook",
           "NormStatisticsHook", "RoleParameterGroups", "SecondStageHook", "SplitOverlapHook", "StepSeedHook",
           "UnfreezeHook", "ValidationPicturesHook"]

guard_host_runner()
