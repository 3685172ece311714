"""What a recipe costs, how much was tried, and how architectures stand under each other's recipes.

An architecture is read from the config's backbone, a recipe from the config's name (``ARCHITECTURE_RECIPE_DATA``).
"""

from ..pages.blocks import MISSING, Figure, Table, Text
from ..pages.plots import draw_bars_svg
from ..pages.words import counted, duration, millions
from .classifier_runs import architecture, class_accuracies, final, host_memory_mib, recipe, settings_tried
from .groups import RunGroup, mean_and_spread, share_words, spread_words
from .run_record import RunRecord
from .sections import Facts, section
from .seed_noise import STAGE_WORDS

MAX_CLASSES = 120
NUM_EXTREMES = 15
WARNING = (
    "An order of architectures under one recipe is not their order: the recipe was tuned on one of them, and "
    "another recipe can turn it (in arXiv 2110.00476 a ResNet-50 is ahead of DeiT-S under its recipe A2 and "
    "behind under T2)."
)


def what_they_are(groups: list[RunGroup]) -> Table:
    """Architecture, recipe, data, schedule and batch of each group."""
    rows = [
        [
            group.label,
            architecture(group),
            recipe(group),
            share_words(group.runs[0].share or 1.0),
            *_schedule(group),
            group.runs[0].name,
        ]
        for group in groups
    ]
    header = ["group", "architecture", "recipe", "training data", "epochs", "images an update", "config"]
    varied = [column for column in range(1, 6) if len({row[column] for row in rows}) > 1 or len(groups) == 1]
    same = [f"{header[column]} {rows[0][column]}" for column in range(1, 6) if column not in varied and rows[0][column]]
    # What a label says already needs no column.
    keep = [0, *(column for column in varied if any(row[column] not in row[0] for row in rows)), 6]
    return Table(
        [header[column] for column in keep],
        [[row[column] for column in keep] for row in rows],
        f"The same for all groups: {', '.join(same)}." if same else "What was trained.",
        num_left=len(keep),
    )


def _schedule(group: RunGroup) -> list[str]:
    cfg = group.runs[0].config
    loop, loader = cfg.get("train_cfg") or {}, cfg.get("train_dataloader") or {}
    batch = loader.get("batch_size", 0) * cfg.get("accumulate", 1)
    epochs = loop.get("max_epochs")
    return [str(epochs) if epochs else f"{loop.get('max_iters', '')} iterations", str(batch or MISSING)]


def costs(groups: list[RunGroup]) -> list:
    """Time and memory of each group, and the number of settings tried."""
    rows = []
    for group in groups:
        step, training = (
            mean_and_spread(group.values(of)) for of in (RunRecord.step_seconds, RunRecord.training_seconds)
        )
        device, host = (max(group.values(of), default=None) for of in (RunRecord.peak_memory_mib, host_memory_mib))
        size = group.description
        rows.append(
            [
                group.label,
                MISSING if size is None else millions(size.total_params),
                MISSING if step is None else f"{step[0]:.3f}",
                MISSING if training is None else duration(training[0]),
                MISSING if device is None else f"{device / 1024:.2f}",
                MISSING if host is None else f"{host / 1024:.2f}",
            ]
        )
    table = Table(
        ["group", "parameters M", "step s", "training of a run", "GPU peak GiB", "host peak GiB"],
        rows,
        "Median time of a step and mean time in training steps over seeds; runs that shared a machine with "
        "others took longer than they would alone. Peak memory of the GPU (not logged on a CPU), and of the "
        "training process.",
    )
    runs = [run for group in groups for run in group.runs]
    seconds = sum(filter(None, (run.training_seconds() for run in runs)))
    tried = max(settings_tried(runs), len({(run.name, _settings(run)) for run in runs}))
    shown = f" (on this page: {counted(len(groups), 'group')} of runs)" if tried != len(groups) else ""
    words = (
        f"{counted(tried, 'configuration')} {'was' if tried == 1 else 'were'} tried{shown}, in "
        f"{counted(len(runs), 'run')} and {duration(seconds)} of training steps. The more are tried, the likelier "
        "one is ahead by luck."
    )
    return [table, Text(words)]


def _settings(run: RunRecord) -> str:
    model = (run.config.get("model"), run.config.get("optim_wrapper"), run.config.get("train_cfg"))
    return repr(model)


def grid(groups: list[RunGroup], stage: str) -> list:
    """Architectures (rows) under recipes (columns); a warning alone where architectures share too few recipes."""
    found: dict[str, dict[str, list[RunGroup]]] = {}
    for group in groups:
        if (group.runs[0].share or 1.0) == max(one.runs[0].share or 1.0 for one in groups):
            found.setdefault(architecture(group), {}).setdefault(recipe(group), []).append(group)
    if len(found) < 2:
        return []
    recipes = list(dict.fromkeys(name for row in found.values() for name in row))
    shared = [name for name in recipes if sum(name in row for row in found.values()) > 1]
    twice = any(len(cell) > 1 for row in found.values() for cell in row.values())
    if twice or len(shared) < 2:
        reason = (
            "several groups stand for one architecture and recipe"
            if twice
            else f"the architectures here share {counted(len(shared), 'recipe')}"
        )
        return [Text(f"{WARNING} No table of one against the other is drawn, as {reason}.")]
    values = [[_mean(row.get(name), stage) for name in recipes] for row in found.values()]
    cells = [[spread_words(value, 2) for value in row] for row in values]
    best = set()
    for column in range(len(recipes)):
        having = [row for row in range(len(values)) if values[row][column]]
        if len(having) > 1:
            best.add((max(having, key=lambda row: values[row][column][0]), column + 1))
    return [
        Text(f"{WARNING} {_order_words(list(found), shared, found, stage)}"),
        Table(
            ["architecture", *recipes],
            [[name, *row] for name, row in zip(found, cells)],
            f"Top-1 in percent of the final checkpoint {STAGE_WORDS[stage]}, mean ± sample standard deviation "
            "over seeds; the best architecture under each recipe is bold, distinguishable or not.",
            best=best,
        ),
    ]


def _order_words(names: list[str], shared: list[str], found: dict, stage: str) -> str:
    leaders = {}
    for column in shared:
        having = {name: _mean(found[name].get(column), stage) for name in names}
        having = {name: value[0] for name, value in having.items() if value}
        if len(having) > 1:
            leaders[column] = max(having, key=having.get)
    if len(set(leaders.values())) > 1:
        told = ", ".join(f"{name} under {column}" for column, name in leaders.items())
        return f"Here it does turn: ahead are {told}. No order of these architectures follows."
    if leaders:
        return (
            f"Here {next(iter(leaders.values()))} is ahead under {counted(len(leaders), 'shared recipe')}; that is "
            "said of these recipes alone."
        )
    return ""


def _mean(cell: list[RunGroup] | None, stage: str):
    return mean_and_spread(cell[0].values(lambda run: final(run, stage))) if cell else None


# -- class by class -------------------------------------------------------------------------------------------------


def by_class(groups: list[RunGroup], baseline: RunGroup, stage: str) -> list:
    """Accuracy of every class, and the classes that one group gains and loses against the baseline."""
    means = [_class_means(group, stage) for group in groups]
    names = list(dict.fromkeys(name for of_group in means for name in of_group))
    if not names:
        return []
    rows = [[name, *(spread_words(of_group.get(name), 1) for of_group in means)] for name in names]
    caption = f"Accuracy of each class in percent {STAGE_WORDS[stage]}, mean ± sample standard deviation over seeds."
    rules: list[int] = []
    if len(rows) > MAX_CLASSES:
        reference = means[groups.index(baseline)]
        ranked = sorted((row for row in rows if row[0] in reference), key=lambda row: reference[row[0]][0])
        caption += (
            f" Of {len(rows)} classes the {NUM_EXTREMES} best and the {NUM_EXTREMES} worst of "
            f"{baseline.label} are shown."
        )
        rows, rules = ranked[::-1][:NUM_EXTREMES] + ranked[:NUM_EXTREMES][::-1], [NUM_EXTREMES]
    blocks = [Table(["class", *(group.label for group in groups)], rows, caption, rule_before=rules)]
    return blocks + _differences(groups, means, baseline)


def _differences(groups: list[RunGroup], means: list[dict], baseline: RunGroup) -> list[Figure]:
    figures = []
    reference = means[groups.index(baseline)]
    for place, (group, of_group) in enumerate(zip(groups, means)):
        found = sorted(
            ((name, of_group[name][0] - reference[name][0]) for name in of_group if name in reference),
            key=lambda one: -one[1],
        )
        if group is baseline or not found or len(figures) == 4:
            continue
        note = ""
        if len(found) > 2 * NUM_EXTREMES:
            note = f" Of {len(found)} classes the {NUM_EXTREMES} at each end."
            found = found[:NUM_EXTREMES] + found[-NUM_EXTREMES:]
        name = f"classes-{place}"
        figures.append(
            Figure(
                draw_bars_svg(found, "difference of accuracy, points", name),
                f"{group.label} − {baseline.label}, class by class, means over seeds.{note}",
                name,
            )
        )
    return figures


def _class_means(group: RunGroup, stage: str) -> dict[str, tuple[float, float | None]]:
    values: dict[str, list[float]] = {}
    for run in group.runs:
        for name, value in class_accuracies(run, stage).items():
            values.setdefault(name, []).append(value)
    return {name: mean_and_spread(found) for name, found in values.items()}


@section("Architectures under each other's recipes", 40, "classifiers")
def _grid(facts: Facts) -> list:
    return grid(facts.groups, facts.stage)


@section("What it cost", 80, "classifiers")
def _costs(facts: Facts) -> list:
    return costs(facts.groups)


@section("By class", 90, "classifiers")
def _by_class(facts: Facts) -> list:
    return by_class(facts.groups, facts.baseline, facts.stage)
