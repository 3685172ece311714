"""What can be checked of a config only when its Runner is built: names of parameters, configs that mmdet's tools read.

Refuses settings of the optimiser for parameters that the model does not have.
"""

from mmengine.model import is_model_wrapper

from ...config.as_read_elsewhere import check_read_elsewhere
from ...errors import InputError, closest

# Keys of mmdet's own configs that are there whether a model has such parameters or not.
_CUSTOMARY = {
    "absolute_pos_embed",
    "relative_position_bias_table",
    "norm",
    "query_embed",
    "query_feat",
    "level_embed",
    "language_model",
    "reference_points",
    "sampling_offsets",
    "pos_embed",
    "cls_token",
    "rel_pos_h",
    "rel_pos_w",
}


def check_run(runner) -> None:
    """Check a Runner before its first step, once.

    Raises:
        InputError: see :func:`check_custom_keys` and :func:`frozen_det.config.as_read_elsewhere.check_read_elsewhere`.
    """
    if getattr(runner, "_checked_by_frozen_det", False):
        return
    runner._checked_by_frozen_det = True
    training = runner._train_loop is not None and not isinstance(runner._train_loop, dict)
    check_read_elsewhere(runner.cfg, unused=("test_",) if training else ("train_", "param_", "optim_"))
    if training:
        check_custom_keys(
            runner.model.module if is_model_wrapper(runner.model) else runner.model,
            (runner.cfg.get("optim_wrapper") or {}).get("paramwise_cfg") or {},
        )


def check_custom_keys(model, paramwise_cfg) -> None:
    """Refuse keys of `paramwise_cfg.custom_keys` that are part of no parameter's name.

    Raises:
        InputError: with the nearest part of a name. A frozen backbone may be addressed in its library's names.
    """
    names = [f".{name}" for name, _ in model.named_parameters()]
    frozen = [name for name, part in model.named_modules() if getattr(part, "is_frozen", False)]
    for key in paramwise_cfg.get("custom_keys") or {}:
        if key in _CUSTOMARY or any(key in name for name in names) or key.split(".")[0] in frozen:
            continue
        parts = {".".join(name.split(".")[1:end]) for name in names for end in range(2, name.count(".") + 1)}
        parts |= {part for name in names for part in name.split(".") if part}
        raise InputError(
            f"optim_wrapper.paramwise_cfg.custom_keys has {key!r}, which is in no parameter's name; "
            f"{closest(key, parts) or 'see `frozen-det describe`'}"
        )
