"""The tables of the study as lists of runs, most wanted first; a run that two tables share is trained once."""

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ...errors import InputError
from .arms import ARMS, RATES, StudyRun
from .sets import NUM_FOLDS, SETS

#: Where each arm chooses its rate: validation images of these sets, first fold.
RATE_SETS = ("kangaroo", "microcontrollers")
#: Arms of the main table.
MAIN = tuple(name for name in ARMS if name not in ("fine-tuned with its norms", "scratch"))


class Whole(NamedTuple):
    """A table of every set."""

    backbone: str
    arms: tuple[str, ...]


#: The larger backbone has fine-tuning, and of the others those that are before frozen with the smaller one.
WHOLE = {
    "main": Whole("Lite0", MAIN),
    "Lite2": Whole("Lite2", ("frozen", "LoRA", "last stage tuned", "fine-tuned", "fine-tuned, a tenth of the rate")),
}
#: Arms of the tables that vary something else: the two ends, and the best of the main table.
FEW = ("frozen", "fine-tuned", "fine-tuned, a tenth of the rate")

Rates = Mapping[str, float]


def rates() -> list[StudyRun]:
    """Each arm at each rate."""
    return [StudyRun(one, 0, "Lite0", arm, rate) for one in RATE_SETS for arm in (*MAIN, "scratch") for rate in RATES]


def main(rate: Rates, name: str = "main") -> list[StudyRun]:
    """Every arm of a table of :data:`WHOLE` on every set, each fold with a seed of its own."""
    backbone, arms = WHOLE[name]
    return [
        StudyRun(one, fold, backbone, arm, rate[arm], seed=fold)
        for fold in range(NUM_FOLDS)
        for one in SETS
        for arm in arms
    ]


def seeds(rate: Rates) -> list[StudyRun]:
    """Four more seeds in the first fold of two sets."""
    return [
        StudyRun(one, 0, "Lite0", arm, rate[arm], seed=10 * more)
        for more in range(1, 5)
        for one in ("microcontrollers", "kangaroo")
        for arm in FEW
    ]


def norms(rate: Rates) -> list[StudyRun]:
    """Fine-tuning with norms that train, against those of the main table."""
    return [
        StudyRun(one, fold, "Lite0", "fine-tuned with its norms", rate["fine-tuned"], seed=fold)
        for fold in range(NUM_FOLDS)
        for one in (*RATE_SETS, "capybara")
    ]


def fractions(rate: Rates) -> list[StudyRun]:
    """A tenth and three tenths of the training images, as many updates."""
    return [
        StudyRun(one, fold, "Lite0", arm, rate[arm], seed=fold, share=share)
        for fold in range(NUM_FOLDS)
        for share in (0.1, 0.3)
        for one in ("bccd", "microcontrollers", "playing_cards")
        for arm in FEW
    ]


def backbones(rate: Rates) -> list[StudyRun]:
    """The other backbones on three sets."""
    return [
        StudyRun(one, fold, backbone, arm, rate[arm], seed=fold)
        for fold in range(NUM_FOLDS)
        for one in ("bccd", "kangaroo", "microcontrollers")
        for backbone in ("Lite1", "MobileNetV2")
        for arm in FEW
    ]


def first_folds(rate: Rates) -> list[StudyRun]:
    """These backbones on the other sets, in the fold that the advisor's probes have, frozen and in the best arm."""
    elsewhere = {run.set for run in backbones(rate)}
    return [
        StudyRun(one, 0, backbone, arm, rate[arm])
        for one in SETS
        if one not in elsewhere
        for backbone in ("Lite1", "MobileNetV2")
        for arm in (FEW[0], FEW[-1])
    ]


def scratch(rate: Rates) -> list[StudyRun]:
    """Random weights on two sets."""
    return [
        StudyRun(one, fold, "Lite0", "scratch", rate["scratch"], seed=fold)
        for fold in range(NUM_FOLDS)
        for one in ("kangaroo", "microcontrollers")
    ]


def decoder_rates(decoder: str) -> list[StudyRun]:
    """Each arm at the two smaller rates: a decoder has a pace of its own."""
    updates = 3 * StudyRun.updates
    return [
        StudyRun("microcontrollers", 0, "Lite0", arm, rate, decoder=decoder, updates=updates)
        for arm in FEW
        for rate in RATES[:2]
    ]


def large(rate: Rates) -> list[StudyRun]:
    """NAS-FPN and Cascade on three sets, three times as many updates."""
    return _decoded(rate, "large", ("microcontrollers", "kangaroo", "bccd"))


def detr(rate: Rates) -> list[StudyRun]:
    """Deformable DETR on one set, three times as many updates."""
    return _decoded(rate, "DETR", ("microcontrollers",))


def _decoded(rate: Rates, decoder: str, sets: Sequence[str]) -> list[StudyRun]:
    return [
        StudyRun(one, fold, "Lite0", arm, rate[arm], seed=fold, decoder=decoder, updates=3 * StudyRun.updates)
        for fold in range(NUM_FOLDS)
        for one in sets
        for arm in FEW
    ]


TABLES: Mapping[str, Callable[[Rates], list[StudyRun]]] = {
    "rates": lambda rate: rates(),
    "main": main,
    "Lite2": lambda rate: main(rate, name="Lite2"),
    "scratch": scratch,
    "norms": norms,
    "fractions": fractions,
    "backbones": backbones,
    "first folds": first_folds,
    "seeds": seeds,
    "large rates": lambda rate: decoder_rates("large"),
    "large": large,
    "DETR rates": lambda rate: decoder_rates("DETR"),
    "DETR": detr,
}
#: Tables that the rates of others are chosen from; `rates` of all that are not here.
RATES_OF = {"large": "large rates", "DETR": "DETR rates"}
#: Tables that need no rates.
RATE_TABLES = ("rates", *RATES_OF.values())


def rate_scores(records: Iterable[Mapping], name: str = "rates") -> dict[str, dict[float, float]]:
    """By arm and learning rate the mean validation AP over the sets of a table of rates.

    Args:
        records: of finished runs.
        name: of :data:`RATE_TABLES`.

    Raises:
        InputError: a run of it is missing.
    """
    by_key, runs = {record["key"]: record for record in records}, TABLES[name]({})
    missing = sum(run.key not in by_key for run in runs)
    if missing:
        raise InputError(
            f"expected the table {name!r} before those whose learning rates follow from it; {missing} of its runs are "
            f"missing. Remedy: frozen-det benchmark study --data SETS --table {shlex.quote(name)}."
        )
    found: dict[str, dict[float, list[float]]] = {}
    for run in runs:
        found.setdefault(run.arm, {}).setdefault(run.rate, []).append(by_key[run.key]["val_AP"])
    return {arm: {rate: float(np.mean(APs)) for rate, APs in of.items()} for arm, of in found.items()}


def chosen_rates(records: Iterable[Mapping], name: str = "rates") -> dict[str, float]:
    """Of each arm the rate with the best of :func:`rate_scores`, the smaller of equals.

    Raises:
        InputError: as there.
    """
    found = rate_scores(records, name)
    return {arm: max(of, key=lambda rate: (of[rate], -rate)) for arm, of in found.items()}
