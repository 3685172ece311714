"""Two timm models under one state dict: the same function, or another padding, epsilon or activation?

Shapes cannot tell (`tf_efficientnet_b0` and `efficientnet_b0` share every name and shape); the models' descriptions,
built on meta tensors, can.
"""

from itertools import zip_longest

from ...weights.card import WeightsCard
from .build import on_meta


def first_difference(architecture: str, other: str) -> str | None:
    """The first line in which two timm architectures differ, as ``'A' against 'B'``; None if there is none.

    Other libraries' architectures, and names that timm does not know, cannot be told apart here: None.

    Args:
        architecture, other: library and name, e.g. ``timm/resnet50``.
    """
    if architecture == other or not architecture.startswith("timm/") or not other.startswith("timm/"):
        return None
    import timm

    names = [name.removeprefix("timm/") for name in (architecture, other)]
    if names[0].split(".")[0] == names[1].split(".")[0] or not all(timm.is_model(name) for name in names):
        return None
    first, second = (
        repr(on_meta(lambda name=name: timm.create_model(name, pretrained=False, num_classes=0))[0]).splitlines()
        for name in names
    )
    for ours, theirs in zip_longest(first[1:], second[1:], fillvalue="nothing"):
        if ours != theirs:
            return f"{ours.strip()!r} against {theirs.strip()!r}"
    return None


def refusal(card: WeightsCard, architecture: str, where: str) -> str | None:
    """Why weights with this card must not go into a body of `architecture`; None if nothing speaks against it."""
    difference = first_difference(card.architecture, architecture) if card.architecture else None
    if difference is None:
        return None
    return (
        f"{where} holds weights of {card.architecture}, by its card, and the body is {architecture}: not the same "
        f"function ({difference}). Nothing was loaded. Set model.backbone.body to {card.architecture}."
    )
