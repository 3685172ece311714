"""What the runs of a classifier tell: numbers of the final checkpoint, the gap to the best epoch, spread over seeds.

Nothing here picks a checkpoint by a validation set. The final checkpoint's numbers are those of the run's test, or of
its last validation where not every run was tested. Architecture and recipe are read from the config and its name.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path

from scipy.stats import kendalltau

from ..errors import InputError
from .comparison import Comparison, paired_tests
from .groups import RunGroup, mean_and_spread, share_words
from .run_record import RunRecord

# Name of a number -> (its words, decimals, whether more is better). `top1` leads everywhere.
NUMBERS = {
    "top1": ("top-1, %", 2, True),
    "top5": ("top-5, %", 2, True),
    "loss": ("loss", 3, False),
    "ece": ("ECE", 4, False),
    "real": ("ReaL, %", 2, True),
    "mean_class": ("mean of classes, %", 2, True),
}
MAIN = "top1"
CLASSES_SUFFIX = ".classes.json"
# In a backbone's config these belong to the recipe, not to the architecture.
_RECIPE_KEYS = (
    "drop_path_rate",
    "drop_rate",
    "drop_block_rate",
    "pretrained",
    "init_cfg",
    "type",
    "name",
    "with_cp",
    "grad_checkpointing",
    "img_size",
)


@dataclass
class ClassifierComparison(Comparison):
    """Two groups by top-1 of their final checkpoints.

    Attributes:
        first_spread: sample standard deviation of the first group; None below two seeds.
        difference: of the groups' means over all their seeds; None where a group has no number.
    """

    first_spread: float | None
    difference: float | None

    @property
    def within_noise(self) -> bool | None:
        """Whether the mean difference is below two standard deviations of the first group; None where not known."""
        if self.first_spread is None or self.difference is None:
            return None
        return abs(self.difference) < 2 * self.first_spread


def final_stage(runs: list[RunRecord]) -> str:
    """``test`` where every run was tested, else ``val``."""
    return "test" if all(number(run.tested(), MAIN) is not None for run in runs) else "val"


def number(numbers: dict[str, float], name: str) -> float | None:
    """A metric by its plain name, whatever the evaluator's prefix; None for none and for -1, an empty set's mark."""
    found = next(
        (value for full, value in numbers.items() if full.rpartition("/")[2] == name and not full.startswith("class/")),
        None,
    )
    return None if found is None or found == -1 else found


def final(run: RunRecord, stage: str, name: str = MAIN) -> float | None:
    """A number of the final checkpoint."""
    return number(run.numbers(stage), name)


def best_minus_final(run: RunRecord) -> tuple[float, float, int] | None:
    """(top-1 at the best validation, how much it is above the last one, its epoch or iteration); None without any."""
    found = [(number(one, MAIN), moment(one)) for one in run.validations if number(one, MAIN) is not None]
    if not found:
        return None
    best = max(found, key=lambda one: one[0])
    return best[0], best[0] - found[-1][0], best[1]


def moment(validation: dict) -> int:
    """Epoch of a validation; its iteration where the run does not count epochs."""
    return validation.get("epoch") or validation["iter"]


def along_epochs(group: RunGroup, name: str = MAIN) -> list[tuple[int, float, float | None]]:
    """(epoch, mean, sample standard deviation or None) over the group's runs, at epochs that all its runs validated."""
    curves = [
        {moment(one): value for one in run.validations if (value := number(one, name)) is not None}
        for run in group.runs
    ]
    curves = [curve for curve in curves if curve]
    common = sorted(set.intersection(*(set(curve) for curve in curves))) if curves else []
    return [(epoch, *mean_and_spread([curve[epoch] for curve in curves])) for epoch in common]


def disagreement(run: RunRecord) -> tuple[float, float] | None:
    """(tested, last validation) top-1 where both were measured on the same data and differ: the test then was not of
    the final checkpoint. None otherwise."""
    cfg, tested, last = run.config, final(run, "test"), final(run, "val")
    if None in (cfg, tested, last) or cfg.get("val_dataloader") is None:
        return None
    same = _data(cfg.val_dataloader) == _data(cfg.get("test_dataloader") or {})
    return (tested, last) if same and abs(tested - last) > 0.05 else None


def _data(loader) -> str:
    return repr(loader.get("dataset"))


# -- files beside a run ---------------------------------------------------------------------------------------------


def second_numbers(run: RunRecord, file_name: str) -> dict[str, float]:
    """Numbers on a second test set from a file in the work directory; empty where there is none."""
    path = Path(run.work_dir, file_name)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def class_accuracies(run: RunRecord, stage: str) -> dict[str, float]:
    """Class -> accuracy in percent, from ``test.classes.json`` or ``class/NAME`` numbers; empty where not recorded."""
    path = run.work_dir / f"test{CLASSES_SUFFIX}"
    if stage == "test" and path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))["class"]
        return {name: value for name, value in found.items() if value is not None}
    return {
        full.split("class/", 1)[1]: value
        for full, value in run.numbers(stage).items()
        if full.startswith("class/") or "/class/" in full
    }


def host_memory_mib(run: RunRecord) -> float | None:
    """Peak memory of the training process in MiB, as ``frozen_det.HostMemoryHook`` wrote it."""
    path = run.work_dir / "host_memory.json"
    return json.loads(path.read_text(encoding="utf-8"))["peak_mib"] if path.is_file() else None


def settings_tried(runs: list[RunRecord]) -> int:
    """How many settings a sweep's folders show to have been tried, runs that it moved aside included; 0 where no sweep
    made these runs. Seeds and shares of the data are no settings."""
    roots = {run.work_dir.absolute().parents[2] for run in runs if (run.work_dir / "sweep.json").is_file()}
    tried = set()
    for root in roots:
        for path in root.glob("*/fraction-*/seed-*/sweep.json"):
            settings = json.loads(json.loads(path.read_text(encoding="utf-8"))["settings"])
            settings.pop("randomness", None)
            (settings.get("train_dataloader", {}).get("dataset") or {}).pop("fraction", None)
            tried.add((path.parents[2].name, json.dumps(settings, sort_keys=True)))
    return len(tried)


# -- groups ---------------------------------------------------------------------------------------------------------


def architecture(group: RunGroup) -> str:
    """The network in words: ``resnet50``, ``CifarResNet depth=20``."""
    backbone = ((group.runs[0].config or {}).get("model") or {}).get("backbone") or {}
    name = backbone.get("name") or str(backbone.get("type", "not known")).rpartition(".")[2]
    more = [
        f"{key}={value}"
        for key, value in backbone.items()
        if key not in _RECIPE_KEYS and isinstance(value, int | float | str)
    ]
    return " ".join([str(name), *more])


def recipe(group: RunGroup) -> str:
    """The middle of a config's name ``ARCHITECTURE_RECIPE_DATA``; the whole name of one that is not made so."""
    parts = group.runs[0].name.split("_")
    return parts[1] if len(parts) == 3 else group.runs[0].name


def name_shortly(groups: list[RunGroup]) -> None:
    """Label groups by the parts of ``ARCHITECTURE_RECIPE_DATA`` and the shares that they differ in, where that tells
    them apart; otherwise labels stay."""
    names = [group.runs[0].name.split("_") for group in groups]
    if len(groups) < 2 or any(len(parts) != 3 for parts in names):
        return
    varied = [place for place in range(3) if len({parts[place] for parts in names}) > 1]
    shares = [group.runs[0].share or 1.0 for group in groups]
    labels = [" ".join(parts[place] for place in varied) for parts in names]
    if len(set(shares)) > 1:
        labels = [", ".join(filter(None, (label, share_words(share)))) for label, share in zip(labels, shares)]
    if len(set(labels)) == len(labels):
        for group, label in zip(groups, labels):
            group.label = label


def baseline_of(groups: list[RunGroup], wanted: str | None) -> RunGroup:
    """The group that others are compared with: of the config `wanted`, else of the recipe ``plain``, else the first.

    Raises:
        InputError: no group of that name.
    """
    if wanted is not None:
        found = [group for group in groups if wanted in (group.runs[0].name, group.label)]
        if not found:
            raise InputError(
                f"expected --baseline as one of {sorted({group.runs[0].name for group in groups})}, got {wanted!r}."
            )
        return found[0]
    return next((group for group in groups if recipe(group) == "plain"), groups[0])


def pairs_of(groups: list[RunGroup], baseline: RunGroup, stage: str) -> list[ClassifierComparison]:
    """Every group against the baseline, and every other pair of up to four groups."""
    others = [group for group in groups if group is not baseline]
    chosen = [(baseline, group) for group in others]
    if len(groups) <= 4:
        chosen += [(a, b) for place, a in enumerate(others) for b in others[place + 1 :]]
    pairs = []
    for pair, test in zip(chosen, paired_tests(chosen, lambda run: final(run, stage))):
        first, second = (mean_and_spread(group.values(lambda run: final(run, stage))) for group in pair)
        difference = second[0] - first[0] if first and second else None
        pairs.append(ClassifierComparison(*pair, test, first[1] if first else None, difference))
    return pairs


def rank_agreement(first: list[float], second: list[float]) -> float | None:
    """Kendall's tau-b of two lists of one length, -1 to 1; None for fewer than two or where all of one are equal."""
    if len(first) < 2:
        return None
    tau = float(kendalltau(first, second).statistic)
    return None if math.isnan(tau) else tau
