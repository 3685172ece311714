"""How far a student, without noise, says of pool images what its teacher said. Refuses labels without an image."""

from pathlib import Path

import numpy as np
import torch

from ...errors import InputError
from .label_files import rows_files
from .listings.parquet import import_pyarrow
from .pool import open_image


def agreement(model, transform, labels_dir, num_images: int = 2000, seed: int = 0, batch_size: int = 100) -> dict:
    """Compare a model's classes with the labels of a pool.

    Args:
        model: a classifier in eval mode.
        transform: PIL image (RGB) in, (3, H, W) uint8 out.
        labels_dir: finished labels (:func:`~.labelling.label_pool`).
        num_images: how many images are drawn; all of a smaller pool.
        seed: of the draw.
        batch_size: images of a forward pass.

    Returns:
        ``num_images``, ``agreement`` (percent), ``confident`` (percent of those images whose label has a confidence
        of at least 0.5, None without any), and ``confidence`` (the model's mean, 0..1).

    Raises:
        InputError: no image that decodes.
    """
    rows = _drawn(Path(labels_dir), num_images, seed)
    said, sure = [], []
    device = next(model.parameters()).device
    with torch.inference_mode():
        for start in range(0, len(rows), batch_size):
            images = torch.stack([transform(open_image(row)) for row in rows[start : start + batch_size]])
            data = model.data_preprocessor(dict(inputs=images.to(device), data_samples=None))
            scores = model(data["inputs"], mode="tensor").float().softmax(1)  # (n, C)
            said += scores.argmax(1).tolist()
            sure += scores.max(1).values.tolist()
    same = np.array(said) == np.array([row["label"] for row in rows])
    confident = np.array([row["confidence"] for row in rows]) >= 0.5
    return dict(
        num_images=len(rows),
        agreement=100 * float(same.mean()),
        confidence=float(np.mean(sure)),
        confident=100 * float(same[confident].mean()) if confident.any() else None,
    )


def _drawn(folder: Path, count: int, seed: int) -> list[dict]:
    """Rows of images, drawn at random without holding the pool: a draw of places, then one part after the other."""
    pa = import_pyarrow()
    files = list(rows_files(folder).values())
    sizes = [pa.parquet.read_metadata(file).num_rows for file in files]
    total = sum(sizes)
    places = np.sort(np.random.default_rng(seed).choice(total, min(count, total), replace=False)) if total else []
    rows, first = [], 0
    for file, size in zip(files, sizes):
        own = [int(place) - first for place in places if first <= place < first + size]
        first += size
        if own:
            table = pa.parquet.read_table(file, columns=["path", "offset", "size", "label", "confidence", "decodes"])
            rows += [row for row in table.take(own).to_pylist() if row["decodes"]]
    if not rows:
        raise InputError(f"expected labelled images in {folder}, got none that decodes; look at undecodable.txt there.")
    return rows
