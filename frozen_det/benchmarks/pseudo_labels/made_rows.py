"""Rows of a labelled pool that does not exist, for measurements of what reads them."""

import json
from pathlib import Path

import numpy as np


def make_labels(
    folder: Path, num_rows: int, num_classes: int, rows_per_part: int, vectors_share: float, top_k: int | None = None
) -> None:
    """Finished labels of `num_rows` images that do not exist: classes of unequal frequency, one image in a thousand
    broken, every `1 / vectors_share`-th part with soft vectors; with `top_k` all rows with soft labels of k classes."""
    from ...upstream.noisy_student.label_files import PLAN, vectors_path, write_rows
    from ...upstream.noisy_student.labelling import finish_labels

    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    shares = 1 / (1 + np.arange(num_classes)) ** 0.7
    shares /= shares.sum()
    inputs = []
    for number, start in enumerate(range(0, num_rows, rows_per_part)):
        count = min(rows_per_part, num_rows - start)
        decodes = rng.random(count) > 0.001
        kept = decodes if int((number + 1) * vectors_share) > int(number * vectors_share) else np.zeros(count, bool)
        inputs.append(f"synthetic {number}")
        row = np.arange(start, start + count)
        words = rng.integers(0, 2**63, (count, 2))
        labels = np.where(decodes, rng.choice(num_classes, count, p=shares), -1).astype(np.int32)
        soft: dict = {}
        if top_k:
            soft, kept = _soft_columns(rng, labels, num_classes, top_k), np.zeros(count, bool)
        else:
            with open(vectors_path(folder, number), "wb") as file:
                for part in np.array_split(np.flatnonzero(kept), 20):
                    noise = rng.standard_normal((len(part), num_classes), np.float32)
                    file.write((-np.abs(noise)).astype(np.float16).tobytes())
        columns = dict(
            id=words[:, 0],
            path=[f"images/{one // 1000:06d}/{one:09d}.jpg" for one in row],
            key=[""] * count,
            offset=np.full(count, -1),
            size=rng.integers(10_000, 200_000, count),
            content_hash=[f"{high:016x}{low:016x}" for high, low in words.tolist()],
            label=labels,
            confidence=np.where(decodes, rng.beta(1.2, 1.0, count), 0).astype(np.float32),
            decodes=decodes,
            error=np.where(decodes, "", "UnidentifiedImageError"),
            part=np.full(count, number, np.int32),
            vector=np.where(kept, np.cumsum(kept) - 1, -1),
            **soft,
        )
        counts = dict(num_images=count, num_undecodable=int((~decodes).sum()), num_vectors=int(kept.sum()))
        if top_k:
            counts |= dict(top_k=top_k, num_vectors=int(decodes.sum()))
        write_rows(folder, number, columns, dict(inputs=inputs[-1], num_classes=num_classes, **counts))
    (folder / PLAN).write_text(json.dumps(dict(inputs=inputs)), encoding="utf-8")
    finish_labels(folder)


def _soft_columns(rng, labels: np.ndarray, num_classes: int, top_k: int) -> dict:
    """Soft labels of the rows with a label: the label and classes drawn around it, logits of a normal distribution."""
    import pyarrow as pa

    from ...upstream.noisy_student.top_k import SOFT_COLUMNS, top_fields

    given = labels >= 0
    gaps = rng.integers(1, num_classes // top_k + 1, (int(given.sum()), top_k))
    gaps[:, 0] = 0  # the label itself; the others are distinct, since their sum stays below the number of classes
    classes = (labels[given, None] + gaps.cumsum(1)) % num_classes
    logits = -np.abs(4 * rng.standard_normal(classes.shape, np.float32))
    logits[:, 0] = 0
    order = classes.argsort(1)
    sizes = np.concatenate([[0], np.cumsum(given * top_k)]).astype(np.int32)
    fields, rest = top_fields(num_classes), np.zeros(len(labels), np.float32)
    rest[given] = rng.random(len(classes)) * (top_k < num_classes)
    lists = (np.take_along_axis(values, order, 1).ravel() for values in (classes, logits.astype(np.float16)))
    columns = [
        pa.ListArray.from_arrays(pa.array(sizes), pa.array(values).cast(field.type.value_type), mask=pa.array(~given))
        for field, values in zip(fields, lists)
    ]
    return dict(zip(SOFT_COLUMNS, [*columns, pa.array(rest, mask=~given)]))
