"""The page of a Noisy Student loop: accuracy by round, what was kept of each class, confidences, agreement, pictures.

It is written from the loop's own files; a loop that does not test has no accuracies on it.
"""

import json
from pathlib import Path

import numpy as np

from ...pages.blocks import MISSING, Code, Figure, KeyFigures, Page, Picture, Section, Table, Text
from ...pages.html import html_page
from ...pages.markdown import markdown_page
from ...pages.plots import Curve, Plot, draw_svg
from ...weights.atomic_write import write_text

_CELL_PX, _MARGIN_PX, _LINE_PX = 96, 130, 18  # of the sheets of images
_MOST_CLASSES = 40  # rows of the table by class; with more, those with the most and the fewest images


def write_page(work_dir, cfg, models, rounds: list[dict], metrics: dict[str, dict[str, float]], stages) -> Path:
    """Write ``report.html`` and ``report.md``.

    Args:
        work_dir: of the loop.
        cfg: its config.
        models: teacher, students, and the one after the fix-resolution step.
        rounds: for each round `manifest` and `summary` (paths), `agreement` (of
            :func:`frozen_det.upstream.noisy_student.agreement.agreement`).
        metrics: of each model's test, by name; may be empty.
        stages: the loop's :class:`~frozen_det.engine.runner.stages.Stages`, for the times.

    Returns:
        Path of the HTML page.
    """
    work_dir = Path(work_dir)
    files = work_dir / "report_files"
    files.mkdir(parents=True, exist_ok=True)
    summaries = [json.loads(Path(one["summary"]).read_text(encoding="utf-8")) for one in rounds]
    sections = [_results(models, rounds, summaries, metrics)]
    for number, (found, summary) in enumerate(zip(rounds, summaries), start=1):
        sections.append(_round(number, found, summary, cfg.rounds[number - 1], files))
    sections.append(_how(cfg, stages))
    name = Path(cfg.filename).stem if cfg.filename else work_dir.name
    page = Page(
        f"Noisy Student: {name}",
        _subtitle(cfg, summaries),
        sections,
        footer=f"{work_dir.name}: {len(rounds)} round{'s' if len(rounds) > 1 else ''}",
    )
    out = work_dir / "report.html"
    write_text(out, html_page(page))
    write_text(out.with_suffix(".md"), markdown_page(page, files))
    return out


def _subtitle(cfg, summaries: list[dict]) -> str:
    split = cfg.get("split")
    few = f"{split.per_class} labelled images of each class, " if split else ""
    pool = sum(row["labelled"] for row in summaries[0]["per_class"]) + summaries[0]["guards"]["excluded"]
    return f"{few}a pool of {pool:,} images that decode."


def _results(models, rounds, summaries, metrics) -> Section:
    rows, points = [], []
    for place, model in enumerate(models):
        numbers = metrics.get(model.name) or {}
        found = rounds[place - 1]["agreement"] if 0 < place <= len(rounds) else None
        kept = summaries[place - 1] if found else None
        rows.append(
            [
                model.name,
                Path(model.cfg.filename).stem,
                *[f"{numbers[key]:.2f}" if key in numbers else MISSING for key in ("top1", "mean_class")],
                f"{found['agreement']:.1f}" if found else MISSING,
                f"{kept['num_rows']:,}" if kept else MISSING,
                f"{kept['num_copies']:,}" if kept else MISSING,
            ]
        )
        if "top1" in numbers:
            points.append((place, numbers["top1"]))
    table = Table(
        [
            "model",
            "config",
            "top-1, %",
            "mean of classes, %",
            "agrees with its teacher, %",
            "images kept",
            "with copies",
        ],
        rows,
        num_left=2,
        caption="Accuracy is on each model's own test data, of its last checkpoint (averaged weights where "
        "its config averages). Agreement: share of pool images, at most 2,000 drawn at random, to "
        "which the student without noise gives the class that its teacher gave.",
    )
    blocks: list = []
    if len(points) > 1:
        first, last = points[0][1], points[-1][1]
        blocks.append(
            KeyFigures(
                [
                    (f"{first:.2f}", "top-1 of the teacher, %"),
                    (f"{last:.2f}", "top-1 at the end, %"),
                    (f"{last - first:+.2f}", "points"),
                ]
            )
        )
    blocks.append(table)
    if len(points) > 1:
        svg = draw_svg(
            Plot(
                [Curve("top-1", *map(list, zip(*points)), marks=True)],
                "",
                "top-1, %",
                x_ticks=[(x, models[x].name) for x, _ in points],
            ),
            "accuracy",
        )
        blocks.append(Figure(svg, "Accuracy from model to model.", "accuracy"))
    return Section("Results", blocks)


def _balance(summary: dict) -> str:
    if summary.get("balanced") == "none":
        return "not balanced"
    small = ", small classes not repeated" if summary.get("balanced") == "cut" else ""
    return f"balanced to {summary['per_class_copies']:,} of each class{small}"


def _round(number: int, found: dict, summary: dict, settings, files: Path) -> Section:
    guards, classes = summary["guards"], summary["per_class"]
    kept = sum(row["filtered"] for row in classes)
    total = sum(row["labelled"] for row in classes)
    text = (
        f"Of {total:,} images {kept:,} have a confidence of at least {summary['min_confidence']}; "
        f"{_balance(summary)}, {summary['num_rows']:,} different ones are left, "
        f"{summary['num_copies']:,} with copies. {settings.get('labels', 'soft').capitalize()} labels, "
        f"{settings.get('ratio', 1)} pseudo-labelled images for each labelled one."
    )
    out = (
        f"Left out: {guards['excluded']:,} images of the pool that are also among the training, validation or test "
        f"images (by content), {guards['undecodable']:,} that do not decode."
    )
    blocks: list = [Text(text), Text(out, note=True)]
    if summary["empty_classes"]:
        names = ", ".join(classes[label]["name"] for label in summary["empty_classes"][:10])
        blocks.append(Text(f"{len(summary['empty_classes'])} classes are left without an image: {names}."))
    blocks += [_by_class(classes, number), _histogram(summary, number)]
    picture = draw_samples(found["manifest"], [row["name"] for row in classes], files / f"round-{number}.png")
    if picture is not None:
        blocks.append(
            Picture(
                picture,
                f"Pseudo-labels of round {number}: kept images, drawn at random, class "
                "by class, with the teacher's confidence.",
            )
        )
    return Section(f"Round {number}", blocks)


def _by_class(classes: list[dict], number: int) -> Table:
    order = sorted(classes, key=lambda row: -row["filtered"])
    shown, note = order, ""
    if len(order) > _MOST_CLASSES:
        half = _MOST_CLASSES // 2
        shown, note = order[:half] + order[-half:], f" The {half} classes with the most and the {half} with the fewest."
    rows = [
        [
            row["name"],
            *(f"{row[key]:,}" for key in ("labelled", "filtered")),
            f"{row['threshold']:.2f}",
            *(f"{row[key]:,}" for key in ("rows", "copies")),
        ]
        for row in shown
    ]
    return Table(
        ["class", "labelled", "confident", "threshold", "kept", "with copies"],
        rows,
        caption=f"Images of each class in round {number}: as labelled, after the filter, after the balance "
        f"with the confidence that it asks for.{note}",
    )


def _histogram(summary: dict, number: int) -> Figure:
    counts = summary["histogram"]
    total = max(1, sum(counts))
    shares = [100 * count / total for count in counts[:100]]
    shares[-1] += 100 * counts[100] / total
    x, y = [], []
    for place, share in enumerate(shares):
        x += [place / 100, (place + 1) / 100]
        y += [share, share]
    floor = summary["min_confidence"]
    curves = [Curve("images", x, y), Curve(f"floor {floor}", [floor, floor], [0, max(y)], dashed=True)]
    svg = draw_svg(
        Plot(curves, "confidence of the teacher", "share of the pool, %", y_from_zero=True), f"confidence-{number}"
    )
    return Figure(svg, f"How sure the teacher of round {number} is, in steps of 0.01.", f"confidence-{number}")


def _how(cfg, stages) -> Section:
    rows = [
        [name, f"{one['seconds']:.0f}"]
        for name, one in stages.done.items()
        if one["state"] == "done" and name != "report"
    ]
    return Section(
        "How it was made",
        [
            Table(["stage", "seconds"], rows, caption="Time of each stage, interrupted runs of it included."),
            Code(f"frozen-det noisy_student {cfg.filename}"),
            Code(cfg.pretty_text, summary="The loop's config"),
        ],
    )


def draw_samples(
    manifest, classes: list[str], out, num_classes: int = 10, per_class: int = 8, seed: int = 0
) -> Path | None:
    """Draw a sheet of images of a manifest.

    Args:
        manifest: of :func:`frozen_det.upstream.noisy_student.selection.select`.
        classes: names.
        out: picture to write.
        num_classes: rows; of more classes, some are drawn.
        per_class: images of a row.
        seed: of the draws.

    Returns:
        `out`, or None where no image is left.
    """
    import pyarrow.parquet as parquet
    from PIL import Image, ImageDraw

    from ...datasets.visualization.fonts import font_for, plain_font

    rng = np.random.default_rng(seed)
    table = parquet.read_table(manifest, columns=["label"])
    labels = table.column("label").to_numpy()
    present = np.unique(labels)
    if not len(present):
        return None
    shown = np.sort(rng.choice(present, min(num_classes, len(present)), replace=False))
    places = [np.sort(rng.permutation(np.flatnonzero(labels == label))[:per_class]) for label in shown]
    rows = _manifest_rows(manifest, np.concatenate(places))
    sheet = Image.new("RGB", (_MARGIN_PX + per_class * _CELL_PX, len(shown) * (_CELL_PX + _LINE_PX)), (250, 250, 250))
    draw = ImageDraw.Draw(sheet)
    font = font_for("".join(map(str, classes)), 12) or plain_font(12)
    for line, (label, own) in enumerate(zip(shown, places)):
        top = line * (_CELL_PX + _LINE_PX)
        draw.text((4, top + _CELL_PX // 2 - 8), str(classes[label])[:20], fill=(20, 20, 20), font=font)
        for column, place in enumerate(own):
            row, left = rows[int(place)], _MARGIN_PX + column * _CELL_PX
            image = _image(row)
            if image is not None:
                sheet.paste(image, (left + (_CELL_PX - image.width) // 2, top + (_CELL_PX - image.height) // 2))
            copies = f" x{row['copies']}" if row["copies"] > 1 else ""
            draw.text((left + 4, top + _CELL_PX), f"{row['confidence']:.2f}{copies}", fill=(70, 70, 70), font=font)
    out = Path(out)
    sheet.save(out)
    return out


def _manifest_rows(manifest, places: np.ndarray) -> dict[int, dict]:
    """The rows of a manifest at these places, read one row group after the other."""
    import pyarrow.parquet as parquet

    found, first = {}, 0
    with parquet.ParquetFile(manifest) as file:
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            own = [int(place) for place in places if first <= place < first + size]
            if own:
                table = file.read_row_group(group, columns=["path", "offset", "size", "confidence", "copies"])
                taken = table.take([place - first for place in own]).to_pylist()
                found.update(zip(own, taken))
            first += size
    return found


def _image(row: dict):
    """The image, to fit a cell; None where it cannot be read any more."""
    from PIL import Image

    from .pool import open_image

    side = _CELL_PX - 6
    try:
        image = open_image(row)
    except (OSError, ValueError):
        return None
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS if scale < 1 else Image.Resampling.BICUBIC)
