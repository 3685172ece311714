"""frozen_det: frozen pretrained backbones for MMDetection 3.x. Importing it builds nothing and loads no torch.

Public are the names in ``__all__`` (``frozen_det.X``, imported when first used), the types of configs
(``type="frozen_det.X"``) and the commands. All else, every module below, is private and may change without notice.

Importing it has two side effects: a stand-in for ``mmcv._ext`` is importable where the compiled ops are absent (see
:mod:`frozen_det.host.mmcv_ops`), and what the host reads from files is read as data (see
:mod:`frozen_det.weights.host_guard`). Without a host (mmdet, mmengine, mmcv) it can be imported, and says what to type
where one is needed.
"""

from importlib import import_module

from . import _moved
from .host import mmcv_ops, presence
from .weights import host_guard

TYPE_CHECKING = False  # true for type checkers; `typing` costs a quarter of this import
if TYPE_CHECKING:
    from .config.finding import list_configs
    from .config.load import load_config
    from .engine.testing import evaluate
    from .engine.training import train
    from .errors import InputError
    from .evaluation.stored_results import evaluate_stored
    from .export.family_programs import export_family
    from .export.programs import export_program
    from .export.weights_file import export_backbone
    from .inference.detections import Detections
    from .inference.detector import LoadedDetector, load_backbone, load_detector
    from .inference.family import DetectorFamily, load_family
    from .inference.program import ProgramDetector, load_program
    from .models.backbone_sources.source import list_backbones
    from .models.backbones.frozen_backbone import FrozenBackbone
    from .models.detectors.detector import Detector
    from .reports.describe import ModelDescription, describe
    from .weights.card import WeightsCard, read_card

__version__ = "0.1.0"

__all__ = [
    "Detections",
    "Detector",
    "DetectorFamily",
    "FrozenBackbone",
    "InputError",
    "LoadedDetector",
    "ModelDescription",
    "ProgramDetector",
    "WeightsCard",
    "__version__",
    "describe",
    "evaluate",
    "evaluate_stored",
    "export_backbone",
    "export_family",
    "export_program",
    "list_backbones",
    "list_configs",
    "load_backbone",
    "load_config",
    "load_detector",
    "load_family",
    "load_program",
    "read_card",
    "train",
]

# Where each public name lives; of those that need no host, in the second table.
_WITH_HOST = {
    "Detector": "models.detectors.detector",
    "DetectorFamily": "inference.family",
    "FrozenBackbone": "models.backbones.frozen_backbone",
    "LoadedDetector": "inference.detector",
    "ModelDescription": "reports.describe",
    "describe": "reports.describe",
    "evaluate": "engine.testing",
    "evaluate_stored": "evaluation.stored_results",
    "export_backbone": "export.weights_file",
    "export_family": "export.family_programs",
    "export_program": "export.programs",
    "list_backbones": "models.backbone_sources.source",
    "load_backbone": "inference.detector",
    "load_config": "config.load",
    "load_detector": "inference.detector",
    "load_family": "inference.family",
    "train": "engine.training",
}
_WITHOUT_HOST = {
    "Detections": "inference.detections",
    "InputError": "errors",
    "ProgramDetector": "inference.program",
    "WeightsCard": "weights.card",
    "list_configs": "config.finding",
    "load_program": "inference.program",
    "read_card": "weights.card",
}

_moved.install()
mmcv_ops.install()
host_guard.install()


def __getattr__(name: str):
    """A public name, imported when first used."""
    if name in _WITH_HOST:
        presence.require_host(f"frozen_det.{name}")
    elif name not in _WITHOUT_HOST:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _WITH_HOST.get(name) or _WITHOUT_HOST[name]
    found = globals()[name] = getattr(import_module(f".{home}", __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
