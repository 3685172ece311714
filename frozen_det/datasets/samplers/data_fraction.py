"""A share of the training images that is the same for every run group and seed, and leaves no class without an image.

A dataset draws it by its argument ``fraction=dict(share=0.1, seed=0)``. The 10 % are part of the 20 % of the same
seed. It refuses a share outside (0, 1] and one that leaves nothing.
"""

import hashlib
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path

from ...errors import InputError

_KEYS = ("share", "seed")
_WRAPPER_KEYS = ("dataset", "datasets")


def draw_fraction(labels_of_images: Mapping[Hashable, Iterable[int]], share: float, seed: int = 0) -> list:
    """Draw a class-aware share of images.

    Every image has a place in an order that follows from (seed, its id) alone. First come, for each class from the
    rarest on, the first image of the order that shows it, unless one drawn already does; then the rest of the order.
    The share is the beginning of that list, never shorter than its first part. So shares of one seed are nested,
    and neither the order of the images nor images without an object elsewhere in the data change a draw much.

    Args:
        labels_of_images: Image id -> labels of its objects (empty for an image without objects).
        share: In (0, 1].
        seed: Of the draw; any int. It is not the run's seed: runs with several seeds see the same images.

    Returns:
        Ids drawn, in the order in which ``labels_of_images`` gives them: ``round(share * N)``, or more where that
        is not enough for one image of every class.

    Raises:
        InputError: A share outside (0, 1], or one of less than half an image.
    """
    share, seed = check_fraction(dict(share=share, seed=seed))
    count = round(share * len(labels_of_images))
    if count < 1:
        raise InputError(
            f"expected a fraction that leaves at least one image, got {share:g} of "
            f"{len(labels_of_images)} images (fraction.share); take a larger one."
        )
    labels = {image: set(found) for image, found in labels_of_images.items()}
    order = sorted(labels, key=lambda image: _place(seed, image))
    drawn = dict.fromkeys(_one_of_each_class(order, labels))
    for image in order:
        if len(drawn) >= count:
            break
        drawn[image] = None
    return [image for image in labels if image in drawn]


def check_fraction(fraction) -> tuple[float, int]:
    """Share and seed of a dataset's argument ``fraction``: a number, or ``dict(share=..., seed=0)``.

    Raises:
        InputError: Anything else, or a share outside (0, 1].
    """
    if isinstance(fraction, int | float):
        fraction = {"share": fraction}
    if not isinstance(fraction, Mapping) or "share" not in fraction or set(fraction) - set(_KEYS):
        raise InputError(
            f"expected fraction as a number or dict(share=0.1, seed=0), got {fraction!r} "
            "(train_dataloader.dataset.fraction)."
        )
    share, seed = fraction["share"], fraction.get("seed", 0)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
        raise InputError(
            f"expected a fraction in (0, 1], got {share!r} (--fraction, or fraction.share of the "
            "training dataset); 0.1 is every tenth image."
        )
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise InputError(
            f"expected the seed of a fraction as a whole number, got {seed!r} (--fraction-seed, or "
            "fraction.seed of the training dataset)."
        )
    return float(share), seed


def fraction_record(ids: list, share: float, seed: int, num_images: int, source, content: bytes | None = None) -> dict:
    """What is written beside a run: the draw, the images it was drawn from, and the ids it gave.

    Args:
        source: the annotation file; content: its replacement where there is none.
    """
    digest = hashlib.sha256(Path(source).read_bytes() if content is None else content).hexdigest()
    return {
        "share": share,
        "seed": seed,
        "num_images": len(ids),
        "of_images": num_images,
        "annotation_file": str(source),
        "annotation_sha256": digest,
        "ids": list(ids),
    }


# -- in a config ----------------------------------------------------------------------------------------------------


def put_fraction(cfg, share: float, seed: int = 0) -> None:
    """Give every training dataset of a config the fraction, through wrappers such as RepeatDataset; with share 1 take
    away what the config says itself.

    Raises:
        InputError: A share outside (0, 1], a config without training data, or a dataset that draws no fractions.
    """
    share, seed = check_fraction({"share": share, "seed": seed})
    leaves = training_datasets(cfg)
    if not leaves:
        raise InputError(
            "expected a config with train_dataloader.dataset to draw a fraction of, got none (--fraction)."
        )
    for leaf in leaves:
        if share == 1:
            leaf.pop("fraction", None)
            continue
        _check_draws(leaf)
        leaf["fraction"] = {"share": share, "seed": seed}


def fraction_of(cfg) -> dict | None:
    """``{"share": ..., "seed": ...}`` of a config's training data; None where all of it is used."""
    for leaf in training_datasets(cfg):
        if leaf.get("fraction") is not None:
            share, seed = check_fraction(leaf["fraction"])
            return {"share": share, "seed": seed} if share < 1 else None
    return None


def training_datasets(cfg) -> list:
    """The config's training datasets themselves, taken out of their wrappers."""

    def inside(node) -> list:
        if isinstance(node, list | tuple):
            return [leaf for one in node for leaf in inside(one)]
        wrapped = [node[key] for key in _WRAPPER_KEYS if node.get(key) is not None]
        return [leaf for one in wrapped for leaf in inside(one)] if wrapped else [node]

    loader = cfg.get("train_dataloader") or {}
    return inside(loader["dataset"]) if loader.get("dataset") else []


def _check_draws(leaf) -> None:
    import inspect

    from mmdet.registry import DATASETS  # a name without a scope is the host's

    name = leaf.get("type")
    found = DATASETS.get(name) if isinstance(name, str) else name
    makers = getattr(found, "__mro__", ())
    if not any("fraction" in inspect.signature(one.__init__).parameters for one in makers if "__init__" in vars(one)):
        raise InputError(
            f"expected training data that can draw a fraction, got {name!r} "
            "(train_dataloader.dataset.type), which has no argument `fraction`; take "
            "frozen_det.CocoDataset or frozen_det.LVISDataset."
        )


# -- the draw -------------------------------------------------------------------------------------------------------


def _place(seed: int, image) -> bytes:
    # A hash, not a generator: the place must not depend on the other images.
    return hashlib.blake2b(f"{seed}:{image!r}".encode(), digest_size=16).digest()


def _one_of_each_class(order: list, labels: Mapping) -> list:
    """Few images, in which every class is shown; rare classes choose first."""
    images_of_class: dict = {}
    for image in order:
        for label in labels[image]:
            images_of_class.setdefault(label, []).append(image)
    chosen, shown = [], set()
    for label in sorted(images_of_class, key=lambda label: (len(images_of_class[label]), label)):
        if label not in shown:
            chosen.append(images_of_class[label][0])
            shown |= labels[chosen[-1]]
    return chosen
