"""The tables of the study as lists of runs, most wanted first; a run that two tables share is trained once."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from ...errors import InputError
from .arms import ARMS, RATES, StudyRun
from .sets import NUM_FOLDS, SETS

#: Where each arm chooses its rate: validation images of these sets, first fold.
RATE_SETS = ("kangaroo", "microcontrollers")
#: Arms of the main table.
MAIN = tuple(name for name in ARMS if name not in ("fine-tuned with its norms", "scratch"))
#: Arms of the tables that vary something else.
FEW = ("frozen", "parallel adapters", "last stage tuned", "fine-tuned", "fine-tuned, a tenth of the rate")
#: Arms of those where a run is dear.
THREE = ("frozen", "parallel adapters", "fine-tuned")

Rates = Mapping[str, float]


def rates() -> list[StudyRun]:
    """Each arm at each rate."""
    return [StudyRun(one, 0, "Lite0", arm, rate) for one in RATE_SETS for arm in (*MAIN, "scratch") for rate in RATES]


def main(rate: Rates, backbone: str = "Lite0", arms=MAIN) -> list[StudyRun]:
    """Every arm on every set, each fold with a seed of its own."""
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
        for arm in THREE
    ]


def scratch(rate: Rates) -> list[StudyRun]:
    """Random weights on two sets."""
    return [
        StudyRun(one, fold, "Lite0", "scratch", rate["scratch"], seed=fold)
        for fold in range(NUM_FOLDS)
        for one in ("kangaroo", "microcontrollers")
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
        for arm in THREE
    ]


TABLES: Mapping[str, Callable[[Rates], list[StudyRun]]] = {
    "rates": lambda rate: rates(),
    "main": main,
    "Lite2": lambda rate: main(rate, "Lite2"),
    "scratch": scratch,
    "norms": norms,
    "fractions": fractions,
    "backbones": backbones,
    "seeds": seeds,
    "large": large,
    "DETR": detr,
}


def rate_scores(records: Iterable[Mapping]) -> dict[str, dict[float, float]]:
    """By arm and learning rate the mean validation AP over :data:`RATE_SETS`.

    Raises:
        InputError: a run of the table `rates` is missing.
    """
    by_key = {record["key"]: record for record in records}
    missing = sum(run.key not in by_key for run in rates())
    if missing:
        raise InputError(
            f"expected the table 'rates' before any other, since each arm's learning rate follows from it; "
            f"{missing} of its runs are missing. Remedy: frozen-det benchmark study --data SETS --table rates."
        )
    found: dict[str, dict[float, list[float]]] = {}
    for run in rates():
        found.setdefault(run.arm, {}).setdefault(run.rate, []).append(by_key[run.key]["val_AP"])
    return {arm: {rate: float(np.mean(APs)) for rate, APs in of.items()} for arm, of in found.items()}


def chosen_rates(records: Iterable[Mapping]) -> dict[str, float]:
    """Of each arm the rate with the best of :func:`rate_scores`, the smaller of equals.

    Raises:
        InputError: as there.
    """
    return {arm: max(of, key=lambda rate: (of[rate], -rate)) for arm, of in rate_scores(records).items()}
