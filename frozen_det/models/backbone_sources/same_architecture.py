"""Detect architectures with equal state dicts that differ in padding, epsilon or activation."""

from ...weights.card import WeightsCard
from .source import source_of_architecture


def first_difference(architecture: str, other: str) -> str | None:
    """Description of the first difference between two architectures of one source; None if none is known.

    Args:
        architecture, other: library and name, e.g. ``timm/resnet50``.
    """
    (source, name), (theirs, other_name) = source_of_architecture(architecture), source_of_architecture(other)
    if source is None or theirs is None or source.name != theirs.name or name == other_name:
        return None
    return source.first_difference(name, other_name)


def refusal(card: WeightsCard, architecture: str, where: str) -> str | None:
    """Why weights with this card must not be loaded into a backbone of `architecture`; None if they may."""
    difference = first_difference(card.architecture, architecture) if card.architecture else None
    if difference is None:
        return None
    return (
        f"{where} holds weights of {card.architecture}, by its card, and the body is {architecture}: not the same "
        f"function ({difference}). Nothing was loaded. Set model.backbone.body to {card.architecture}."
    )
