"""The classifiers that are compared and the images they see: any checkpoint with its config, one seeded set of images.

Every candidate sees the same images, by its own config's test transform. Refused: a checkpoint without a config, and
candidates whose configs list different test images.
"""

import copy
import dataclasses
import hashlib
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError
from ..weights.feature_store import FeatureStore


@dataclass
class Candidate:
    """A classifier to be studied.

    Attributes:
        label: unique, for tables and file names.
        arm: name of its config; candidates with the same name are seeds of it.
        cfg: its loaded config.
        checkpoint: file or work directory; None for the weights that the config names.
    """

    label: str
    arm: str
    cfg: object
    checkpoint: Path | None

    @property
    def file_name(self) -> str:
        """The label as a file's name."""
        return re.sub(r"[^\w.+-]+", "_", self.label)


@dataclass
class StudyImages:
    """N images as a classifier sees them.

    Attributes:
        pixels: (N, 3, H, W) uint8, RGB.
        labels: (N,) int64.
        paths: of the images.
        classes: names.
        digest: of paths and labels.
        fit: PIL image -> (3, H, W) uint8, for images from elsewhere.
    """

    pixels: Tensor
    labels: Tensor
    paths: list[str]
    classes: tuple[str, ...]
    digest: str
    fit: Callable

    def __len__(self) -> int:
        return len(self.labels)

    def draw(self, num: int, seed: int = 0) -> "StudyImages":
        """`num` of the images, or all, drawn by seed; the first ones would be of few classes, which come in turn."""
        places = np.sort(np.random.default_rng(seed).permutation(len(self))[:num])
        return dataclasses.replace(
            self, pixels=self.pixels[places], labels=self.labels[places], paths=[self.paths[place] for place in places]
        )

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in px."""
        return tuple(self.pixels.shape[-2:])


class StudyClassifier:
    """A network in eval mode behind pixels in [0, 1].

    Args:
        network: images (N, 3, H, W), normalised -> logits (N, C).
        mean, std: three numbers each, in 0..255 units.
        batch_size: of everything that is measured.

    Attributes:
        mean, std: (1, 3, 1, 1), in units of pixels in [0, 1].
        stated_classes: the class names that its weights state, or None.

    Its parameters ask for no gradient and its norms use their running statistics, also while images are attacked.
    """

    stated_classes: tuple[str, ...] | None = None

    def __init__(self, network: nn.Module, mean, std, batch_size: int = 100):
        self.network, self.batch_size = network.eval().requires_grad_(False), batch_size
        self.device = next(network.parameters()).device
        self._expected = [
            torch.as_tensor(value, dtype=torch.float32, device=self.device).view(1, 3, 1, 1) for value in (mean, std)
        ]
        self.mean, self.std = (value / 255 for value in self._expected)

    def __call__(self, pixels: Tensor) -> Tensor:  # (N, 3, H, W)
        """Logits (N, C) of pixels in [0, 1]; gradients pass."""
        return self.network(self.normalised(pixels)).float()

    def normalised(self, pixels: Tensor) -> Tensor:  # (N, 3, H, W)
        """What the network gets of pixels in [0, 1]; of 8-bit pixels bit for bit what training and labelling give."""
        mean, std = self._expected
        return (pixels * 255 - mean) / std  # 255 * (x / 255) is x for every 8-bit x

    def logits(self, images: Tensor, change: Callable[[Tensor], Tensor] | None = None) -> np.ndarray:
        """(N, C) logits of (N, 3, H, W) uint8 images or floats in [0, 1], batch by batch, without gradients.

        Args:
            images: (N, 3, H, W).
            change: what is done to a batch in [0, 1] before the network sees it.
        """
        found = []
        with torch.no_grad():
            for batch in images.split(self.batch_size):
                pixels = unit(batch).to(self.device)
                found.append(self(pixels if change is None else change(pixels)).cpu())
        return torch.cat(found).numpy()


def unit(images: Tensor) -> Tensor:
    """uint8 images as float32 in [0, 1]; floats stay."""
    return images.float() / 255 if images.dtype == torch.uint8 else images


# -- from the command line --------------------------------------------------------------------------------------------


def read_candidates(words: Sequence[str], options: dict | None = None) -> list[Candidate]:
    """``CONFIG CHECKPOINT...`` in any number: a config counts for the checkpoints behind it.

    Args:
        words: configs (path or shipped name), checkpoint files, work directories with their own config, or
            ``CONFIG:CHECKPOINT``. A config without a checkpoint after it means the weights that it names.
        options: overrides for all configs.

    Raises:
        InputError: a checkpoint without a config, a folder without one, or nothing at all.
    """
    found: list[list] = []  # [config name, config, checkpoint or None]
    for word in words:
        path = Path(word).expanduser()
        head, colon, tail = word.rpartition(":")
        if path.is_dir():
            found.append([*_config_in(path, options), path])
        elif colon and head and Path(tail).expanduser().exists():
            found.append([*_config(head, options), Path(tail).expanduser()])
        elif path.is_file() and path.suffix != ".py":
            if not found:
                raise InputError(f"expected a config before the checkpoint {word}; write CONFIG {word}.")
            if found[-1][2] is None:
                found[-1][2] = path
            else:
                found.append([found[-1][0], copy.deepcopy(found[-1][1]), path])
        else:
            found.append([*_config(word, options), None])
    if not found:
        raise InputError("expected at least one CONFIG CHECKPOINT, or a work directory.")
    labels = _labels([(name, path) for name, _, path in found])
    return [Candidate(label, name, cfg, path) for label, (name, cfg, path) in zip(labels, found)]


def _config(name: str, options: dict | None, recorded: bool = False) -> tuple[str, object]:
    from ..config import load_config, load_recorded

    cfg = (load_recorded if recorded else load_config)(name, options)
    return Path(cfg.filename).stem, cfg


def _config_in(folder: Path, options: dict | None) -> tuple[str, object]:
    configs = sorted(folder.glob("*.py"))
    if len(configs) != 1:
        raise InputError(
            f"expected a work directory with the one config that training wrote, got {folder} with "
            f"{len(configs)} .py files; write CONFIG:CHECKPOINT."
        )
    name, cfg = _config(str(configs[0]), options, recorded=True)
    modules = [
        module
        for module in (cfg.get("custom_imports") or {}).get("imports") or []
        if module not in sys.modules and not module.startswith("frozen_det")
    ]
    if modules:
        raise InputError(
            f"expected a run of this package's and mmdet's parts in {folder}, but its config imports "
            f"{', '.join(map(str, modules))}, which is code and not read from a folder. If you trust it: "
            f"{configs[0]}:{folder}."
        )
    return name, cfg


def _labels(named: list[tuple[str, Path | None]]) -> list[str]:
    """Config and run of each, short and unique, fit for a file name."""
    labels = []
    for name, path in named:
        if path is None:
            label = name
        else:
            folder = path if path.is_dir() else path.parent
            label = f"{name} {folder.name}" if folder.name.startswith("seed-") or path.is_dir() else path.stem
        count = sum(label == other or other.startswith(f"{label} #") for other in labels)
        labels.append(f"{label} #{count + 1}" if count else label)
    return labels


# -- model and images -------------------------------------------------------------------------------------------------


def fitting_batch(size_hw: tuple[int, int]) -> int:
    """Images per batch: 100 of CIFAR's size, 16 of 224 px, whose gradients take about 0.1 GiB each to find."""
    return max(1, min(100, 16 * 224 * 224 // (size_hw[0] * size_hw[1])))


def open_classifier(candidate: Candidate, batch_size: int = 100, store: FeatureStore | None = None) -> StudyClassifier:
    """The candidate's network with its weights in it.

    Args:
        candidate: whose.
        batch_size: of everything that is measured.
        store: where features of images seen before are read (:mod:`frozen_det.upstream.stored_network`).
    """
    from ..upstream.fixres.resolution_sweep import load_model
    from ..upstream.stored_network import read_pooled_from

    model = load_model(candidate.cfg, candidate.checkpoint)
    pre = model.data_preprocessor
    opened = StudyClassifier(model.network, pre.mean.flatten().tolist(), pre.std.flatten().tolist(), batch_size)
    opened.model, opened.stated_classes = model, model.stated_classes
    if store is not None:
        read_pooled_from(opened.network, store)
    return opened


def read_images(cfg, num_images: int | None, seed: int = 0) -> StudyImages:
    """A seeded draw of a config's test images, through its test transform.

    Args:
        cfg: a loaded classifier's config.
        num_images: how many; None or more than there are: all.
        seed: of the draw; the same images for the same listing and seed.

    Raises:
        InputError: no test images in the config, or images of unequal size.
    """
    from ..registry import DATASETS

    loader = next((cfg[name] for name in ("test_dataloader", "val_dataloader") if cfg.get(name)), None)
    if loader is None:
        raise InputError(f"expected test_dataloader or val_dataloader in {cfg.filename}, got none.")
    wanted = copy.deepcopy(dict(loader.dataset))
    if "in_memory" in wanted:
        wanted["in_memory"] = False  # a thousand images are read, not all
    dataset = DATASETS.build(wanted)
    count = len(dataset)
    drawn = np.random.default_rng(seed).permutation(count)[: count if num_images is None else num_images]
    samples = [sample for index in np.sort(drawn).tolist() if (sample := dataset[index]) is not None]
    sizes = {tuple(sample["inputs"].shape) for sample in samples}
    if len(sizes) != 1:
        raise InputError(
            f"expected images of one size from the test transform of {cfg.filename}, got "
            f"{sorted(sizes)[:3]}; give its dataset a frozen_det.EvalTransform."
        )
    pixels = torch.stack([torch.as_tensor(sample["inputs"]) for sample in samples])
    labels = torch.tensor([sample["data_samples"]["label"] for sample in samples])
    root = dataset.records.root
    paths = [str(sample["data_samples"]["path"]).removeprefix(root).lstrip("/") for sample in samples]
    listing = "\n".join(f"{path} {label}" for path, label in zip(paths, labels.tolist()))
    fit = dataset.transform if not hasattr(dataset.transform, "apply_batch") else _fitting(pixels.shape[-1])
    return StudyImages(
        pixels,
        labels,
        paths,
        tuple(dataset.metainfo["classes"]),
        hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest(),
        fit,
    )


def _fitting(size: int) -> Callable:
    """For data sets whose images are small already: short side to `size`, the middle of it."""
    from ..upstream.transforms import EvalTransform

    return EvalTransform(size, 1.0, "bilinear")
