"""Two models under one state dict: the same function, or another padding, epsilon or activation?"""

from ...weights.card import WeightsCard
from .source import source_of_architecture


def first_difference(architecture: str, other: str) -> str | None:
    """The first thing that tells two architectures of one source apart, in words; None if there is none, or none known.

    Args:
        architecture, other: library and name, e.g. ``timm/resnet50``.
    """
    (source, name), (theirs, other_name) = source_of_architecture(architecture), source_of_architecture(other)
    if source is None or theirs is None or source.name != theirs.name or name == other_name:
        return None
    return source.first_difference(name, other_name)


def refusal(card: WeightsCard, architecture: str, where: str) -> str | None:
    """Why weights with this card must not go into a backbone of `architecture`; None if nothing speaks against it."""
    difference = first_difference(card.architecture, architecture) if card.architecture else None
    if difference is None:
        return None
    return (
        f"{where} holds weights of {card.architecture}, by its card, and the body is {architecture}: not the same "
        f"function ({difference}). Nothing was loaded. Set model.backbone.body to {card.architecture}."
    )
