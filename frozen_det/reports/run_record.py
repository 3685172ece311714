"""What a work directory tells about its run: numbers, curves, proof, pictures, environment. Read-only.

A part that is not there stays None or empty and is named in ``RunRecord.missing``; nothing is guessed. Runs that
were resumed are joined: where a later run repeats steps of an earlier one, the later run's count. It refuses a
folder in which no run ever logged anything.
"""

import json
import re
import statistics
from dataclasses import dataclass, field
from pathlib import Path

from ..config.classifiers import is_classifier
from ..datasets.samplers.data_fraction import fraction_of
from ..errors import InputError
from ..weights.reading.recorded_config import read_recorded

# Facts of mmengine's log worth a line in a report; the compiler flags are not.
ENVIRONMENT_KEYS = (
    "sys.platform",
    "Python",
    "PyTorch",
    "TorchVision",
    "MMEngine",
    "CUDA available",
    "GPU 0",
    "Distributed training",
    "seed",
)
_NO_METRICS = ("time", "data_time", "step", "iter", "epoch", "memory")


@dataclass
class RunRecord:
    """One work directory.

    Attributes:
        work_dir: its path.
        name: of the config.
        train: one dict per logged training step: iter, epoch, lr, loss, loss_*, time (s per step), memory (MiB).
        validations: one dict per validation: iter, epoch, and the metrics by full name (``coco/bbox_mAP``).
        evaluations: records of the metric with all digits, by class, in the order of training; the test's last.
        proof: ``frozen_proof.json``, or None.
        pictures: ``index.json`` of the newest pictures with ``folder``, or None.
        environment: short facts from the log.
        config: mmengine's Config, or None; config_text: as written.
        stages: name and seconds of each stage, from ``stages.json``.
        missing: what was looked for and not found, in words.
        title: what a page calls it; the work directory's name, or more of its path where names repeat.
    """

    work_dir: Path
    name: str
    train: list[dict] = field(default_factory=list)
    validations: list[dict] = field(default_factory=list)
    evaluations: list[dict] = field(default_factory=list)
    proof: dict | None = None
    pictures: dict | None = None
    environment: dict[str, str] = field(default_factory=dict)
    config: object = None
    config_text: str = ""
    stages: list[dict] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    title: str = ""

    def __post_init__(self):
        self.title = self.title or self.work_dir.name

    @property
    def is_classification(self) -> bool:
        """Whether the run trained a classifier; False where the config is not known."""
        return self.config is not None and is_classifier(self.config.get("model"))

    @property
    def seed(self) -> int | None:
        """Run seed, from the config or the log."""
        seed = (self.config.get("randomness") or {}).get("seed") if self.config is not None else None
        logged = self.environment.get("seed")
        return seed if seed is not None else int(logged) if logged and logged.isdigit() else None

    @property
    def share(self) -> float | None:
        """Share of the training images in (0, 1]; None where the config is not known."""
        if self.config is None:
            return None
        fraction = fraction_of(self.config)
        return fraction["share"] if fraction else 1.0

    @property
    def unfinished(self) -> str | None:
        """'epoch 4 of 12' for a run that has not reached its end; None for one that has, or whose end is not known."""
        loop = (self.config.get("train_cfg") or {}) if self.config is not None else {}
        for unit, key in (("epoch", "max_epochs"), ("iter", "max_iters")):
            if loop.get(key) and self.train:
                # The last steps of a run may not be logged: within an epoch, a logged stretch counts as the whole.
                at = self.train[-1].get(unit) or 0
                if unit == "iter":
                    at += _stretch(self)
                word = "epoch" if unit == "epoch" else "iteration"
                return f"{word} {self.train[-1].get(unit)} of {loop[key]}" if at < loop[key] else None
        return None

    def main_metric(self, kind: str = "bbox") -> str | None:
        """Full name of a detector's headline number (``coco/bbox_mAP`` or ``lvis/bbox_AP``)."""
        names = [name for one in self.validations for name in one]
        return next((name for name in names if re.fullmatch(rf"[^/]+/{kind}_m?AP", name)), None)

    def last(self, metric: str) -> float | None:
        """The metric at the last validation that has it."""
        return next((one[metric] for one in reversed(self.validations) if metric in one), None)

    def best(self, metric: str) -> dict | None:
        """The validation at which the metric was highest."""
        having = [one for one in self.validations if metric in one]
        return max(having, key=lambda one: one[metric]) if having else None

    def tested(self) -> dict[str, float]:
        """The test's numbers by full name, from its record or ``test.json``; empty where no test was run."""
        last = [one for one in self.evaluations if one["stage"] == "test"][-1:]
        if not last:
            return _metrics(_json(self.work_dir / "test.json") or {})
        return {
            f"{last[0]['prefix']}/{kind}_{name}": value
            for kind, numbers in last[0]["numbers"].items()
            for name, value in numbers.items()
        }

    def numbers(self, stage: str) -> dict[str, float]:
        """Numbers by full name: ``test``, or ``val`` for those of the last validation."""
        if stage == "test":
            return self.tested()
        return _metrics(self.validations[-1] if self.validations else {})

    def classes(self, stage: str) -> dict[str, list[dict]]:
        """Kind -> rows of the class-wise table at that stage; empty where there is none."""
        return next((one["classes"] for one in reversed(self.evaluations) if one["stage"] == stage), {})

    def step_seconds(self) -> float | None:
        """Median time of a training step in seconds, the warm-up of the first logged stretch left out."""
        times = [one["time"] for one in self.train if "time" in one]
        return statistics.median(times[1:] or times) if times else None

    def training_seconds(self) -> float | None:
        """Time spent in training steps, resumed runs included."""
        total, before = 0.0, 0
        for one in self.train:
            total += one.get("time", 0.0) * max(0, one["iter"] - before)
            before = one["iter"]
        return total or None

    def peak_memory_mib(self) -> float | None:
        """Highest memory of the accelerator in MiB; None on a CPU, where it is not logged."""
        return max((one["memory"] for one in self.train if one.get("memory")), default=None)


def headline(metrics, preferred: str | None = None) -> str | None:
    """Name of the number to show for a run: ``preferred`` if it is there, a detector's box AP, a classifier's top-1
    accuracy, else the first that is no time; None where there is none."""
    names = list(metrics)
    patterns = ([re.escape(preferred)] if preferred else []) + [
        r"[^/]+/bbox_m?AP",
        r"[^/]+/segm_m?AP",
        r"accuracy/top1",
        r"([^/]+/)?top1",
        r"[^/]+/.*",
    ]
    return next((name for pattern in patterns for name in names if re.fullmatch(pattern, name)), None)


def metric_word(name: str) -> str:
    """What a line calls a metric: 'AP' for ``coco/bbox_mAP``, else the part behind the slash."""
    return "AP" if re.fullmatch(r"[^/]+/bbox_m?AP", name) else name.rpartition("/")[2]


def read_run(work_dir) -> RunRecord:
    """Read one work directory.

    Raises:
        InputError: no such folder, or no run in it.
    """
    work_dir = Path(work_dir)
    if not work_dir.is_dir():
        raise InputError(f"expected a work directory, got {work_dir}, which does not exist (report WORK_DIR)")
    runs = sorted(path.parent.parent for path in work_dir.glob("*/vis_data/config.py"))
    training = [run for run in runs if _lines(run / "vis_data" / "scalars.json")]
    if not runs:
        raise InputError(
            f"expected the work directory of a run, got {work_dir}, which has no */vis_data/config.py "
            "(report WORK_DIR); train first, or give the folder above the one with a date"
        )
    newest = (training or runs)[-1]
    record = RunRecord(work_dir, name=work_dir.name)
    record.train, record.validations = joined_scalars([_lines(run / "vis_data" / "scalars.json") for run in training])
    record.evaluations = _evaluations(record)
    record.environment = _environment(newest)
    record.config_text = (newest / "vis_data" / "config.py").read_text(encoding="utf-8")
    record.config = _config(newest / "vis_data" / "config.py", record)
    copied = [path.stem for path in work_dir.glob("*.py")]
    record.name = copied[0] if len(copied) == 1 else work_dir.name
    record.proof = _json(work_dir / "frozen_proof.json")
    record.stages = _json(work_dir / "stages.json") or []
    record.pictures = newest_pictures(work_dir)
    looked_for = [
        ("training steps (scalars.json)", record.train),
        ("the environment (*.log)", record.environment),
    ]
    if _is_validated(record):
        looked_for.append(("validations (scalars.json)", record.validations))
    if not record.is_classification:
        looked_for += [
            (words, found)
            for words, found, is_expected in (
                ("the frozen proof (frozen_proof.json)", record.proof, _has_hook(record, "FrozenProofHook")),
                ("numbers by class (evaluation/*.json)", record.evaluations, _has_own_metric(record)),
                ("pictures (pictures/)", record.pictures, _has_hook(record, "ValidationPicturesHook")),
            )
            if is_expected
        ]
    record.missing += [text for text, found in looked_for if not found]
    return record


def _is_validated(record: RunRecord) -> bool:
    """Whether the config validates; where it is not known, yes."""
    return record.config is None or bool(record.config.get("val_evaluator"))


def _has_hook(record: RunRecord, name: str) -> bool:
    """Whether the config has a hook, so that what it writes is expected."""
    hooks = (record.config.get("custom_hooks") or []) if record.config is not None else []
    return any(str(one.get("type", "")).rpartition(".")[2] == name for one in hooks if isinstance(one, dict))


def _has_own_metric(record: RunRecord) -> bool:
    """Whether a metric of this package writes numbers by class at validations, and there was one."""
    found = (record.config.get("val_evaluator") or []) if record.config is not None else []
    found = [found] if isinstance(found, dict) else found
    own = any(str(one.get("type", "")).startswith("frozen_det.") for one in found if isinstance(one, dict))
    return own and bool(record.validations)


def joined_scalars(runs: list[list[dict]]) -> tuple[list[dict], list[dict]]:
    """Join the scalars of runs in the order of time. Returns training steps and validations.

    A run that starts at step s replaces what earlier runs logged from s on: it was resumed from before there, or
    started anew.
    """
    train: list[dict] = []
    validations: list[dict] = []
    for lines in runs:
        steps = [line["iter"] for line in lines if "loss" in line and "iter" in line]
        if steps:
            train = [one for one in train if one["iter"] < steps[0]]
            validations = [one for one in validations if one["iter"] < steps[0]]
        at = {"iter": train[-1]["iter"] if train else 0, "epoch": train[-1].get("epoch") if train else None}
        for line in lines:
            if "loss" in line and "iter" in line:
                train.append(line)
                at = {"iter": line["iter"], "epoch": line.get("epoch")}
            elif _metrics(line):
                validations.append({**line, **at})
    return train, validations


def _metrics(line: dict) -> dict[str, float]:
    """The metrics among the numbers of a logged line or a result file: names with a slash; all but times and steps
    where a classifier's plain ``top1`` is among them."""
    plain = "top1" in line and "lr" not in line
    return {name: value for name, value in line.items() if "/" in name or (plain and name not in _NO_METRICS)}


def newest_pictures(work_dir: Path) -> dict | None:
    """The index of the newest folder of validation pictures, with its ``folder``."""
    found = []
    for path in Path(work_dir, "pictures").glob("*/index*.json"):
        index = _json(path)
        found.append((index.get("iter", 0), path.parent.name, {**index, "folder": path.parent}))
    if not found:
        return None
    newest = max(found, key=lambda one: one[:2])
    others = [index for at, name, index in found if name == newest[1]]  # one index per process of a run
    pictures = sorted((one for index in others for one in index["pictures"]), key=lambda one: one["file"])
    return {**newest[2], "pictures": pictures}


def _lines(path: Path) -> list[dict]:
    """The JSON lines of a file; a last line that a kill cut short is left out."""
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def _json(path: Path):
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _evaluations(record: RunRecord) -> list[dict]:
    """Evaluation records of all runs: those of validations that still count, then those of tests."""
    found: dict = {}
    # A test in the process that trained has no vis_data of its own, so all dated folders are looked through.
    for path in sorted(record.work_dir.glob("*/evaluation/*.json")):
        one = _json(path)
        found[one["stage"], one["iter"] if one["stage"] == "val" else 0] = one  # a later run's replaces
    end = max((one["iter"] for one in record.train), default=float("inf")) + _stretch(record)
    still_count = [one for one in found.values() if one["stage"] == "test" or (one["iter"] or 0) <= end]
    return sorted(still_count, key=lambda one: (one["stage"] == "test", one["iter"] or 0))


def _stretch(record: RunRecord) -> int:
    """Steps between two logged lines: a validation may come that much after the last one."""
    steps = [one["iter"] for one in record.train]
    return max((b - a for a, b in zip(steps, steps[1:])), default=steps[0] if steps else 0)


def _environment(run: Path) -> dict[str, str]:
    """``key: value`` lines of the newest log's head that are in ENVIRONMENT_KEYS."""
    logs = sorted(run.glob("*.log"))
    facts = {}
    if logs:
        head = logs[-1].read_text(encoding="utf-8", errors="replace")[:20_000].split("Config:")[0]
        for line in head.splitlines():
            key, colon, value = line.strip().partition(": ")
            if colon and key in ENVIRONMENT_KEYS:
                facts[key] = re.sub(r"\s*\(main.*", "", value)
    return facts


def _config(path: Path, record: RunRecord):
    try:
        return read_recorded(path)
    except InputError as error:  # the report goes on without what needs the config
        record.missing.append(f"the config ({error})")
        return None
