"""Every family of timm, torchvision and mmdet as a frozen backbone: which run, at any size, as declared.

Of each module file of timm the smallest model, of torchvision every classification model, of mmdet every backbone that
it exports is built at random weights, frozen, run at 224x224 and at 256x320 px in training mode, and compared with
what it declares: strides, channels, frozen tensors, independence of the batch. Families without a map of the image
are named and left out of the pass rate. Nothing is downloaded.

    frozen-det benchmark backbones
    frozen-det benchmark backbones --library mmdet --output table.md
"""

import os
import sys
import time

from ..pages.markdown import table_line
from .backbone_check import FAILED, NO_MAP, PASSED, TOO_LARGE
from .measurement import add_output, put_out, refuse_unknown_families, require_from_one

LIBRARIES = ("timm", "torchvision", "mmdet")
_TITLES = {
    "timm": "timm: the smallest model of each module file",
    "torchvision": "torchvision: classification models",
    "mmdet": "mmdet: registered backbones",
}


def add_arguments(parser) -> None:
    parser.add_argument("--library", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    text = "families (timm, torchvision: module files; mmdet: types); all by default"
    parser.add_argument("--only", nargs="+", metavar="FAMILY", help=text)
    text = "parameters of torchvision's models beyond the smallest of each file (default: %(default)s)"
    parser.add_argument("--cap", type=float, default=30, metavar="MILLIONS", help=text)
    parser.add_argument("--jobs", type=int, default=1, help="processes of one thread each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    add_output(parser, "print one JSON list instead of tables", device=False)
    parser.add_argument("--output", metavar="MARKDOWN", help="write the tables to this file too")


def run(args) -> int:
    require_from_one(args, "jobs")
    known = [(library, family) for library in args.library for family in families_of(library)]
    refuse_unknown_families(args.only, [family for _, family in known], ", ".join(args.library))
    families = [(library, family) for library, family in known if not args.only or family in args.only]
    start = time.perf_counter()
    rows = []
    for new in _swept(families, args):
        rows += new
        for row in new:
            print(progress(row, len(rows)), file=sys.stderr, flush=True)
    tables = [table(library, [row for row in rows if row["library"] == library]) for library in args.library]
    text = "\n\n".join(tables) + f"\n\n{time.perf_counter() - start:.0f} s in all, {args.jobs} process(es)"
    return put_out(args, rows, text)


def families_of(library: str) -> list[str]:
    """Names of a library's families, in order."""
    from .backbone_candidates import mmdet_types, torchvision_families

    if library == "timm":
        import timm

        return timm.list_modules()
    return list(torchvision_families()) if library == "torchvision" else mmdet_types()


def sweep_family(library: str, family: str, cap: float, seed: int) -> list[dict]:
    """Rows of one family; an error in choosing its models is a row too.

    Args:
        library: one of :data:`LIBRARIES`.
        family: module file or type.
        cap: millions of parameters of torchvision's models beyond the smallest of a file.
        seed: of weights and images.

    Returns:
        what :func:`frozen_det.benchmarks.backbone_check.check_body` says of each model, with ``library``, ``family``
        and ``model``.
    """
    import torch

    from .backbone_candidates import bodies_of_family
    from .backbone_check import check_body

    torch.set_num_threads(1)
    head = dict(library=library, family=family)
    empty = dict(strides=(), channels=(), millions=None, sizes="", reason="", seconds=0.0)
    try:
        bodies = bodies_of_family(library, family, cap)
    except Exception as error:  # this family's row, and the sweep continues
        return [head | empty | dict(model="", status=FAILED, reason=f"{type(error).__name__}: {error}"[:300])]
    rows = []
    for model, cfg, millions in bodies:
        if cfg is None:
            rows.append(head | empty | dict(model=model, status=TOO_LARGE, millions=millions))
        else:
            rows.append(head | dict(model=model) | check_body(cfg, seed=seed))
    return rows


def rate(rows: list[dict]) -> tuple[int, int]:
    """How many of how many passed; families without a map and models that are too large are left out."""
    counted = [row for row in rows if row["status"] in (PASSED, FAILED)]
    return sum(row["status"] == PASSED for row in counted), len(counted)


def progress(row: dict, number: int) -> str:
    """One line for a row while the sweep runs."""
    return (
        f"{number:>4} {row['library']}/{row['family']} {row['model']}: {row['status']}"
        + (f" ({row['reason']})" if row["reason"] else f" {row['sizes']}")
        + f", {row['seconds']:.1f} s"
    )


def table(library: str, rows: list[dict]) -> str:
    """Markdown of one library: the rate, what is left out or failed by name, and a line for each backbone."""
    passed, counted = rate(rows)
    lines = [
        f"### {_TITLES[library]}",
        "",
        f"{passed} of {counted} passed ({passed / counted:.1%})." if counted else "Nothing to count.",
    ]
    lines += _named(rows, NO_MAP, "No map of the image, left out of the count")
    lines += _named(rows, TOO_LARGE, "Above the cap, not run")
    lines += _named(rows, FAILED, "Failed")
    in_windows = [row for row in rows if row["status"] == PASSED and row["sizes"].startswith("windows")]
    if in_windows:
        lines.append(f"Made for one size, run in windows of it: {', '.join(row['model'] for row in in_windows)}.")
    lines += [
        "",
        "| family | model | M | strides | channels | sizes | result | s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        if row["status"] == TOO_LARGE:
            continue
        millions = "" if row["millions"] is None else f"{row['millions']:.1f}"
        result = row["status"] + (f": {row['reason']}" if row["reason"] else "")
        strides, channels = (" ".join(map(str, row[key])) for key in ("strides", "channels"))
        name = (row["family"], row["model"], millions, strides, channels)
        lines.append(table_line((*name, row["sizes"], result, f"{row['seconds']:.1f}")))
    return "\n".join(lines)


def _named(rows: list[dict], status: str, title: str) -> list[str]:
    names = [row["model"] or row["family"] for row in rows if row["status"] == status]
    return [f"{title}: {', '.join(names)}."] if names else []


def _swept(families, args):
    """Rows of each family, in order, as they come."""
    tasks = [(library, family, args.cap, args.seed) for library, family in families]
    if args.jobs == 1:
        yield from (sweep_family(*task) for task in tasks)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with ProcessPoolExecutor(args.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(sweep_family, *zip(*tasks))
