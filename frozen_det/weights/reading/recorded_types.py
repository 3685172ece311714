"""Which names in a config that came with weights may be built: those that a registry holds, but for a few.

The host looks up any other name as a Python object, imports its module and calls it. What is refused here does the like
with its arguments: it evaluates a text, executes or fetches what one names, or removes and writes where one says.
"""

import sys
from types import ModuleType

# By the package and the name of a class; those derived from it are meant as well. The reason completes "which ...".
_EVALUATES = "evaluates its arguments as code"
_ELSEWHERE = "looks its arguments up in another library"
_FETCHES = "fetches or reads the model that its arguments name"
_SENDS = "sends what it is given to a service that its arguments name"
_WRITES = "writes to a place that its arguments name"
_REMOVES = "removes a folder that its arguments name"
REFUSED = {
    "mmdet.CameraMotionCompensation": _EVALUATES,
    "mmcv.RFSearchHook": _EVALUATES,
    "mmdet.KnowledgeDistillationSingleStageDetector": "executes the config file that its arguments name",
    "mmdet.Detectron2Wrapper": _ELSEWHERE,
    "mmdet.Albu": _ELSEWHERE,
    "mmdet.ImageAug": _ELSEWHERE,
    "mmdet.DSDLDetDataset": _ELSEWHERE,
    "mmdet.OneDLDataset": _FETCHES,
    "mmdet.AppearanceFreeLink": _FETCHES,
    "mmdet.BertModel": _FETCHES,
    "mmdet.ATSSVLFusionHead": _FETCHES,
    "mmdet.RandomSamplingNegPos": _FETCHES,
    "mmengine.DVCLiveVisBackend": "runs a command in a shell",
    "mmengine.WandbVisBackend": _SENDS,
    "mmengine.MLflowVisBackend": _SENDS,
    "mmengine.ClearMLVisBackend": _SENDS,
    "mmengine.NeptuneVisBackend": _SENDS,
    "mmengine.AimVisBackend": _SENDS,
    "mmdet.CityScapesMetric": _REMOVES,
    "mmdet.MOTChallengeMetric": _REMOVES,
    "mmengine.DumpResults": _WRITES,
    "mmdet.DumpDetResults": _WRITES,
    "mmdet.DumpODVGResults": _WRITES,
    "mmdet.DumpProposals": _WRITES,
}


def why_refused(kind) -> str | None:
    """Why a registered class is not built from a config that came with weights; None for one that is."""
    for one in getattr(kind, "__mro__", (kind,)):
        package = str(getattr(one, "__module__", "")).partition(".")[0]
        reason = REFUSED.get(f"{package}.{getattr(one, '__name__', '')}")
        if reason is not None:
            return reason
    return None


def held(name: str) -> list:
    """What registries hold under a name: `Name`, `scope.Name`, or the path of its module as of :func:`held_at`.

    Nothing is imported: a registry of another package counts where that is imported already.
    """
    scope, dot, rest = name.partition(".")
    asked = [one for one in _registries() if not dot or scope == one.scope]
    found = [one.module_dict[rest if dot else name] for one in asked if (rest if dot else name) in one.module_dict]
    at = held_at(name) if dot and not found else None
    return found if at is None else [at]


def held_at(path: str):
    """The registered class or function at a dotted path of imported modules, as configs of mmengine's lazy style name
    it; None for anything else."""
    parts = path.split(".")
    for count in range(len(parts) - 1, 0, -1):
        found = sys.modules.get(".".join(parts[:count]))
        if not isinstance(found, ModuleType):
            continue
        for part in parts[count:]:
            found = getattr(found, "__dict__", {}).get(part)  # getattr of a module may import
        known = (one for registry in _registries() for one in registry.module_dict.values())
        return found if found is not None and any(one is found for one in known) else None
    return None


def body_types() -> list[str]:
    """Names of backbone sources, which the type of a network may be instead."""
    from ...registry import BACKBONE_SOURCES

    BACKBONE_SOURCES.import_from_location()
    return [name for name, source in BACKBONE_SOURCES.module_dict.items() if source.names_body]


def adapter_types() -> list[str]:
    """Names of kinds of adapters."""
    from ...registry import ADAPTERS

    ADAPTERS.import_from_location()
    return list(ADAPTERS.module_dict)


def is_scope(name: object) -> bool:
    """Whether a package of this name has registries, and is imported."""
    return any(name == registry.scope for registry in _registries())


def _registries() -> list:
    """mmengine's registries and all below them, with what mmdet's and ours hold."""
    from mmdet import registry as mmdet
    from mmengine import registry as root

    from frozen_det import registry as own

    for holder in (own, mmdet):
        for one in vars(holder).values():
            if isinstance(one, root.Registry):
                one.import_from_location()
    found: list = []
    waiting = [one for one in vars(root).values() if isinstance(one, root.Registry)]
    while waiting:
        found.append(waiting.pop(0))
        waiting.extend(found[-1].children.values())
    return found
