"""Records of a made study: any AP, all folds, resamples that are the AP itself or stray from it."""

import numpy as np

from frozen_det.advisor.facts import FACTS
from frozen_det.advisor.study.records import key_of
from frozen_det.benchmarks.study.arms import RATES, StudyRun
from frozen_det.benchmarks.study.plan import rates
from frozen_det.benchmarks.study.running import packed

RATE = RATES[1]


def run_record(run: StudyRun, AP: float, samples=None) -> dict:
    samples = np.full(200, AP) if samples is None else samples
    return {
        "key": run.key,
        **run.to_json(),
        "numbers": {"mAP": AP},
        "val_AP": 0.5 * (run.rate == RATE),
        "resampled": packed(samples),
    }


def rate_records() -> list[dict]:
    """Of the table that rates are chosen by those that no other table has; their AP are far from all others."""
    return [run_record(run, 0.99) for run in rates() if run.rate != RATE or run.arm == "scratch"]


def runs(table: dict, spread: float = 0.0) -> list[dict]:
    """Records of all folds.

    Args:
        table: AP by set, backbone and way; all ways of the table of rates must be there for its sets and Lite0.
        spread: of the folds, around the AP.
    """
    found = rate_records()
    for (one, backbone, way), AP in table.items():
        for fold in range(3):
            run = StudyRun(one, fold, backbone, way, RATE, seed=fold)
            found.append(run_record(run, AP + spread * (fold - 1)))
    return found


def score_record(one: str, backbone: str, probe: float, **scores: float) -> dict:
    return {
        "key": key_of(one, backbone),
        "set": one,
        "backbone": backbone,
        "facts": dict.fromkeys(FACTS, 10.0),
        "scores": scores,
        "probe": {"AP": probe, "spread": 0.01, "trained": 40, "tested": 20, "cpu_s": 12.0},
        "pass_cpu_s": 2.0,
        "scores_cpu_s": 0.1,
    }
