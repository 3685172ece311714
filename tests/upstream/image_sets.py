"""Small image folders that tests write."""

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"ash": (200, 10, 10), "birch": (10, 200, 10), "cedar": (10, 10, 200), "dogwood": (200, 200, 10)}


def write_folder(root: Path, counts: dict[str, int], split: str = "train", size: int = 8) -> Path:
    """``root/split/CLASS/00.png``: noise of a class's own colour; returns the root."""
    rng = np.random.default_rng(0)
    for name, count in counts.items():
        folder = root / split / name
        folder.mkdir(parents=True)
        for number in range(count):
            noise = rng.integers(0, 40, (size, size, 3)) + np.array(COLOURS[name])
            Image.fromarray(noise.astype(np.uint8)).save(folder / f"{number:02d}.png")
    return root
