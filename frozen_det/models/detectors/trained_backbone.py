"""The backbone of a trained model: built from the model's config, loaded strictly from its checkpoint.

The rest of the model is not built, so no annotation file or class names are needed.
"""

from pathlib import Path

from ...config.classifiers import is_classifier
from ...errors import InputError
from ...weights.loading import read, state_dict_of
from ..backbone_sources.build import body_strides
from ..backbones.frozen_backbone import FrozenBackbone
from .swapping import innermost, swap_backbone
from .wrapping import as_frozen_backbone

PREFIX = "backbone."
# A semi-supervised detector has a student and a teacher; the teacher is the one used at test time.
OF_A_TEACHER = "teacher.backbone."
# Options of a classifier that its backbone does not need: used in training only, or by the head.
HEAD_OPTIONS = ("drop_rate", "drop_path_rate", "drop_block_rate", "num_classes", "stochastic_depth_prob")


def backbone_config(model: dict, where: str) -> dict:
    """The `frozen_det.FrozenBackbone` config inside the config of a detector or classifier.

    Args:
        model: ``cfg.model``.
        where: the config file, for messages.

    Raises:
        InputError: no backbone in it.
    """
    if is_classifier(model):
        body = {k: v for k, v in model["backbone"].items() if k not in HEAD_OPTIONS}
        return dict(
            type="frozen_det.FrozenBackbone",
            body=body,
            weights=model.get("weights") or "random",
            strides=body_strides(body),
            freeze=True,
        )
    if isinstance(model.get("detector"), dict) and model.get("backbone"):  # in place of the detector's own
        model = swap_backbone(model["detector"], model["backbone"])
    holder = innermost(model)
    if "backbone" in holder:
        return as_frozen_backbone(holder["backbone"])
    raise InputError(f"expected `backbone` in model or model.detector of {where}, got the keys {sorted(model)}.")


def trained_backbone(model: dict, checkpoint, where: str) -> FrozenBackbone:
    """Build the backbone of a model and load it from a checkpoint.

    Args:
        model: ``cfg.model`` of a detector or classifier.
        checkpoint: file, lean or full.
        where: the config file, for messages.

    Returns:
        the backbone in eval mode.

    Raises:
        InputError: the checkpoint does not contain this backbone.
    """
    config = {k: v for k, v in backbone_config(model, where).items() if k != "type"}
    if is_classifier(model):
        backbone = FrozenBackbone(**{**config, "weights": str(checkpoint)})
        backbone.init_weights()
        return backbone.eval()
    backbone = FrozenBackbone(**config)
    path = Path(checkpoint).expanduser()
    entries = state_dict_of(read(path), str(path))
    prefix = PREFIX if any(name.startswith(PREFIX) for name in entries) else OF_A_TEACHER
    state = {name.removeprefix(prefix): value for name, value in entries.items() if name.startswith(prefix)}
    if not state:
        raise InputError(
            f"expected a checkpoint of the model in {where}, but {path} has no entry that starts with {PREFIX!r}."
        )
    try:
        backbone.load_state_dict(state, strict=True)
    except RuntimeError as error:
        lines = " ".join(line.strip() for line in str(error).splitlines()[1:4])
        raise InputError(
            f"the backbone in {path} does not fit the one in {where}: {lines[:600]} Give a checkpoint "
            "that this config trained."
        ) from error
    return backbone.eval()
