"""mmdet's stock configs by family: which folders hold a detector of images, and the one config that represents each.

A family is a folder of mmdet's configs with a ``metafile.yml``: the methods of its model zoo. Folders without one hold
data sets, experiments and parts of configs. It is represented by the config with the shortest name, which is the
plainest variant; among equally short ones that whose backbone has the fewest parameters; the next where mmdet itself
does not run it. Left out by kind, each with its reason: trackers of videos, and detectors that read text beside the
image.
"""

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from ..errors import InputError
from ..models.detectors.swapping import innermost


@dataclass(frozen=True)
class StockDetector:
    """A family and the config that represents it.

    Attributes:
        family: the folder's name.
        config: the file's name without folder and ending; empty where none was chosen.
        model: the model's config; None where none was chosen.
        semantic_scale: size of its semantic maps in training, relative to the image.
        with_masks: whether its training data have masks: RTMDet takes them for what they are not, where it sees any.
        left_out: why the family is no detector of images; empty for one that is.
        unreadable: why no config of the family could be read; empty where one was.
    """

    family: str
    config: str = ""
    model: dict | None = None
    semantic_scale: float = 1.0
    with_masks: bool = True
    left_out: str = ""
    unreadable: str = ""


def config_folder() -> Path:
    """Folder of mmdet's stock configs: beside the installed package, or in its checkout.

    Raises:
        InputError: an installation without them.
    """
    import mmdet

    package = Path(mmdet.__file__).parent
    for folder in (package / ".mim" / "configs", package.parent / "configs"):
        if folder.is_dir():
            return folder
    raise InputError(
        f"expected mmdet's stock configs in {package / '.mim' / 'configs'}, but this installation has "
        "none. Install mmdet from its wheel, or from a checkout."
    )


def families() -> list[str]:
    """Names of all families, in order."""
    return sorted(folder.parent.name for folder in config_folder().glob("*/metafile.yml"))


def stock_detectors(family: str, most: int = 3) -> list[StockDetector]:
    """The configs that may represent a family, the first one first; see the module's docstring.

    Args:
        family: a folder of mmdet's configs.
        most: how many are named.

    Returns:
        at least one; one without a model where the family is left out or cannot be read.
    """
    found, refusal = [], ""
    for path in sorted((config_folder() / family).glob("*.py")):
        try:
            cfg = _read(path)
        except Exception as error:  # what cannot be read here may be read where its packages are
            refusal = refusal or f"{path.name}: {type(error).__name__}: {_first_line(error)}"
            continue
        if cfg.get("model"):
            found.append((path, cfg))
    if not found:
        return [StockDetector(family, unreadable=refusal or "no config with a model")]
    reasons = {reason for _, cfg in found if (reason := _other_kind(cfg.model))}
    if reasons:
        return [StockDetector(family, left_out=sorted(reasons)[0])]
    chosen = []
    for _, equals in groupby(
        sorted(found, key=lambda item: (len(item[0].stem), item[0].stem)), key=lambda item: len(item[0].stem)
    ):
        equals = list(equals)
        chosen += sorted(equals, key=lambda item: _millions(item[1].model)) if len(equals) > 1 else equals
        if len(chosen) >= most:
            break
    return [
        StockDetector(family, path.stem, cfg.model.to_dict(), _semantic_scale(cfg), _with_masks(cfg))
        for path, cfg in chosen[:most]
    ]


def _read(path: Path):
    from mmengine.config import Config

    return Config.fromfile(str(path))


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split()).split(", the current sys.path")[0][:200]


def _other_kind(model: dict) -> str:
    """Why a model is no detector of images; empty where it is one."""
    from mmdet.models.detectors import BaseDetector
    from mmdet.registry import MODELS

    kind = MODELS.get(str(model.get("type")))
    if kind is None or not issubclass(kind, BaseDetector):
        base = "" if kind is None else next((c.__name__ for c in kind.__mro__ if c.__name__.startswith("Base")), "")
        return {"BaseMOTModel": "tracks through videos", "BaseReID": "re-identifies persons"}.get(
            base, f"{model.get('type')} is no detector of mmdet"
        )
    if "language_model" in model:
        return "reads text beside the image"
    return ""


def _millions(model: dict) -> float:
    """Millions of parameters of a model's backbone, counted on meta tensors."""
    from mmdet.registry import MODELS
    from mmengine.registry import DefaultScope

    from .backbone_candidates import millions_of

    with DefaultScope.overwrite_default_scope("mmdet"):
        return millions_of(lambda: MODELS.build(dict(innermost(model)["backbone"])))


def _semantic_scale(cfg) -> float:
    """Size of the semantic map that the training pipeline gives, relative to the image."""
    for step in cfg.get("train_pipeline") or ():
        if step.get("type") == "SegRescale":
            return float(step.get("scale_factor", 1))
    return 1.0


def _with_masks(cfg) -> bool:
    """Whether the training pipeline loads masks; True where it does not say what it loads."""
    loads = [step for step in cfg.get("train_pipeline") or () if str(step.get("type")).endswith("Annotations")]
    return not loads or any(step.get("with_mask") or "Panoptic" in step["type"] for step in loads)
