"""What a report shows besides numbers: pictures, the frozen proof, environment, times, config, the way on."""

from collections import Counter

from ..pages.blocks import MISSING, Code, Pair, Pairs, Table, Text
from ..pages.words import counted, duration, millions
from .run_record import RunRecord
from .sections import Facts, section

NUM_PICTURES = 4  # of each group, in a comparison
MAX_GROUPS_WITH_PICTURES = 6


def pictures(run: RunRecord, label: str = "", limit: int | None = None) -> list:
    if not run.pictures:
        return []
    threshold = run.pictures["score_threshold"]
    pairs = [
        Pair(
            run.pictures["folder"] / one["file"],
            f"{one['image']}: {counted(one['num_objects'], 'object')}, {counted(one['num_predictions'], 'prediction')}",
        )
        for one in run.pictures["pictures"][:limit]
    ]
    when = f"epoch {run.pictures['epoch']}" if run.pictures.get("epoch") else f"iteration {run.pictures['iter']}"
    what = f"{label}: " if label else "The same images at each validation: "
    return [
        Text(f"{what}after {when}, predictions with a score from {threshold:g} on."),
        Pairs(pairs, "ground truth", "predictions"),
    ]


def proof(runs: list[RunRecord]) -> list:
    rows, notes = [], []
    for run in runs:
        if not run.proof:
            continue
        checks = run.proof["checks"]
        moved = [check for check in checks if not check["unchanged"]]
        verdict = f"MOVED at iteration {moved[0]['iter']}" if moved else "unchanged ✓"
        for module in run.proof["modules"]:
            rows.append(
                [
                    *([run.title] if len(runs) > 1 else []),
                    module["name"],
                    module.get("source") or MISSING,
                    (module["digest"] or "")[:12],
                    verdict,
                    millions(module["num_params"]),
                    str(module["num_buffers"]),
                    str(len(checks)),
                ]
            )
        notes += [f"{run.title}: {check['moved']} moved ({check['when']})" for check in moved if check.get("moved")]
    if not rows:
        return [Text("No proof was written: the run had no frozen_det.FrozenProofHook, or froze nothing.")]
    head = ["module", "weights", "SHA-256", "verdict", "parameters M", "buffers", "checks"]
    header = ["run", *head] if len(runs) > 1 else head
    table = Table(
        header,
        rows,
        "Every frozen parameter and buffer is hashed when training starts and compared bit by "
        "bit before each validation, before each checkpoint and at the end.",
        num_left=len(header) - 3,
    )
    checks = [check for run in runs if run.proof for check in run.proof["checks"]]
    if len(runs) > 1:
        return [table, *(Text(note, note=True) for note in notes)]
    moments = {
        when: sum(check["when"] == when for check in checks)
        for when in dict.fromkeys(check["when"] for check in checks)
    }
    notes.append(
        "Moments: "
        + ", ".join(f"{when} ({count})" if count > 1 else when for when, count in moments.items())
        + f"; the last at iteration {checks[-1]['iter']}."
    )
    return [Text(_claim(runs[0].proof)), table, *(Text(note, note=True) for note in notes)]


def _claim(proof: dict) -> str:
    """The proof in one sentence."""
    moved = [check for check in proof["checks"] if not check["unchanged"]]
    if moved:
        return (
            f"A tensor that should have stayed frozen moved before iteration {moved[0]['iter']}. Do not use this run."
        )
    if len(proof["checks"]) == 1:
        return "The digests were taken when training started and have not been compared yet."
    parts = " and ".join(
        f"the {module['num_params']:,} frozen parameters and {module['num_buffers']} buffers of {module['name']}"
        for module in proof["modules"]
    )
    return (
        f"{parts[0].upper()}{parts[1:]} are, bit for bit, what they were when training started: compared "
        f"{counted(len(proof['checks']) - 1, 'time')}, never a difference."
    )


def what_ran(runs: list[RunRecord]) -> list:
    blocks = []
    keys = list(dict.fromkeys(key for run in runs for key in run.environment))
    if keys:
        blocks.append(
            Table(
                ["", ""],
                [[key, _of_all(key, runs)] for key in keys if key != "seed" or len(runs) == 1],
                "Environment, from the log.",
                num_left=2,
            )
        )
    for run in runs:
        stages = [[stage["name"], duration(stage["seconds"])] for stage in run.stages]
        steps = run.step_seconds()
        if run.training_seconds() and len(runs) == 1:
            stages.append(
                [f"training steps alone ({run.train[-1]['iter']} of {steps:.2f} s)", duration(run.training_seconds())]
            )
        if stages:
            blocks.append(Table(["stage", "time"], stages, f"Where the time went{_of(run, runs)}."))
        if run.config_text:
            blocks.append(Code(run.config_text.strip(), f"The whole config{_of(run, runs)}"))
    return blocks


def _of_all(key: str, runs: list[RunRecord]) -> str:
    """A fact of the environment: once where all runs share it, else each value with its number of runs."""
    counts = Counter(run.environment.get(key, "not known") for run in runs)
    if len(counts) == 1:
        return next(iter(counts))
    return "; ".join(f"{value} ({counted(count, 'run')})" for value, count in counts.most_common())


def _of(run: RunRecord, runs: list[RunRecord]) -> str:
    return f" of {run.title}" if len(runs) > 1 else ""


def own_data() -> list:
    from ..datasets.readers.folder_layout import EXPECTED_TREES

    return [
        Text(
            "Put images and annotations into one of the trees below, look at what the network will see, train, and "
            "read the report. Classes, strides and channels follow from the data and the backbone; nothing else "
            "needs to be typed."
        ),
        Code(
            "frozen-det browse custom_coco --cfg-options data_root=my/data\n"
            "frozen-det train custom_coco --cfg-options data_root=my/data\n"
            "frozen-det report work_dirs/custom_coco"
        ),
        Code(str(EXPECTED_TREES).strip(), "Trees and formats that are understood"),
    ]


def missing(runs: list[RunRecord]) -> list:
    """What was looked for in vain; runs that lack the same things share a line."""
    lacking: dict[str, list[str]] = {}
    for run in runs:
        if run.missing:
            lacking.setdefault(", ".join(dict.fromkeys(run.missing)), []).append(
                run.title if len(runs) > 1 else str(run.work_dir)
            )
    return [
        Text(f"{'all runs' if len(titles) == len(runs) > 1 else ', '.join(titles)}: {what}.", note=True)
        for what, titles in lacking.items()
    ]


def footer() -> str:
    from .. import __version__

    return f"Written by frozen_det {__version__}; one file, nothing is loaded from elsewhere."


@section("Ground truth and predictions", 40, "run")
def _pictures_of_one(facts: Facts) -> list:
    return pictures(facts.runs[0])


@section("Ground truth and predictions", 60, "runs")
def _pictures_of_each(facts: Facts) -> list:
    return [
        block
        for group in facts.groups[:MAX_GROUPS_WITH_PICTURES]
        for block in pictures(
            next((run for run in group.runs if run.pictures), group.runs[0]), group.label, NUM_PICTURES
        )
    ]


@section("The backbone stayed frozen", 60, "run")
@section("What stayed frozen", 80, "runs")
def _proof(facts: Facts) -> list:
    return proof(facts.runs)


@section("What ran", 70, "run")
@section("What ran", 90, "runs")
@section("What ran", 110, "classifiers")
def _what_ran(facts: Facts) -> list:
    return what_ran(facts.runs)


@section("The same on your own data", 80, "run")
def _own_data(facts: Facts) -> list:
    return own_data()


@section("Not found", 1000, "run")
@section("Not found", 1000, "runs")
@section("Not found", 1000, "classifiers")
def _missing(facts: Facts) -> list:
    return missing(facts.runs)
