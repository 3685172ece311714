"""Detectors by short names: decoders of this package, or those of mmdet's own configs, put on the run's backbone.

Those of mmdet have the widths of their configs and take their input's levels; `frozen_det.Detector` fills in what
follows from backbone and data. Where such a config trains by AdamW with clipped gradients, as transformers do, its
learning rate and its clipping come along. An unknown name is refused with those known.
"""

from dataclasses import dataclass, field
from pathlib import Path

from ...config.finding import find_config, stock_folder
from ...config.reading import read
from ...errors import InputError, closest
from ...host.shipped_configs import SCOPE, scoped_file

_STOCK = "mmdet::"
KNOWN = {
    "faster": "frozen_det::custom_coco.py",
    "cascade": "frozen_det::_base_/models/cascade_rcnn_fpn_small.py",
    "retinanet": "mmdet::retinanet/retinanet_r50_fpn_1x_coco.py",
    "fcos": "mmdet::fcos/fcos_r50-caffe_fpn_gn-head-center-normbbox-centeronreg-giou_1x_coco.py",
    "atss": "mmdet::atss/atss_r50_fpn_1x_coco.py",
    "gfl": "mmdet::gfl/gfl_r50_fpn_1x_coco.py",
    "tood": "mmdet::tood/tood_r50_fpn_1x_coco.py",
    "rtmdet": "mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py",
    "deformable-detr": "mmdet::deformable_detr/deformable-detr-refine_r50_16xb2-50e_coco.py",
    "dab-detr": "mmdet::dab_detr/dab-detr_r50_8xb2-50e_coco.py",
    "dino": "mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py",
    "mask": "frozen_det::custom_masks.py",
    "cascade-mask": "frozen_det::_base_/models/cascade_mask_rcnn_fpn_small.py",
    "condinst": "mmdet::condinst/condinst_r50_fpn_ms-poly-90k_coco_instance.py",
}


@dataclass(frozen=True)
class Decoder:
    """A detector's config, and what it needs around it.

    Attributes:
        origin: where it is from, as it can be named in `_base_`.
        model: of mmdet, with a backbone or without; without `frozen_det.Detector` around it.
        masks: whether it learns masks.
        training: entries of the config that its training needs.
    """

    origin: str
    model: dict
    masks: bool
    training: dict = field(default_factory=dict)


def decoder_named(name: str) -> Decoder:
    """The detector of a short name, of one of mmdet's configs (``mmdet::FOLDER/NAME.py``), or of a config.

    Raises:
        InputError: no such name.
    """
    origin = KNOWN.get(str(name).lower(), str(name))
    cfg, _ = read(_file(origin, name))
    model = cfg.get("model")
    model = model.to_dict() if hasattr(model, "to_dict") else {}
    model = model.get("detector", model) if str(model.get("type")).endswith("frozen_det.Detector") else model
    if not model.get("type") or not any(key.endswith(("head", "decoder")) for key in model):
        raise InputError(f"expected a detector in --detector {name}, but {origin} has none. {_known()}")
    optim, clip = cfg.get("optim_wrapper") or {}, (cfg.get("optim_wrapper") or {}).get("clip_grad")
    optimizer, training = optim.get("optimizer") or {}, {}
    if origin.startswith(_STOCK) and str(optimizer.get("type")) == "AdamW" and clip:
        kept = {key: optimizer[key] for key in ("lr", "weight_decay") if key in optimizer}
        training = {"optim_wrapper.optimizer": {"_delete_": True, "type": "AdamW", **kept}}
        training["optim_wrapper.clip_grad"] = {"_delete_": True, **clip}
    return Decoder(origin, model, _learns_masks(model), training)


def _file(origin: str, name: str) -> Path:
    if origin.startswith(SCOPE):
        return scoped_file(origin, "--detector")
    if origin.startswith(_STOCK):
        folder, below = stock_folder(), origin.removeprefix(_STOCK).removesuffix(".py")
        if folder is None:
            raise InputError(f"--detector {name} is read from mmdet's own configs, which this installation lacks.")
        path = folder / f"{below}.py"
        if not path.is_file():
            there = [one.relative_to(folder).with_suffix("").as_posix() for one in folder.rglob("*.py")]
            raise InputError(
                f"expected one of mmdet's configs after --detector {_STOCK}, got {below!r}; {closest(below, there)}"
            )
        return path
    if "/" in origin or origin.endswith(".py"):
        return find_config(origin)
    raise InputError(
        f"expected a detector that is known in --detector, got {name!r}; {closest(name, KNOWN)} {_known()}"
    )


def _known() -> str:
    return f"Known: {', '.join(KNOWN)}; or one of mmdet's configs, as mmdet::vfnet/vfnet_r50_fpn_1x_coco.py."


def _learns_masks(node) -> bool:
    if isinstance(node, list | tuple):
        return any(map(_learns_masks, node))
    return isinstance(node, dict) and (
        any("mask_head" in str(key) or "panoptic_head" in str(key) for key in node)
        or any(map(_learns_masks, node.values()))
    )
