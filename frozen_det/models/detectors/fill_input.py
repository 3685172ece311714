"""Fill mean, std and channel order of the backbone's weights into the preprocessor; contradictions are refused."""

from ...errors import InputError
from ..backbone_sources.build import Preprocess
from .typed_parts import class_of, takes

# How far mean and std may be from the weights' own, in 0..255 units; stock configs round them (YOLACT by 0.5).
_EQUAL, _ROUNDED = 0.01, 1.0


def fill_input(
    given: dict | None, wanted: Preprocess | None, complete: bool, where: str = "model.detector.data_preprocessor"
) -> dict:
    """A preprocessor's config with mean, std and channel order.

    Args:
        given: its config; None for mmdet's own.
        wanted: the input that the backbone's weights expect; None if unknown.
        complete: whether the config is a stock one with its own backbone, in which missing keys are intentional.
        where: its place in the config, for messages.

    Returns:
        a new config.

    Raises:
        InputError: the expected input is unknown, or the config contradicts it.
    """
    given = dict(given or dict(type="mmdet.DetDataPreprocessor"))
    if isinstance(given.get("data_preprocessor"), dict):  # one for each branch of a semi-supervised detector
        given["data_preprocessor"] = fill_input(
            given["data_preprocessor"], wanted, complete, f"{where}.data_preprocessor"
        )
        return given
    kind = class_of(given)
    if kind is None or not takes(kind, "mean"):
        return given
    if wanted is None:
        if given.get("mean") is None and not complete:
            raise InputError(
                f"expected mean, std and bgr_to_rgb in {where}, got none: the weights of this backbone have no "
                "card that states the input they expect."
            )
        return given
    tolerance = _ROUNDED if complete else _EQUAL
    for key, value in (("mean", wanted.mean), ("std", wanted.std)):
        if given.get(key) is not None and any(abs(a - b) > tolerance for a, b in zip(given[key], value)):
            raise InputError(
                f"{where}.{key} is {list(given[key])}, but the backbone's weights were trained with "
                f"{list(value)}. Leave {key} out: it is filled in."
            )
        if not complete:
            given[key] = list(value)
    if complete:
        return given
    # Images come from cv2, blue first.
    given.setdefault("bgr_to_rgb", wanted.channel_order == "rgb")
    return given


def fill_padding(given: dict, padding: dict) -> dict:
    """A preprocessor's config with the defaults in `padding`."""
    if isinstance(given.get("data_preprocessor"), dict):
        return dict(given, data_preprocessor=fill_padding(given["data_preprocessor"], padding))
    kind = class_of(given)
    return given if kind is None or not takes(kind, "pad_size_divisor") else padding | given
