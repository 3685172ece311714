"""The registry nodes of frozen_det: children of mmengine's root, so `frozen_det.X` resolves in any config.

Only nodes that are used are here. Each names the package that mmengine imports when a type is first requested.
"""

from .host.noise import silence_prints
from .host.presence import require_host
from .plugins import load_plugins

require_host()
from mmengine import registry as root  # noqa: E402  without a host the line above says what to type

silence_prints()


class Registry(root.Registry):
    """A registry that holds what plugins register too, from its first use on."""

    def import_from_location(self) -> None:
        """Import the modules that register: of this package, then of plugins (:mod:`frozen_det.plugins`)."""
        super().import_from_location()
        load_plugins()


# With the models comes the engine: a Runner of theirs checks what it loads (CheckpointMatchHook).
MODELS = Registry(
    "model",
    parent=root.MODELS,
    scope="frozen_det",
    locations=["frozen_det.models", "frozen_det.engine", "frozen_det.upstream"],
)
TASK_UTILS = Registry("task util", parent=root.TASK_UTILS, scope="frozen_det", locations=["frozen_det.models"])
DATASETS = Registry(
    "dataset",
    parent=root.DATASETS,
    scope="frozen_det",
    locations=["frozen_det.datasets.registered", "frozen_det.upstream"],
)
TRANSFORMS = Registry(
    "transform",
    parent=root.TRANSFORMS,
    scope="frozen_det",
    locations=["frozen_det.datasets.registered", "frozen_det.upstream"],
)
DATA_SAMPLERS = Registry(
    "data sampler",
    parent=root.DATA_SAMPLERS,
    scope="frozen_det",
    locations=["frozen_det.datasets.registered", "frozen_det.upstream"],
)
FUNCTIONS = Registry("function", parent=root.FUNCTIONS, scope="frozen_det", locations=["frozen_det.upstream"])
HOOKS = Registry("hook", parent=root.HOOKS, scope="frozen_det", locations=["frozen_det.engine", "frozen_det.upstream"])
OPTIM_WRAPPERS = Registry(
    "optimizer wrapper", parent=root.OPTIM_WRAPPERS, scope="frozen_det", locations=["frozen_det.engine"]
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    "optimizer wrapper constructor",
    parent=root.OPTIM_WRAPPER_CONSTRUCTORS,
    scope="frozen_det",
    locations=["frozen_det.engine", "frozen_det.upstream"],
)
PARAM_SCHEDULERS = Registry(
    "parameter scheduler", parent=root.PARAM_SCHEDULERS, scope="frozen_det", locations=["frozen_det.upstream"]
)
METRICS = Registry(
    "metric", parent=root.METRICS, scope="frozen_det", locations=["frozen_det.evaluation", "frozen_det.upstream"]
)
OPTIMIZERS = Registry("optimizer", parent=root.OPTIMIZERS, scope="frozen_det", locations=["frozen_det.upstream"])
# Kinds of residual adapters, by the short names that configs use: adapters=dict(type='parallel').
ADAPTERS = Registry("adapter", scope="frozen_det", locations=["frozen_det.models.adapters"])
# Where backbones come from, by the names that configs use: body=dict(type='timm', name=...).
BACKBONE_SOURCES = Registry("backbone source", scope="frozen_det", locations=["frozen_det.models.backbone_sources"])
# What `frozen-det analyze` runs, by the names that are typed.
STUDIES = Registry("study", scope="frozen_det", locations=["frozen_det.robustness"])
