"""mmdet's own detector beside one of ours: every part of this package replaced by the class of mmdet that it refines.

Neck and backbone stay, the backbone trained in full and without adapters: neither asks the GPU for anything. What
mmdet's classes do not take is left out; a cascade gets mmdet's thresholds, weights and sampling of every stage.
"""

import copy
import inspect

from ...host.signatures import accepted_arguments
from ...models.detectors.typed_parts import class_of

_OURS = "frozen_det."
# Parts that refine no class of mmdet -> what mmdet has in their place.
_INSTEAD = {
    "frozen_det.HuberLoss": lambda part: dict(type="mmdet.SmoothL1Loss", beta=part.get("delta", 1.0)),
    "frozen_det.ClassBalancedLoss": lambda part: dict(type="mmdet.CrossEntropyLoss"),
    "frozen_det.LogitAdjustedLoss": lambda part: dict(type="mmdet.CrossEntropyLoss"),
}
_CASCADE_WEIGHTS, _CASCADE_THRESHOLDS = (1.0, 0.5, 0.25), (0.5, 0.6, 0.7)


def host_model(detector: dict) -> dict:
    """The config of mmdet's detector.

    Args:
        detector: complete config of a detector, as :func:`frozen_det.models.detectors.detector.fill_blanks` gives it;
            not changed.
    """
    cfg = copy.deepcopy(detector)
    kept = {key: cfg.pop(key) for key in ("backbone", "neck", "data_preprocessor") if key in cfg}
    backbone = kept["backbone"]
    if str(backbone.get("type")).endswith("FrozenBackbone"):
        backbone["freeze"] = False
        backbone.pop("adapters", None)
    head = cfg.get("roi_head") or {}
    if head.get("type") == "frozen_det.CascadeRoIHead":
        _fill_cascade(cfg, head)
    return _converted(cfg) | kept


def _fill_cascade(cfg: dict, head: dict) -> None:
    """Write out the stages that ours derives."""
    from ...models.roi_heads.cascade_roi_head import stage_heads, stage_train_cfgs

    stages = head.get("num_stages", 3)
    head["num_stages"] = stages
    head["bbox_head"] = stage_heads(head["bbox_head"], head.pop("box_stds", None), stages)
    given = head.get("stage_loss_weights", "mean")
    weights = given if isinstance(given, (list, tuple)) else (_CASCADE_WEIGHTS * stages)[:stages]
    head["stage_loss_weights"] = list(weights)
    training = cfg.get("train_cfg") or {}
    if isinstance(training.get("rcnn"), dict):
        thresholds = (_CASCADE_THRESHOLDS * stages)[:stages]
        training["rcnn"] = [dict(one) for one in stage_train_cfgs(training["rcnn"], thresholds, True, True, stages)]


def _converted(node):
    if isinstance(node, (list, tuple)):
        return [_converted(item) for item in node]
    if not isinstance(node, dict):
        return node
    kind = str(node.get("type"))
    if kind in _INSTEAD:
        return _INSTEAD[kind](node)
    node = {key: _converted(value) for key, value in node.items()}
    if not kind.startswith(_OURS):
        return node
    ours = class_of(node)
    host = next((base for base in (ours.__mro__ if ours else ()) if base.__module__.startswith("mmdet.")), None)
    if host is None:
        return node
    taken = accepted_arguments(host)
    # What ours has by default is written out: mmdet's defaults are others, such as a head without layers.
    defaults = {
        name: _converted(copy.deepcopy(argument.default))
        for name, argument in inspect.signature(ours.__init__).parameters.items()
        if argument.default is not inspect.Parameter.empty and argument.default is not None
    }
    given = {key: value for key, value in (defaults | node).items() if key != "type"}
    return {
        "type": f"mmdet.{host.__name__}",
        **{key: value for key, value in given.items() if taken is None or key in taken},
    }
