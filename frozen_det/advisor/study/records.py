"""Scores and a probe of each of the study's backbones on each of its sets, first fold, training and validation images
alone: one line of json each, made once."""

import time
from pathlib import Path

from ...benchmarks.study.arms import BACKBONES
from ...benchmarks.study.records import NUMBER, NUMBERS, TEXT, Fields, one_of
from ...benchmarks.study.sets import SETS, write_folds
from ...datasets.readers.annotation_check import read_annotations
from ..advice import loaded_backbone
from ..facts import FACTS, facts_of
from ..object_features import object_features, training_set
from ..probes import UPDATES, probed, write_split
from ..rows import scores_of

FOLD = 0
#: What a record has at least.
SCORES: Fields = {
    "key": TEXT,
    "set": one_of(SETS),
    "backbone": one_of(BACKBONES),
    **{f"facts.{name}": NUMBER for name in FACTS},
    "scores": NUMBERS,
    **{f"probe.{name}": NUMBER for name in ("AP", "spread", "trained", "tested", "cpu_s")},
    "pass_cpu_s": NUMBER,
    "scores_cpu_s": NUMBER,
}


def all_keys() -> list[tuple[str, str]]:
    """Sets and backbones, the backbones of all sets first."""
    order = ("Lite0", "Lite2", *(name for name in BACKBONES if name not in ("Lite0", "Lite2")))
    return [(one, backbone) for backbone in order for one in SETS]


def key_of(one: str, backbone: str) -> str:
    """Name of a record; another length of the probe is another record."""
    return f"{one}_fold{FOLD}_{backbone}_probe{UPDATES}"


def scored(one: str, backbone: str, root: Path, work: Path) -> dict:
    """Score and probe a backbone on a set.

    Args:
        one: name of the set.
        backbone: name.
        root: of the data sets.
        work: folder for folds and splits.

    Returns:
        a record: facts of the set, scores (without those that cannot be read), the probe, process times.
    """
    size = SETS[one].size
    data = write_folds(SETS[one], root, work / "sets")[FOLD]
    start = time.process_time()
    name = BACKBONES[backbone][0]
    found = object_features(loaded_backbone(name, "cpu"), training_set(str(data), size))
    passed = time.process_time()
    scores = {score: round(value, 6) for score, value in scores_of(found).items()}
    spent = time.process_time()
    probe = probed(write_split(str(data), work / "probes" / one), name, size)
    return {
        "key": key_of(one, backbone),
        "set": one,
        "fold": FOLD,
        "backbone": backbone,
        "size": size,
        "facts": facts_of(read_annotations(data / "annotations" / "train.json"), size),
        "objects": len(found),
        "values": int(found.features.shape[1]),
        "scores": scores,
        "pass_cpu_s": round(passed - start, 1),
        "scores_cpu_s": round(spent - passed, 1),
        "probe": {
            "AP": round(probe.AP, 5),
            "spread": round(probe.spread, 5),
            "trained": probe.trained,
            "tested": probe.tested,
            "steps": probe.steps,
            "cpu_s": round(probe.cpu_s, 1),
        },
    }
