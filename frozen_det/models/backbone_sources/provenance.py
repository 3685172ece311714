"""Weights cards of backbones, from the backbone, its library and the file that was loaded."""

import dataclasses
from pathlib import Path

from ...errors import InputError
from ...weights.card import WeightsCard, first_known, read_card
from ...weights.digest import fingerprint
from ...weights.key_fitting import under_prefix
from ...weights.loading import read, state_dict_of
from .base import Body
from .source import source_of_architecture, source_of_weights
from .weights import form_of, source_card, weights_file


def describe_weights(body: Body, weights) -> WeightsCard:
    """The card of loaded weights, without a digest of their own.

    Args:
        body: the network.
        weights: their source, as in :class:`frozen_det.models.FrozenBackbone`.
    """
    parent = _parent_card(weights)
    of_body = WeightsCard(
        architecture=body.architecture,
        library_version=library_version(body.architecture),
        strides=tuple(body.strides),
        channels=tuple(body.channels),
        parent_digest=parent.digest,
        source=_source_name(weights),
    )
    # The mean and std in a file's card take precedence over the library's defaults for the architecture.
    return first_known(
        of_body,
        dataclasses.replace(parent, digest=None),
        _of_preprocess(body),
        WeightsCard(licence=_licence(body, weights)),
    )


def library_version(architecture: str) -> str:
    """Library and version of an architecture, e.g. ``timm 1.0.20``."""
    source = source_of_architecture(architecture)[0]
    assert source is not None, architecture
    return f"{source.name} {source.version()}"


def body_of_weights(weights) -> dict:
    """The `body` config of the architecture named in the card of a weights file, work directory or known package.

    Raises:
        InputError: no file, no card, or an incomplete card.
    """
    path = _parent_file(weights)
    card = read_card(path) or source_card(weights) if path is not None else None
    if card is None or card.architecture is None:
        raise InputError(
            f"expected model.backbone.body, got none, and weights={weights!r} have no card that names an "
            "architecture. Set body=dict(type='timm', name=...), or give weights with a card."
        )
    return body_of(card.architecture, str(path))


def body_of(architecture: str, where: str) -> dict:
    """The `body` config of an architecture as named in weights cards.

    Args:
        architecture: library and name, e.g. ``timm/resnet50`` or ``frozen_det/CifarResNet20``.
        where: the weights, for messages.

    Raises:
        InputError: an architecture of mmdet, whose name is not enough to build it.
    """
    source, name = source_of_architecture(architecture)
    found = None if source is None else source.body_of(name)
    if found is None:
        raise InputError(
            f"expected model.backbone.body, got none: {where} holds weights of {architecture}, by its card, and that "
            "name is not enough to build it."
        )
    return found


def _of_preprocess(body: Body) -> WeightsCard:
    known = body.preprocess
    if known is None:
        return WeightsCard()
    return WeightsCard(
        mean=tuple(known.mean),
        std=tuple(known.std),
        channel_order=known.channel_order,
        input_size=known.input_size,
        crop_ratio=known.crop_ratio,
        interpolation=known.interpolation,
    )


def _parent_file(weights) -> Path | None:
    path = None if weights in (None, "random") else weights_file(weights)
    return path if path is not None and path.is_file() else None


def _parent_card(weights) -> WeightsCard:
    """The card of the loaded file; its digest is computed if the file does not state one."""
    path = _parent_file(weights)
    if path is None:
        return WeightsCard()
    card = read_card(path) or source_card(weights) or WeightsCard()
    if card.digest and not form_of(weights).is_part:
        return card
    form = form_of(weights)
    state = state_dict_of(read(path), str(path), form.key)
    if form.prefix is not None:
        state = under_prefix(state, form.prefix, str(path))
    return dataclasses.replace(card, digest=fingerprint(state).digest)


def _source_name(weights) -> str | None:
    """The source of the weights, a file without its folders."""
    path, name = _parent_file(weights), form_of(weights).path
    return path.name if path is not None and not name.startswith("package:") else name


def _licence(body: Body, weights) -> str | None:
    """The licence stated by the weights' source, or None."""
    named = source_of_weights(weights) if isinstance(weights, str) else None
    return None if named is None else named[0].licence(body.architecture, named[1])
