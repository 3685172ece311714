"""Tiny toy scenes, and the same with other segmentations."""

import json
from pathlib import Path

import pytest

from tests.training_runs import tiny_scenes


@pytest.fixture(scope="session")
def scenes(tmp_path_factory) -> Path:
    return tiny_scenes(tmp_path_factory.mktemp("choices") / "scenes")


def _rectangle(annotation: dict) -> None:
    x, y, w, h = annotation["bbox"]
    annotation["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h, x, y]]


CHANGES = {
    "boxes": lambda number, one: one.pop("segmentation"),
    "empty": lambda number, one: one.update(segmentation=[]),
    "rectangles": lambda number, one: _rectangle(one),
    "a few": lambda number, one: number % 2 and one.pop("segmentation"),
    "doors": lambda number, one: number % 2 and _rectangle(one),
    "crowds": lambda number, one: number % 2 and (one.pop("segmentation"), one.update(iscrowd=1)),
}


@pytest.fixture(scope="session")
def data(scenes, tmp_path_factory):
    """A folder of the scenes' images with other segmentations, by name of the change."""
    made = {}

    def of(name: str) -> str:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("data")
            (made[name] / "annotations").mkdir()
            (made[name] / "images").symlink_to(scenes / "images")
            for split in ("train", "val"):
                content = json.loads((scenes / "annotations" / f"{split}.json").read_text())
                for number, one in enumerate(content["annotations"]):
                    CHANGES[name](number, one)
                (made[name] / "annotations" / f"{split}.json").write_text(json.dumps(content))
        return str(made[name])

    return of
