"""Records of a made study: any AP, resamples that stray a little from it."""

import numpy as np

from frozen_det.benchmarks.study.plan import MAIN, TABLES, rates
from frozen_det.benchmarks.study.running import packed

RATE = 1e-3
RATES = dict.fromkeys((*MAIN, "scratch"), RATE)
NOISE = np.linspace(-0.02, 0.02, 200)


def record(run, AP, val=0.5, classes=None):
    return {
        "key": run.key,
        **run.to_json(),
        "numbers": {"mAP": AP},
        "classes": classes or {},
        "val_AP": val,
        "resampled": packed(AP + NOISE),
        "cpu_s": 36.0,
    }


def rate_records():
    """All rates: 1e-3 is chosen."""
    return [record(run, 0.2, 0.5 + (run.rate == RATE)) for run in rates()]


def with_main(sets, AP, classes=lambda run: None):
    """With the main table of Lite0 on some sets; AP and classes of a run."""
    by_key = {one["key"]: one for one in rate_records()}
    for run in TABLES["main"](RATES):
        if run.set in sets:
            by_key[run.key] = record(run, AP(run), 0.5 + (run.rate == RATE), classes(run))
    return list(by_key.values())


def cost(key, **other):
    numbers = ("cpu_ms", "peak_bytes", "base_bytes", "forward_flops", "lean_bytes", "trained_params")
    return {"key": key, **dict.fromkeys(numbers, 1), **other}


def facts(name, **other):
    numbers = {"images": 30, "objects": 60, "relative_side": 0.2, "distance": 0.5}
    return {"key": name, **numbers, "classes": {"thing": 60}, **other}
