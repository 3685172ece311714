"""Pools, a small teacher and label parts that tests make."""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from frozen_det.upstream.noisy_student.label_files import PLAN, PartWriter, read_vectors, soft_label
from frozen_det.upstream.noisy_student.labelling import finish_labels
from frozen_det.upstream.noisy_student.manifest import kept_vector, manifest_record
from frozen_det.upstream.transforms import EvalTransform

NUM_CLASSES = 4
CROP = EvalTransform(size=8, crop_ratio=1.0)


class Preprocessor(nn.Module):
    def forward(self, data):
        return dict(inputs=data["inputs"].float() / 255, data_samples=data["data_samples"])


class Teacher(nn.Module):
    """Linear in the mean colour, with dropout before it, as a classifier would have."""

    def __init__(self):
        super().__init__()
        self.num_classes = NUM_CLASSES
        self.data_preprocessor = Preprocessor()
        self.drop, self.fc = nn.Dropout(0.5), nn.Linear(3, NUM_CLASSES)
        with torch.no_grad():
            self.fc.weight.copy_(torch.tensor([[9.0, 0, 0], [0, 9, 0], [0, 0, 9], [0, 0, 0]]))
            self.fc.bias.zero_()

    def forward(self, inputs, data_samples=None, mode="tensor"):
        return self.fc(self.drop(inputs.mean((2, 3))))


def write_images(folder: Path, count: int, seed: int = 0, size: int = 8) -> Path:
    """Noise in random colours, ``folder/00/0000.png`` on, in two folders."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        path = folder / f"{number % 2:02d}" / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 40, (size, size, 3)) + rng.integers(0, 200, 3)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    return folder


def write_parts(
    folder, labels, confidences, part_size: int = 1000, num_classes: int = NUM_CLASSES, hashes=None
) -> Path:
    """Label parts without images; the vector of row i has its confidence at its label and i in the tail of the name."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    inputs = []
    for number, start in enumerate(range(0, len(labels), part_size)):
        stop = min(start + part_size, len(labels))
        inputs.append(f"made {number}")
        with PartWriter(folder, number, num_classes, inputs[-1]) as writer:
            rows = [
                dict(
                    id=i,
                    path=f"images/{i:06d}.png",
                    key="",
                    offset=-1,
                    size=1,
                    content_hash=hashes[i] if hashes is not None else f"{i:032x}",
                    label=int(labels[i]),
                    confidence=float(confidences[i]),
                    decodes=bool(labels[i] >= 0),
                    error="",
                    has_vector=bool(labels[i] >= 0),
                )
                for i in range(start, stop)
            ]
            writer.add(
                rows,
                np.stack(
                    [vector_of(labels[i], confidences[i], num_classes) for i in range(start, stop) if labels[i] >= 0]
                    or [np.empty((0, num_classes))]
                ).reshape(-1, num_classes),
            )
    (folder / PLAN).write_text(json.dumps(dict(inputs=inputs)))
    finish_labels(folder)
    return folder


def vector_of(label: int, confidence: float, num_classes: int = NUM_CLASSES) -> np.ndarray:
    """(C,) logits less their maximum of a distribution that has `confidence` at `label` and the rest spread evenly."""
    shares = np.full(num_classes, max(1 - confidence, 1e-9) / (num_classes - 1), np.float32)
    shares[label] = confidence
    logits = np.log(shares)
    return logits - logits[label]


def read_manifest(path, soft: bool = False, temperature: float = 1.0) -> list[dict]:
    """All rows of a manifest, with ``soft_labels`` (C,) where asked for."""
    import pyarrow.parquet

    record, rows = manifest_record(path), pyarrow.parquet.read_table(path).to_pylist()
    for row in rows if soft else ():
        vectors = read_vectors(record["labels"], row["part"], record["num_classes"])
        row["soft_labels"] = soft_label(kept_vector(vectors, row["vector"], path), temperature)
    return rows


def copies_of(content_hash: str, ratio: float, seed: int) -> int:
    """How often an image is kept: floor(ratio), and once more with the chance that is left; as SQL has it."""
    digest = hashlib.md5(f"{content_hash}:{seed}".encode(), usedforsecurity=False).hexdigest()
    return int(ratio) + (int(digest[:13], 16) / 2.0**52 < ratio - int(ratio))
