"""The page of a resolution study: JSON for machines, HTML and Markdown for people, with the plots of test sizes."""

from pathlib import Path

from ...pages.blocks import Code, Figure, KeyFigures, Page, Section, Table, Text
from ...pages.html import html_page
from ...pages.markdown import markdown_page
from ...pages.plots import Curve, Plot, draw_svg
from ...weights.atomic_write import write_json, write_text


def write_resolution_report(record: dict, sections: list[Section], work_dir, title: str) -> Path:
    """Write ``fixres.json``, ``fixres.html``, ``fixres.md`` and the plots (``fixres_files/``) into a folder.

    Args:
        record: everything measured, as JSON can hold it.
        sections: of the page.
        work_dir: the folder.
        title: of the page.

    Returns:
        the HTML page.
    """
    work_dir = Path(work_dir)
    work_dir.mkdir(parents=True, exist_ok=True)
    page = Page(title, record.get("subtitle", ""), sections, "one file, nothing is loaded from elsewhere")
    write_json(work_dir / "fixres.json", record)
    out = work_dir / "fixres.html"
    write_text(out, html_page(page))
    write_text(out.with_suffix(".md"), markdown_page(page, work_dir / "fixres_files"))
    return out


def sweep_section(rows: list[dict], train_sizes: dict[str, int] | None = None) -> Section:
    """Accuracy against test size and compute, and the pooled activations at each size.

    Args:
        rows: of :func:`.resolution_sweep.sweep` or :func:`.resolution_sweep.adapt_halves`.
        train_sizes: row label -> training size in px, where known; more than one makes a grid.
    """
    labels = list(dict.fromkeys((row["label"], _ratio_group(row, rows)) for row in rows))
    curves, costs = [], []
    for label, group in labels:
        mine = sorted(
            (row for row in rows if (row["label"], _ratio_group(row, rows)) == (label, group)),
            key=lambda row: row["size"],
        )
        name = f"{label}{f', crop {group:g}' if group else ''}"
        curves.append(Curve(name, [row["size"] for row in mine], [row["top1"] for row in mine], marks=True))
        costs.append(Curve(name, [row["gflops"] for row in mine], [row["top1"] for row in mine], marks=True))
    ticks = sorted({row["size"] for row in rows})
    blocks = [
        Figure(
            draw_svg(Plot(curves, "test size, px", "top-1, percent", x_ticks=[(s, str(s)) for s in ticks]), "sweep"),
            "Top-1 accuracy against test size.",
            "fixres_sweep",
        ),
        Figure(
            draw_svg(Plot(costs, "GFLOPs of one image (a multiply-add is two)", "top-1, percent"), "compute"),
            "The same against compute.",
            "fixres_compute",
        ),
        _sweep_table(rows),
    ]
    if train_sizes and len(set(train_sizes.values())) > 1:
        blocks.append(_grid(rows, train_sizes))
    if any("pooled" in row for row in rows):
        blocks.append(_pooled(rows))
    return Section("Test sizes", blocks)


def tuning_section(record: dict) -> Section:
    """Before and after a tuning at training and test size, and what moved."""
    before, after = record["before"], record["after"]
    rows = [
        [
            f"{one['size']} px{' (training size)' if one['size'] == record['train_size'] else ''}",
            f"{one['crop_ratio']:g}",
            f"{one['top1']:.2f}",
            f"{two['top1']:.2f}",
            f"{two['top1'] - one['top1']:+.2f}",
            f"{one['loss']:.3f}",
            f"{two['loss']:.3f}",
            f"{one['gflops']:.3f}",
        ]
        for one, two in zip(before, after)
    ]
    tested = next(i for i, one in enumerate(before) if one["size"] == record["test_size"])
    gain = after[tested]["top1"] - before[tested]["top1"]
    return Section(
        "Before and after",
        [
            KeyFigures(
                [
                    (f"{after[tested]['top1']:.2f}", f"top-1 at {record['test_size']} px, tuned"),
                    (f"{gain:+.2f}", "points over the same size untuned"),
                    (f"{record['num_frozen']}", "tensors bit for bit as before"),
                    (f"{len(record['moved'])}", "tensors moved"),
                ]
            ),
            Table(
                ["test size", "crop", "top-1 before", "top-1 after", "gain", "loss before", "loss after", "GFLOPs"],
                rows,
                "The gain that counts is the one against the untuned classifier at the same test size. The last epoch, "
                "not the best.",
            ),
            Text(f"What moved: {', '.join(record['moved'])}."),
            Text(record["hand_over"], note=True),
            Text(f"Everything else has the digest {record['frozen_digest'][:16]} before and after.", note=True),
        ],
    )


def command_section(command: str) -> Section:
    """How the page was made."""
    return Section("Command", [Code(command)])


def _sweep_table(rows: list[dict]) -> Table:
    cells = []
    for row in rows:
        flips = f"{row['gained']} / {row['lost']}" if "gained" in row else ""
        p_value = f"{row['p_value']:.2g}" if "p_value" in row else ""
        cells.append(
            [
                row["label"],
                str(row["size"]),
                f"{row['crop_ratio']:g}",
                f"{row['gflops']:.3f}",
                f"{row['top1']:.2f}",
                f"{row['loss']:.3f}" if "loss" in row else "",
                flips,
                p_value,
            ]
        )
    header = ["", "test size", "crop", "GFLOPs", "top-1", "loss", "gained / lost", "p"]
    kept = [i for i, _ in enumerate(header) if i < 5 or any(row[i] for row in cells)]
    return Table(
        [header[i] for i in kept],
        [[row[i] for i in kept] for row in cells],
        "p: two-sided sign test on images gained and lost." if "p" in [header[i] for i in kept] else "",
    )


def _grid(rows: list[dict], train_sizes: dict[str, int]) -> Table:
    """Training size down, test size across."""
    sizes = sorted({row["size"] for row in rows})
    body = []
    for label, trained in sorted(train_sizes.items(), key=lambda item: item[1]):
        found = {row["size"]: row["top1"] for row in rows if row["label"] == label}
        body.append([label, str(trained), *(f"{found[size]:.2f}" if size in found else "" for size in sizes)])
    return Table(
        ["", "trained at", *(str(size) for size in sizes)], body, "Top-1 by training size and test size.", num_left=1
    )


def _pooled(rows: list[dict]) -> Table:
    body = [
        [
            row["label"],
            str(row["size"]),
            f"{row['pooled']['mean']:.4f}",
            f"{row['pooled']['deviation']:.4f}",
            f"{100 * row['pooled']['share_near_zero']:.1f}",
            *(f"{v:.3f}" for v in row["pooled"]["quantiles"]),
        ]
        for row in rows
        if "pooled" in row
    ]
    return Table(
        ["", "test size", "mean", "deviation", "% below 0.05", "5 %", "25 %", "50 %", "75 %", "95 %"],
        body,
        "Pooled activations, the classifier's input, over all images and channels: larger maps average more "
        "positions, so their distribution changes with the size although no weight does.",
    )


def _ratio_group(row: dict, rows: list[dict]) -> float | None:
    """The crop ratio where one size is measured at several; None where each size has one of its own."""
    seen = [(other["label"], other["size"]) for other in rows]
    return row["crop_ratio"] if len(set(seen)) < len(seen) else None
