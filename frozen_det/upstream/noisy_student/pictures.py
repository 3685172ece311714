"""One picture of pseudo-labels: a row for each class, kept images drawn at random, the teacher's confidence below."""

import io
from pathlib import Path

import numpy as np

CELL_PX, MARGIN_PX, LINE_PX = 96, 130, 18


def draw_samples(
    manifest, classes: list[str], out, num_classes: int = 10, per_class: int = 8, seed: int = 0
) -> Path | None:
    """Draw a sheet of images of a manifest.

    Args:
        manifest: of :func:`frozen_det.upstream.noisy_student.selection.select`.
        classes: names.
        out: picture to write.
        num_classes: rows; of more classes, some are drawn.
        per_class: images of a row.
        seed: of the draws.

    Returns:
        `out`, or None where no image is left.
    """
    import pyarrow.parquet as parquet
    from PIL import Image, ImageDraw, ImageFont

    rng = np.random.default_rng(seed)
    table = parquet.read_table(manifest, columns=["label"])
    labels = table.column("label").to_numpy()
    present = np.unique(labels)
    if not len(present):
        return None
    shown = np.sort(rng.choice(present, min(num_classes, len(present)), replace=False))
    places = [np.sort(rng.permutation(np.flatnonzero(labels == label))[:per_class]) for label in shown]
    rows = _rows(manifest, np.concatenate(places))
    sheet = Image.new("RGB", (MARGIN_PX + per_class * CELL_PX, len(shown) * (CELL_PX + LINE_PX)), (250, 250, 250))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for line, (label, own) in enumerate(zip(shown, places)):
        top = line * (CELL_PX + LINE_PX)
        draw.text((4, top + CELL_PX // 2 - 8), str(classes[label])[:20], fill=(20, 20, 20), font=font)
        for column, place in enumerate(own):
            row, left = rows[int(place)], MARGIN_PX + column * CELL_PX
            image = _image(row)
            if image is not None:
                sheet.paste(image, (left + (CELL_PX - image.width) // 2, top + (CELL_PX - image.height) // 2))
            copies = f" x{row['copies']}" if row["copies"] > 1 else ""
            draw.text((left + 4, top + CELL_PX), f"{row['confidence']:.2f}{copies}", fill=(70, 70, 70), font=font)
    out = Path(out)
    sheet.save(out)
    return out


def _rows(manifest, places: np.ndarray) -> dict[int, dict]:
    """The rows of a manifest at these places, read one row group after the other."""
    import pyarrow.parquet as parquet

    found, first = {}, 0
    with parquet.ParquetFile(manifest) as file:
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            own = [int(place) for place in places if first <= place < first + size]
            if own:
                table = file.read_row_group(group, columns=["path", "offset", "size", "confidence", "copies"])
                taken = table.take([place - first for place in own]).to_pylist()
                found.update(zip(own, taken))
            first += size
    return found


def _image(row: dict):
    """The image, to fit a cell; None where it cannot be read any more."""
    from PIL import Image

    from ...datasets.images.pixels import upright_rgb
    from .pool import read_bytes

    side = CELL_PX - 6
    try:
        with Image.open(io.BytesIO(read_bytes(row["path"], row["offset"], row["size"]))) as opened:
            image = upright_rgb(opened)
    except (OSError, ValueError):
        return None
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)
