"""Waits for the GPU in a training step and a prediction, by file and line: ours beside mmdet's, without a GPU.

The model of CONFIG runs at random weights on a pretended device: tensors that say they are on `cuda:0` and hold data of
the CPU. Counted are read-backs (`item`, `nonzero`, a boolean index, `.cpu()`, ...), for which the host waits until the
GPU has computed everything before, and copies from memory of the host that are not declared as non-blocking. mmdet's
own detector is the same config with every part of this package replaced by the class of mmdet that it refines, its
backbone trained in full. Each column is the second of two steps. Counts, not times: a wait costs what the GPU has yet
to do.

    frozen-det benchmark syncs cascade-rcnn_frozen-resnet50tv_nasfpn_lsj-72e_coco
"""

import csv
import io
from collections import Counter

from ..measurement import add_output, put_out, require_from_one, text_table
from .measured import HOST, OURS, PREDICTION, TRAINING, is_detector, measured
from .waits import COPY, READ_BACK, Wait

COLUMNS = ("phase", "kind", "file", "line", "call", OURS, HOST)


def add_arguments(parser) -> None:
    parser.add_argument("config", help="config file, or the name of one that ships, e.g. quickstart")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="overrides")
    parser.add_argument("--size", type=int, default=256, help="side of the square images in px (default 256)")
    parser.add_argument("--images", type=int, default=2, help="images of a step (default 2)")
    parser.add_argument("--objects", type=int, default=4, help="objects of an image (default 4)")
    parser.add_argument("--amp", action="store_true", help="mixed precision, float16 with a scaled loss")
    parser.add_argument("--only", choices=(OURS, HOST), help="count one of the two")
    parser.add_argument("--totals", action="store_true", help="print the sums alone")
    parser.add_argument("--output", metavar="CSV", help="write all lines to this file too")
    add_output(parser, "print one JSON list instead of tables", device=False)


def run(args) -> int:
    from ...config import load_config
    from ...config.option_text import parse_options

    require_from_one(args, "size", "images")
    cfg = load_config(args.config, parse_options(args.cfg_options))
    sides = [args.only] if args.only else [OURS, HOST] if is_detector(cfg) else [OURS]
    found = {side: measured(cfg, side, args.size, args.images, args.objects, args.amp) for side in sides}
    rows = table(found)
    return put_out(args, rows, as_text(found, rows, args.totals), as_csv(rows))


def table(found: dict[str, dict[str, list[Wait]]]) -> list[dict]:
    """One row for each line of a program that waits, in the order of :data:`COLUMNS`.

    Args:
        found: for :data:`OURS`, :data:`HOST` or both what :func:`.measured.measured` gives.
    """
    counts = {(side, phase): Counter(waits) for side, by_phase in found.items() for phase, waits in by_phase.items()}
    rows = []
    for phase in (TRAINING, PREDICTION):
        lines = {wait for (_, of), counter in counts.items() if of == phase for wait in counter}
        for wait in sorted(lines, key=lambda wait: (wait.kind != READ_BACK, wait.file, wait.line, wait.what)):
            each = {side: counts[side, phase][wait] for side in found}
            rows.append(dict(zip(COLUMNS, (phase, wait.kind, wait.file, wait.line, wait.what))) | each)
    return rows


def totals(found: dict[str, dict[str, list[Wait]]]) -> list[dict]:
    """Waits by phase, kind and the package whose line it is: each a dict with ``ours`` and ``mmdet``."""
    rows = []
    for phase in (TRAINING, PREDICTION):
        for kind in (READ_BACK, COPY):
            of = {side: Counter(w.package for w in by[phase] if w.kind == kind) for side, by in found.items()}
            for package in sorted({name for counter in of.values() for name in counter}):
                rows.append(dict(phase=phase, kind=kind, package=package) | {side: of[side][package] for side in found})
            rows.append(dict(phase=phase, kind=kind, package="all") | {side: of[side].total() for side in found})
    return rows


def as_text(found, rows: list[dict], sums_alone: bool = False) -> str:
    """The lines, and the sums below."""
    sides = list(found)
    sums = [[row["phase"], row["kind"], row["package"], *(str(row[side]) for side in sides)] for row in totals(found)]
    lines = [
        [row["phase"], row["kind"], f"{row['file']}:{row['line']}", row["call"], *(str(row[side]) for side in sides)]
        for row in rows
    ]
    below = text_table("|".join(["phase", "kind", "package", *sides]), sums, left=3)
    if sums_alone:
        return below
    return f"{text_table('|'.join(['phase', 'kind', 'line', 'call', *sides]), lines, left=4)}\n\n{below}"


def as_csv(rows: list[dict]) -> str:
    """The lines as CSV with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [name for name in COLUMNS if not rows or name in rows[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
