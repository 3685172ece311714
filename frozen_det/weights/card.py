"""The card that travels with weights: what they are, what input they expect, where they come from.

Kept in a `.pth` file's ``meta["frozen_det_card"]`` and in safetensors metadata under the same key (as JSON). A file
without a card is fine; a card that cannot be read is an error.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..errors import InputError
from .digest import fingerprint
from .reading.file_kinds import is_safetensors, open_safetensors, refuse_other_files

KEY = "frozen_det_card"


@dataclass(frozen=True)
class WeightsCard:
    """What is known about a set of weights. Unknown fields are None.

    Attributes:
        architecture: library and name, e.g. ``timm/resnet50``.
        library_version: e.g. ``timm 1.0.31``.
        strides, channels: of the features, ascending.
        mean, std: of the input, in 0..255 units, in `channel_order`.
        channel_order: ``rgb`` or ``bgr``.
        input_size, crop_ratio, interpolation: of the classifier's evaluation.
        recipe: name of the training recipe.
        num_classes: of the classifier that came with the backbone.
        digest: SHA-256 of the tensors (:mod:`frozen_det.weights.digest`).
        parent_digest: digest of the weights these were made from.
        source: where those came from: a library's tag, a package, or a file's name.
        licence: of the weights.
    """

    architecture: str | None = None
    library_version: str | None = None
    strides: tuple[int, ...] | None = None
    channels: tuple[int, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channel_order: str | None = None
    input_size: int | None = None
    crop_ratio: float | None = None
    interpolation: str | None = None
    recipe: str | None = None
    num_classes: int | None = None
    digest: str | None = None
    parent_digest: str | None = None
    source: str | None = None
    licence: str | None = None

    def to_json(self) -> str:
        """One line of JSON, unknown fields left out."""
        return json.dumps({k: v for k, v in asdict(self).items() if v is not None}, sort_keys=True)


def first_known(*cards: WeightsCard | None) -> WeightsCard:
    """One card out of several: for each field the first value that is known."""
    names = [field.name for field in fields(WeightsCard)]
    return WeightsCard(
        **{
            name: next(
                (value for card in cards if card is not None and (value := getattr(card, name)) is not None), None
            )
            for name in names
        }
    )


def verify(card: WeightsCard, tensors: Mapping, where: str) -> None:
    """Compare a card's digest with the tensors it came with. A card without a digest says nothing to compare.

    Raises:
        InputError: the digest is of other tensors.
    """
    if card.digest is None:
        return
    digest = fingerprint(tensors).digest
    if digest != card.digest:
        raise InputError(
            f"the weights card in {where} states sha256 {card.digest[:12]}, but the tensors beside it "
            f"have {digest[:12]}: they were changed after the card was written, or the card belongs to "
            "other weights. Nothing was loaded. Get the file again from its source."
        )


def from_json(text: str, where: str) -> WeightsCard:
    """The inverse of :meth:`WeightsCard.to_json`.

    Raises:
        InputError: not JSON, or a field this version does not know.
    """
    try:
        values = json.loads(text)
        known = {f.name for f in fields(WeightsCard)}
        unknown = sorted(set(values) - known)
    except (ValueError, TypeError) as error:
        raise InputError(f"expected a weights card as JSON in {where}, but it cannot be read: {error}.") from error
    if unknown:
        raise InputError(
            f"the weights card in {where} has unknown fields {unknown}; this version knows "
            f"{sorted(known)}. Update frozen_det."
        )
    return WeightsCard(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def card_of(checkpoint, where: str) -> WeightsCard | None:
    """The card inside a checkpoint object that :func:`frozen_det.weights.loading.read` gave, or None.

    Raises:
        InputError: a card that cannot be read.
    """
    meta = checkpoint.get("meta") if isinstance(checkpoint, Mapping) else None
    for holder in (meta.get("safetensors"), meta) if isinstance(meta, Mapping) else ():
        if isinstance(holder, Mapping) and holder.get(KEY):
            return from_json(holder[KEY], where)
    return None


def read_card(path: str | Path) -> WeightsCard | None:
    """The card inside a weights file. Of a safetensors file no more than the header is read.

    Args:
        path: of a checkpoint or weights file of any kind; no code in it is run.

    Returns:
        the card; None for a file without one.

    Raises:
        InputError: no such file, no weights file, or a card that cannot be read.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"expected a weights file, but {path} does not exist.")
    refuse_other_files(path)
    if is_safetensors(path):
        with open_safetensors(path) as file:
            text = (file.metadata() or {}).get(KEY)
        return from_json(text, str(path)) if text else None
    from .loading import read

    return card_of(read(path), str(path))
