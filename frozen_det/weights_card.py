"""The card that travels with weights: what they are, what input they expect, where they come from.

Kept in a `.pth` file's ``meta["frozen_det_card"]`` and in safetensors metadata under the same key (as JSON). A file
without a card is fine; a card that cannot be read is an error.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from .errors import InputError

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
        num_classes: of the classifier that came with the body.
        digest: SHA-256 of the tensors (:mod:`frozen_det.fingerprint`).
        parent_digest: digest of the weights these were made from.
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
    licence: str | None = None

    def to_json(self) -> str:
        """One line of JSON, unknown fields left out."""
        return json.dumps({k: v for k, v in asdict(self).items() if v is not None}, sort_keys=True)


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
        raise InputError(f"the weights card in {where} has unknown fields {unknown}; this version knows "
                         f"{sorted(known)}. Update frozen_det.")
    return WeightsCard(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def read_card(path) -> WeightsCard | None:
    """The card inside a weights file, or None if it has none. Reads no more of a safetensors file than its header."""
    path = Path(path).expanduser()
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(str(path), framework="pt") as file:
                text = (file.metadata() or {}).get(KEY)
        except (SafetensorError, OSError) as error:
            raise InputError(f"expected a whole safetensors file, but {path} is broken or incomplete ({error}). "
                             "Copy or download it again.") from error
    else:
        from .checkpoints import read

        checkpoint = read(path)
        meta = checkpoint.get("meta") if isinstance(checkpoint, dict) else None
        text = meta.get(KEY) if isinstance(meta, dict) else None
    return from_json(text, str(path)) if text else None
