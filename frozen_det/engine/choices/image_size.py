"""Where a config says its images' size: its own name `image_size`, or every transform that sets one.

Only square images of one size can be changed by one number; others are refused with what was found.
"""

from collections.abc import Iterator

from ...errors import InputError

_KEYS = ("scale", "size", "size_hw", "crop_size", "img_scale")
_SMALLEST = 32  # px: below are kernel sizes, numbers of holes and the like
_LOADERS = ("train_dataloader", "val_dataloader")


def size_entries(cfg, size: int, name: str) -> dict[str, object]:
    """The entries that give a config's images another size.

    Args:
        cfg: the config.
        size: side in px.
        name: of the config, for messages.

    Raises:
        InputError: no size, several, or one that is not square.
    """
    if _side(cfg.get("image_size")) is not None:
        return {"image_size": _alike(cfg.image_size, size)}
    found = dict(_sizes(cfg))
    sides = {place: _side(value) for place, value in found.items()}
    if not found or None in sides.values() or len(set(sides.values())) > 1:
        listed = ", ".join(f"{place}={value}" for place, value in list(found.items())[:4]) or "none"
        raise InputError(
            f"expected images of one square size in {name}, which --size changes, got {listed}"
            f"{', ...' * (len(found) > 4)}. Set these by --cfg-options."
        )
    return {place: _alike(value, size) for place, value in found.items()}


def _sizes(cfg) -> Iterator[tuple[str, object]]:
    """Dotted place and value of every size of images."""
    for loader in _LOADERS:
        yield from _below(cfg.get(loader), loader)
    augments = ((cfg.get("model") or {}).get("detector") or {}).get("data_preprocessor") or {}
    yield from _below(augments.get("batch_augments"), "model.detector.data_preprocessor.batch_augments")


def _below(node, path: str) -> Iterator[tuple[str, object]]:
    if hasattr(node, "items"):
        for key, value in node.items():
            if key in _KEYS and "type" in node and _is_size(value):
                yield f"{path}.{key}", value
            else:
                yield from _below(value, f"{path}.{key}")
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            yield from _below(value, f"{path}.{index}")


def _is_size(value) -> bool:
    pair = value if isinstance(value, list | tuple) else (value,)
    return len(pair) in (1, 2) and all(type(one) is int and one >= _SMALLEST for one in pair)


def _side(value) -> int | None:
    """The side of a square, of a number or of a pair."""
    if not _is_size(value):
        return None
    pair = value if isinstance(value, list | tuple) else (value,)
    return pair[0] if pair[0] == pair[-1] else None


def _alike(value, size: int):
    return size if isinstance(value, int) else type(value)([size] * len(value))
