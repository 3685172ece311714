"""Images through a detector several at a time, with the results of one at a time, in their order.

Images go together whose padded sizes are equal, so that none is padded further than it is alone: the zeros beside a
smaller image would change what the network finds near its edges.
"""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from ..errors import InputError, StorageError
from .pictures import Picture

_WINDOW = 4  # batches' worth of images that are looked at together for equal sizes


def found_in(
    pictures: Iterable[Picture],
    prepare: Callable[[Picture], dict],
    find: Callable[[dict], list],
    batch_size: int,
    divisor: int,
) -> Iterator[tuple[Picture, Any]]:
    """Each picture with what was found in it, or with the InputError that kept it from being read.

    Args:
        pictures: in any number; they are taken as they are needed.
        prepare: gives a batch of one, lists under ``inputs`` (images (3, H, W)), ``data_samples`` and ``pictures``.
        find: of a batch, one result for each image.
        batch_size: images in one forward pass, at most.
        divisor: the sides of a batch are padded to its multiples.

    Raises:
        InputError: a batch size that is no whole number from 1 on.
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise InputError(f"expected batch_size as a whole number from 1 on, got {batch_size!r}.")
    return _found_in(iter(pictures), prepare, find, batch_size, divisor)


def _found_in(pictures, prepare, find, batch_size, divisor):
    while window := list(islice(pictures, 1 if batch_size == 1 else _WINDOW * batch_size)):
        found: dict[int, Any] = {}
        groups: dict[tuple, list[tuple[int, dict]]] = {}
        for place, picture in enumerate(window):
            try:
                batch = prepare(picture)
            except StorageError:
                raise
            except InputError as fault:
                found[place] = fault
                continue
            sides = batch["inputs"][0].shape[-2:]
            groups.setdefault(tuple(-(-side // divisor) for side in sides), []).append((place, batch))
        for group in groups.values():
            for start in range(0, len(group), batch_size):
                places, batches = zip(*group[start : start + batch_size], strict=True)
                joined = {key: [one for batch in batches for one in batch[key]] for key in batches[0]}
                found.update(zip(places, find(joined), strict=True))
        yield from ((picture, found[place]) for place, picture in enumerate(window))


def or_raise(found: Any) -> Any:
    """What was found, where it is no error."""
    if isinstance(found, InputError):
        raise found
    return found
