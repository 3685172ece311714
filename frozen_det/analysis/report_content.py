"""What a report says, block by block, from one work directory or from many side by side.

Numbers come from files only; what is not there is shown as a dash and listed at the end. AP is in percent with one
decimal, as papers print it; all digits stay in the JSON files that the report names.
"""

from .plots import COLORS, Curve, Plot, draw_svg
from .report_blocks import MISSING, Figure, KeyFigures, Page, Section, Table, Text
from .report_evidence import footer, missing, own_data, pictures, proof, what_ran
from .report_words import duration, millions, percent
from .run_arms import Arm, describe, group_arms, mean_and_spread
from .run_record import RunRecord

KIND_WORDS = {"bbox": "box", "segm": "mask"}
AP_COLUMNS = {"AP": ("mAP", "AP"), "AP50": ("mAP_50", "AP50"), "AP75": ("mAP_75", "AP75"),
              "small": ("mAP_s", "APs"), "medium": ("mAP_m", "APm"), "large": ("mAP_l", "APl"),
              "rare": ("APr",), "common": ("APc",), "frequent": ("APf",)}
AR_COLUMNS = {"AR 1": ("AR@1",), "AR 10": ("AR@10",), "AR 100": ("AR@100",), "AR 300": ("AR@300",),
              "small": ("AR_s@100", "ARs@300"), "medium": ("AR_m@100", "ARm@300"), "large": ("AR_l@100", "ARl@300")}
MAX_CLASSES = 120
NUM_EXTREMES = 15


def page_of_one(run: RunRecord) -> Page:
    """The report of a single run."""
    arm = Arm(run.name, [run])
    describe(arm)
    sections = [Section("Results", _results(run, arm)), Section("Training", _curves([arm])),
                Section("By class", _by_class([arm])), Section("Ground truth and predictions", pictures(run)),
                Section("The backbone stayed frozen", proof([run])), Section("What ran", what_ran([run])),
                Section("The same on your own data", own_data()), Section("Not found", missing([run]))]
    return Page(run.name, _sentence(run, arm), [section for section in sections if section.blocks], footer())


def page_of_many(runs: list[RunRecord]) -> Page:
    """The report of several runs, arm by arm."""
    arms = group_arms(runs)
    for arm in arms:
        describe(arm)
    of_arms = [block for arm in arms for block in pictures(arm.runs[0], arm.label, limit=4)]
    sections = [Section("Side by side", _side_by_side(arms)), Section("Training", _curves(arms)),
                Section("By class", _by_class(arms)), Section("Ground truth and predictions", of_arms),
                Section("What stayed frozen", proof(runs)), Section("What ran", what_ran(runs)),
                Section("The same on your own data", own_data()), Section("Not found", missing(runs))]
    title = f"{len(arms)} arms, {len(runs)} runs" if len(arms) > 1 else f"{arms[0].label}, {len(runs)} runs"
    return Page(title, "Side by side: " + ", ".join(arm.label for arm in arms) + ".",
                [section for section in sections if section.blocks], footer())


# -- results ------------------------------------------------------------------------------------------------------


def _sentence(run: RunRecord, arm: Arm) -> str:
    metric = run.main_metric()
    parts = []
    if metric:
        at = run.validations[-1]
        when = f"epoch {at['epoch']}" if at.get("epoch") else f"iteration {at['iter']}"
        parts.append(f"Box AP {percent(run.last(metric))} after {when}")
    if run.proof:
        moved = [check for check in run.proof["checks"] if not check["unchanged"]]
        count = sum(module["num_params"] for module in run.proof["modules"])
        parts.append(f"a frozen tensor moved: {moved[0].get('moved', '')}" if moved else
                     f"{millions(count)} M parameters stayed frozen, bit for bit")
    if arm.description is not None:
        parts.append(f"{100 * arm.description.trainable_share:.0f} % of the model trained")
    return "; ".join(parts) + "." if parts else ""


def _results(run: RunRecord, arm: Arm) -> list:
    metric = run.main_metric()
    if metric is None:
        return [Text("No validation was logged yet.")]
    figures = [(percent(run.last(metric)), "box AP"), (percent(run.last(_at_iou(metric, 50))), "box AP50")]
    if arm.description is not None:
        figures.append((f"{millions(arm.description.trainable_params)} M",
                        f"of {millions(arm.description.total_params)} M parameters trained"))
    if run.training_seconds():
        figures.append((duration(run.training_seconds()), "of training steps"))
    blocks = [KeyFigures(figures)]
    for columns, caption in ((AP_COLUMNS, "Average precision in percent, over IoU 0.50 to 0.95 unless a threshold "
                              "stands behind it; small, medium and large objects are up to 32² px, up to 96² px and "
                              "beyond."),
                             (AR_COLUMNS, "Average recall in percent, by the number of detections allowed per image, "
                              "and by size.")):
        table = _numbers_table(run, columns, caption)
        if table:
            blocks.append(table)
    return blocks


def _numbers_table(run: RunRecord, columns: dict, caption: str) -> Table | None:
    """Rows: each kind at the last and the best validation, and the test."""
    metric = run.main_metric()
    prefix = metric.split("/")[0]
    kinds = [kind for kind in KIND_WORDS if run.main_metric(kind)]
    rows = []
    for kind in kinds:
        best, last = run.best(run.main_metric(kind)), run.validations[-1]
        candidates = [(f"{KIND_WORDS[kind]}, last ({_moment(last)})", last)]
        if best is not last:
            candidates.append((f"{KIND_WORDS[kind]}, best ({_moment(best)})", best))
        candidates += [(f"{KIND_WORDS[kind]}, test", {f"{prefix}/{kind}_{name}": value for name, value in
                                                      one["numbers"].get(kind, {}).items()})
                       for one in run.evaluations if one["stage"] == "test"]
        rows += [[label, *(_first(values, [f"{prefix}/{kind}_{name}" for name in names])
                           for names in columns.values())] for label, values in candidates]
    used = [column for column in range(1, len(columns) + 1) if any(row[column] is not None for row in rows)]
    if not used:
        return None
    header = list(columns)
    return Table([""] + [header[column - 1] for column in used],
                 [[row[0], *(percent(row[column]) for column in used)] for row in rows], caption)


def _moment(validation: dict) -> str:
    return f"epoch {validation['epoch']}" if validation.get("epoch") else f"iteration {validation['iter']}"


def _first(values: dict, names: list[str]):
    return next((values[name] for name in names if name in values), None)


# -- arms ---------------------------------------------------------------------------------------------------------


def _side_by_side(arms: list[Arm]) -> list:
    kinds = [kind for kind in KIND_WORDS if any(run.main_metric(kind) for arm in arms for run in arm.runs)]
    blocks = []
    for kind in kinds:
        columns = [name for name, keys in AP_COLUMNS.items()
                   if any(_number(run, kind, keys) is not None for arm in arms for run in arm.runs)]
        values = [[mean_and_spread([value for run in arm.runs
                                    if (value := _number(run, kind, AP_COLUMNS[name])) is not None])
                   for name in columns] for arm in arms]
        best = {(max((row for row in range(len(arms)) if values[row][column]),
                     key=lambda row: values[row][column][0]), column + 2)
                for column in range(len(columns)) if len(arms) > 1 and any(row[column] for row in values)}
        blocks.append(Table(
            ["arm", "seeds", *columns],
            [[arm.label, arm.seeds, *(_spread(value) for value in row)] for arm, row in zip(arms, values)],
            f"{KIND_WORDS[kind].capitalize()} AP in percent at the last validation: mean ± sample standard deviation "
            "over seeds. The best mean of a column is bold.", num_left=2, best=best))
    blocks.append(Table(
        ["arm", "parameters M", "trained M", "trained %", "step GFLOPs", "step s", "peak GiB", "training"],
        [_cost_row(arm) for arm in arms],
        "What an arm costs: FLOPs of a training step on one image, median time of a step, peak memory of the "
        "accelerator (not logged on a CPU), time in training steps."))
    return blocks


def _number(run: RunRecord, kind: str, names) -> float | None:
    metric = run.main_metric(kind)
    if metric is None:
        return None
    value = _first(run.validations[-1], [f"{metric.split('/')[0]}/{kind}_{name}" for name in names])
    return None if value == -1 else value


def _spread(value) -> str:
    if value is None:
        return MISSING
    mean, spread = value
    return percent(mean) if spread is None else f"{percent(mean)} ± {percent(spread)}"


def _cost_row(arm: Arm) -> list[str]:
    d = arm.description
    sizes = [MISSING] * 4 if d is None else [millions(d.total_params), millions(d.trainable_params),
                                             f"{100 * d.trainable_share:.0f}", f"{d.training_step_flops / 1e9:.1f}"]
    step = mean_and_spread(arm.values(RunRecord.step_seconds))
    memory = max(arm.values(RunRecord.peak_memory_mib), default=None)
    training = mean_and_spread(arm.values(RunRecord.training_seconds))
    return [arm.label, *sizes, MISSING if step is None else f"{step[0]:.2f}",
            MISSING if memory is None else f"{memory / 1024:.1f}",
            MISSING if training is None else duration(training[0])]


# -- curves and classes -------------------------------------------------------------------------------------------


def _curves(arms: list[Arm]) -> list:
    alone = len(arms) == 1 and len(arms[0].runs) == 1
    loss, scores = _curves_of_one(arms[0].runs[0]) if alone else _curves_of_many(arms)
    figures = []
    if any(curve.x for curve in loss):
        figures.append(Figure(draw_svg(Plot(loss, "iteration", "loss", y_from_zero=True), "loss"),
                              "Training loss; its parts are dashed." if alone else "Training loss.", "loss"))
    if any(curve.x for curve in scores):
        figures.append(Figure(draw_svg(Plot(scores, "iteration", "AP, percent", y_from_zero=True), "ap"),
                              "Average precision at each validation.", "ap"))
    return figures


def _curves_of_one(run: RunRecord) -> tuple[list[Curve], list[Curve]]:
    """The loss with its parts; AP, AP50, AP75 and mask AP."""
    losses = [name for name in run.train[-1] if name.startswith("loss")] if run.train else []
    loss = [Curve(name.replace("loss_", "").replace("_", " "), *_points(run.train, name), dashed=name != "loss")
            for name in losses]
    metric = run.main_metric()
    names = [metric, *(_at_iou(metric, iou) for iou in (50, 75)), run.main_metric("segm")] if metric else []
    return loss, [Curve(_short(name), *_points(run.validations, name, 100), marks=True) for name in names if name]


def _curves_of_many(arms: list[Arm]) -> tuple[list[Curve], list[Curve]]:
    """One loss and one AP curve for each run, in its arm's colour; the arm is named once."""
    loss, scores = [], []
    for number, arm in enumerate(arms):
        for place, run in enumerate(arm.runs):
            label, color = arm.label if place == 0 else "_", COLORS[number % len(COLORS)]
            loss.append(Curve(label, *_points(run.train, "loss"), color=color))
            scores.append(Curve(label, *_points(run.validations, run.main_metric(), 100), marks=True, color=color))
    return loss, scores


def _at_iou(metric: str, iou: int) -> str:
    """``coco/bbox_mAP`` -> ``coco/bbox_mAP_50``; ``lvis/bbox_AP`` -> ``lvis/bbox_AP50``."""
    return f"{metric}_{iou}" if metric.endswith("mAP") else f"{metric}{iou}"


def _points(lines: list[dict], name: str | None, factor: float = 1.0) -> tuple[list[float], list[float]]:
    having = [one for one in lines if name in one and one[name] != -1]
    return [one["iter"] for one in having], [factor * one[name] for one in having]


def _short(metric: str) -> str:
    kind, name = metric.split("/")[1].split("_", 1)
    return f"{KIND_WORDS[kind]} {name.replace('mAP', 'AP').replace('_', '')}"


def _by_class(arms: list[Arm]) -> list:
    """Class-wise numbers at the last validation: all columns for one run, AP of each arm for several."""
    blocks = []
    for kind, word in KIND_WORDS.items():
        tables = [[one["classes"][kind] for run in arm.runs for one in _last_evaluation(run)
                   if kind in one["classes"]] for arm in arms]
        if not any(tables):
            continue
        if len(arms) == 1 and len(tables[0]) == 1:
            columns = [name for name in tables[0][0][0] if name not in ("name", "id", "frequency")]
            rows = [[row["name"], *(percent(row[column]) for column in columns)] for row in tables[0][0]]
        else:
            columns = [arm.label for arm in arms]
            rows = [[row["name"], *(_spread(mean_and_spread([
                table[place]["AP"] for table in of_arm if table[place]["AP"] != -1])) for of_arm in tables)]
                    for place, row in enumerate(next(of_arm[0] for of_arm in tables if of_arm))]
        caption = f"{word.capitalize()} numbers of each class in percent, last validation; a dash where the " \
                  "validation set holds no such object."
        if len(rows) > MAX_CLASSES:
            ranked = sorted((row for row in rows if row[1] != MISSING), key=lambda row: float(row[1].split(" ")[0]))
            caption += f" Of {len(rows)} classes the {NUM_EXTREMES} best and the {NUM_EXTREMES} worst are shown."
            rows = ranked[::-1][:NUM_EXTREMES] + ranked[:NUM_EXTREMES][::-1]
            blocks.append(Table(["class", *columns], rows, caption, rule_before=[NUM_EXTREMES]))
        else:
            blocks.append(Table(["class", *columns], rows, caption))
    return blocks


def _last_evaluation(run: RunRecord) -> list[dict]:
    return [one for one in run.evaluations if one["stage"] == "val"][-1:]
