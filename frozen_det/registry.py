"""The registry nodes of frozen_det: children of mmengine's root, so `frozen_det.X` resolves in any config.

Only nodes that are used stand here. Each names the package that mmengine imports when a type is first asked for.
"""

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import FUNCTIONS as MMENGINE_FUNCTIONS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIMIZERS as MMENGINE_OPTIMIZERS
from mmengine.registry import PARAM_SCHEDULERS as MMENGINE_PARAM_SCHEDULERS
from mmengine.registry import TASK_UTILS as MMENGINE_TASK_UTILS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import Registry as _Registry

from .plugins import load_plugins


class Registry(_Registry):
    """A registry that holds what plugins register too, from the first time that it is asked."""

    def import_from_location(self) -> None:
        """Import the modules that register: of this package, then of plugins (:mod:`frozen_det.plugins`)."""
        super().import_from_location()
        load_plugins()


# With the models comes the engine: a Runner of theirs checks what it loads (CheckpointMatchHook).
MODELS = Registry(
    "model",
    parent=MMENGINE_MODELS,
    scope="frozen_det",
    locations=["frozen_det.models", "frozen_det.engine", "frozen_det.upstream"],
)
TASK_UTILS = Registry("task util", parent=MMENGINE_TASK_UTILS, scope="frozen_det", locations=["frozen_det.models"])
DATASETS = Registry(
    "dataset", parent=MMENGINE_DATASETS, scope="frozen_det", locations=["frozen_det.datasets", "frozen_det.upstream"]
)
TRANSFORMS = Registry(
    "transform",
    parent=MMENGINE_TRANSFORMS,
    scope="frozen_det",
    locations=["frozen_det.datasets", "frozen_det.upstream"],
)
DATA_SAMPLERS = Registry(
    "data sampler",
    parent=MMENGINE_DATA_SAMPLERS,
    scope="frozen_det",
    locations=["frozen_det.datasets", "frozen_det.upstream"],
)
FUNCTIONS = Registry("function", parent=MMENGINE_FUNCTIONS, scope="frozen_det", locations=["frozen_det.upstream"])
HOOKS = Registry(
    "hook", parent=MMENGINE_HOOKS, scope="frozen_det", locations=["frozen_det.engine", "frozen_det.upstream"]
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    "optimizer wrapper constructor",
    parent=MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    scope="frozen_det",
    locations=["frozen_det.engine", "frozen_det.upstream"],
)
PARAM_SCHEDULERS = Registry(
    "parameter scheduler", parent=MMENGINE_PARAM_SCHEDULERS, scope="frozen_det", locations=["frozen_det.upstream"]
)
METRICS = Registry(
    "metric", parent=MMENGINE_METRICS, scope="frozen_det", locations=["frozen_det.evaluation", "frozen_det.upstream"]
)
OPTIMIZERS = Registry("optimizer", parent=MMENGINE_OPTIMIZERS, scope="frozen_det", locations=["frozen_det.upstream"])
# Kinds of residual adapters, by the short names that configs use: adapters=dict(type='parallel').
ADAPTERS = Registry("adapter", scope="frozen_det", locations=["frozen_det.models.adapters"])
# Where backbones come from, by the names that configs use: body=dict(type='timm', name=...).
BACKBONE_SOURCES = Registry("backbone source", scope="frozen_det", locations=["frozen_det.models.backbone_sources"])
# What `frozen-det analyze` runs, by the names that are typed.
STUDIES = Registry("study", scope="frozen_det", locations=["frozen_det.robustness"])
