"""Runs grouped into arms: the same config with several seeds is one arm, with a mean and a spread.

Two runs are of one arm when their configs differ in nothing but the seed and where files lie.
"""

import re
import statistics
from dataclasses import dataclass

from .run_record import RunRecord

# What may differ between two seeds of one arm.
_PLACES = ("work_dir", "load_from", "resume", "randomness", "experiment_name", "launcher", "log_level")


@dataclass
class Arm:
    """Runs of one config.

    Attributes:
        label: name of the config; with the share of the data where it is not all, with the work directory where two
            arms would share a name.
        runs: its runs.
        description: the model's parameters and FLOPs, or None.
    """

    label: str
    runs: list[RunRecord]
    description: object = None

    def values(self, of) -> list[float]:
        """``of(run)`` for all runs that have it."""
        return [value for value in map(of, self.runs) if value is not None and value != -1]

    @property
    def seeds(self) -> str:
        """Seeds in words, an empty text where none is known."""
        return ", ".join(str(run.seed) for run in self.runs if run.seed is not None)


def group_arms(runs: list[RunRecord]) -> list[Arm]:
    """Arms in the order in which their first runs were given."""
    groups: dict[tuple, list[RunRecord]] = {}
    for run in runs:
        groups.setdefault((run.name, _essence(run)), []).append(run)
    arms = [Arm(_label(group[0]), group) for group in groups.values()]
    labels = [arm.label for arm in arms]
    for arm in arms:
        if labels.count(arm.label) > 1:
            arm.label = f"{arm.label} ({arm.runs[0].work_dir.name})"
    return arms


def describe(arm: Arm) -> None:
    """Build the arm's model without weights and note its parameters; what fails is named in ``missing``."""
    from .model_description import describe_model

    run = arm.runs[0]
    if run.config is None:
        return
    try:
        arm.description = describe_model(run.config)
    except Exception as error:  # foreign models may not build on meta tensors; the report goes on without
        run.missing.append(f"parameters and FLOPs ({type(error).__name__}: {str(error).splitlines()[0][:120]})")


def mean_and_spread(values: list[float]) -> tuple[float, float | None] | None:
    """Mean and sample standard deviation (None below two values); None for no values."""
    if not values:
        return None
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else None


def _label(run: RunRecord) -> str:
    fraction = run.config.get("fraction") if run.config is not None else None
    return f"{run.name}, {fraction:.0%} of the data" if fraction not in (None, 1, 1.0) else run.name


def _essence(run: RunRecord) -> str:
    """The config without what may differ between seeds, as text."""
    if run.config is None:
        return re.sub(rf"^({'|'.join(_PLACES)})\b.*$", "", run.config_text, flags=re.M)
    kept = {key: value for key, value in run.config.to_dict().items() if key not in _PLACES}
    return repr(sorted(kept.items(), key=lambda item: item[0]))
