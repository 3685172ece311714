"""The images of a pool's parts as batches: read, decoded and transformed, with a row for each; broken ones say so."""

from collections.abc import Iterator
from contextlib import nullcontext
from io import BytesIO

import torch
from PIL import Image
from torch.utils.data import IterableDataset, get_worker_info

from ...datasets.images.pixels import upright_rgb
from ...datasets.samplers.seeding import seeded
from ..stored_network import WITHOUT_PLACE
from .listings.listing import Part
from .pool import content_hash, read_part


class PartImages(IterableDataset):
    """Batches of a part's images, decoded and transformed; each worker of a loader takes whole parts.

    Yields ``dict(part=int, last=bool, images=(n, 3, H, W) uint8 or None, rows=list of dict)``; rows of images that do
    not decode have no place in ``images``. Batches are made here: the loader takes ``batch_size=None``.
    """

    def __init__(self, parts: list[Part], batch_size: int, transform, noise: bool = False) -> None:
        self.parts, self.batch_size, self.transform, self.noise = parts, batch_size, transform, noise

    def __iter__(self) -> Iterator[dict]:
        worker = get_worker_info()
        for part in self.parts if worker is None else self.parts[worker.id :: worker.num_workers]:
            images, rows = [], []
            for item in read_part(part):
                if len(images) == self.batch_size:
                    yield dict(part=part.number, last=False, images=torch.stack(images), rows=rows)
                    images, rows = [], []
                row = {name: getattr(item, name) for name in ("id", "path", "key", "offset", "size", "error")}
                row.update(content_hash="", label=-1, confidence=0.0, decodes=False)
                if item.content is not None:
                    row["content_hash"] = content_hash(item.content)
                    image = _decoded(item.content, row)
                    if image is not None:
                        with seeded(seed_of(row)) if self.noise else nullcontext():
                            images.append(self.transform(image))
                rows.append(row)
            yield dict(part=part.number, last=True, images=torch.stack(images) if images else None, rows=rows)


def _decoded(content: bytes, row: dict) -> Image.Image | None:
    try:
        with Image.open(BytesIO(content)) as image:
            decoded = upright_rgb(image)
    except Exception as error:  # broken files reach every kind of exception inside Pillow's decoders
        row["error"] = f"{type(error).__name__}: {WITHOUT_PLACE.sub('', str(error))}"
        return None
    row["decodes"] = True
    return decoded


def seed_of(row: dict) -> int:
    """Of what is drawn for an image: from its bytes."""
    return int(row["content_hash"][:15] or "0", 16)
