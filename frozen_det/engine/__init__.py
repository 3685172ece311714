"""Hooks and training-time parts of frozen_det. Importing it registers them, and every Runner checks what it loads."""

from .hooks.checkpoint_match import CheckpointMatchHook, guard_host_runner
from .hooks.extends import ExtendsHook
from .hooks.feature_cache import FeatureCacheHook
from .hooks.fraction_record import FractionRecordHook
from .hooks.frozen_proof import FrozenProofHook
from .hooks.lean_checkpoint import LeanCheckpointHook
from .hooks.nan_guard import NaNGuardHook
from .hooks.norm_statistics import NormStatisticsHook
from .hooks.region_cache import RegionCacheHook
from .hooks.second_stage import SecondStageHook
from .hooks.split_overlap import SplitOverlapHook
from .hooks.step_seed import StepSeedHook
from .hooks.unfreeze import UnfreezeHook
from .hooks.validation_loss import ValidationLossHook
from .hooks.validation_pictures import ValidationPicturesHook
from .hooks.views import ViewsHook
from .optimizers.autocast_wrapper import AutocastOptimWrapper
from .optimizers.parameter_groups import RoleParameterGroups

__all__ = [
    "AutocastOptimWrapper",
    "CheckpointMatchHook",
    "ExtendsHook",
    "FeatureCacheHook",
    "FractionRecordHook",
    "FrozenProofHook",
    "LeanCheckpointHook",
    "NaNGuardHook",
    "NormStatisticsHook",
    "RegionCacheHook",
    "RoleParameterGroups",
    "SecondStageHook",
    "SplitOverlapHook",
    "StepSeedHook",
    "UnfreezeHook",
    "ValidationLossHook",
    "ValidationPicturesHook",
    "ViewsHook",
]

guard_host_runner()
