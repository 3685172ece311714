"""Every family of mmdet's stock detectors, frozen: its own backbone, timm's resnet18, a plain vision transformer.

Of each family one config is built at random weights, takes a training step and predicts, on two synthetic images of 128
px (320 px where mmdet's own detector needs more). It runs if the losses are finite, the decoder gets gradients and
the backbone none, and the frozen digest stays. With its own backbone, its losses must be those of mmdet's plain
detector with the same weights, bit by bit. Where it does not run, the reason is reported. Nothing is downloaded.

    frozen-det benchmark detectors --rows rows.jsonl --output table.md
    frozen-det benchmark detectors --only dino yolox
"""

import gc
import json
import sys
import time
from pathlib import Path

from .detectors_page import DOES_NOT, NOT_COUNTED, RUNS, page
from .measurement import add_output, peak_resident_bytes, put_out, refuse_unknown_families

BODIES = ("wrapped", "resnet18", "vit")
_TIMM = {"resnet18": "resnet18", "vit": "vit_tiny_patch16_224"}


def add_arguments(parser) -> None:
    parser.add_argument("--only", nargs="+", metavar="FAMILY", help="folders of mmdet's configs; all by default")
    parser.add_argument("--bodies", nargs="+", choices=BODIES, default=list(BODIES))
    parser.add_argument("--seed", type=int, default=0)
    text = "each family's row is added here once it is known, and one that is here is not run again"
    parser.add_argument("--rows", metavar="JSONL", help=text)
    add_output(parser, "print one JSON list instead of the page", device=False)
    parser.add_argument("--output", metavar="MARKDOWN", help="write the page to this file too")


def run(args) -> int:
    from .stock_detectors import families

    known = families()
    refuse_unknown_families(args.only, known, "mmdet's configs")
    done = {row["family"]: row for row in _known_rows(args.rows, args.bodies, args.seed)}
    rows = []
    for family in known:
        if args.only and family not in args.only:
            continue
        if family not in done:
            done[family] = sweep_family(family, args.bodies, args.seed)
            print(progress(done[family], len(rows) + 1), file=sys.stderr, flush=True)
            if args.rows:
                _add_row(Path(args.rows), done[family])
        rows.append(done[family])
    return put_out(args, rows, page(rows, args.bodies))


def sweep_family(family: str, bodies=BODIES, seed: int = 0) -> dict:
    """One row of the table.

    Args:
        family: a folder of mmdet's configs.
        bodies: keys of :data:`BODIES`: the backbones to test.
        seed: of weights, images and draws.

    Returns:
        ``family``, ``config``, ``size`` (px; None where nothing ran), ``parity`` (whether the losses of the wrapped
        detector are those of the plain one; None where not compared), and for each backbone a dict of ``status`` (one
        of :data:`RUNS`, :data:`DOES_NOT`, :data:`NOT_COUNTED`) and ``reason``; ``seed``; ``seconds``, ``cpu_seconds``
        and ``peak_gib`` (of the process so far).
    """
    start, cpu = time.perf_counter(), time.process_time()
    row = _row(family, bodies, seed)
    gc.collect()
    return row | dict(
        seed=seed,
        seconds=time.perf_counter() - start,
        cpu_seconds=time.process_time() - cpu,
        peak_gib=peak_resident_bytes() / 2**30,
    )


def _row(family: str, bodies, seed: int) -> dict:
    from .detector_check import PlainDetector, said
    from .stock_detectors import stock_detectors

    stocks = stock_detectors(family)
    row = dict(family=family, config=stocks[0].config, size=None, parity=None)
    if stocks[0].model is None:
        status, reason = (NOT_COUNTED, stocks[0].left_out) if stocks[0].left_out else (DOES_NOT, stocks[0].unreadable)
        return row | _all_bodies(bodies, status, reason)
    plain = None
    for stock in stocks:
        try:
            plain = PlainDetector(stock.model, stock.semantic_scale, seed, stock.with_masks)
            row.update(config=stock.config, size=plain.size)
            break
        except Exception as error:  # the host's own; the first is reported if no config of the family runs
            if bodies[0] not in row:
                row |= _all_bodies(bodies, DOES_NOT, f"mmdet's own detector does not run: {said(error)}")
    for body in bodies if plain is not None else ():
        checked = _checked(body, plain, seed)
        row[body] = dict(status=RUNS if checked["status"] == "passed" else DOES_NOT, reason=checked["reason"])
        if body == "wrapped":
            row["parity"] = checked["parity"]
        gc.collect()  # detectors hold cycles, and two of them at once are enough
    return row


def _known_rows(path: str | None, bodies, seed: int) -> list[dict]:
    """Rows of an earlier run, with the same backbones and seed; a last line that was cut off is not one."""
    if path is None or not Path(path).exists():
        return []
    rows = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return [row for row in rows if row.get("seed") == seed and all(body in row for body in bodies)]


def _add_row(path: Path, row: dict) -> None:
    cut_off = path.exists() and not path.read_text(encoding="utf-8").endswith("\n")
    with open(path, "a", encoding="utf-8") as file:
        file.write("\n" * cut_off + json.dumps(row) + "\n")


def progress(row: dict, number: int) -> str:
    """One line for a row while the sweep runs."""
    told = [
        f"{body} {row[body]['status']}" + (f" ({row[body]['reason']})" if row[body]["reason"] else "")
        for body in BODIES
        if body in row
    ]
    return (
        f"{number:>4} {row['family']}: {'; '.join(told)}, {row['seconds']:.1f} s, {row['cpu_seconds']:.1f} s of "
        f"processor time, peak {row['peak_gib']:.1f} GiB"
    )


def _all_bodies(bodies, status: str, reason: str) -> dict:
    return {body: dict(status=status, reason=reason) for body in bodies}


def _checked(body: str, plain, seed: int) -> dict:
    from .detector_check import check_detector

    if body == "wrapped":
        return check_detector(plain.cfg, plain.batch(), plain.state, plain.losses, seed=seed)
    backbone = dict(type="frozen_det.FrozenBackbone", body=dict(type="timm", name=_TIMM[body]), weights="random")
    return check_detector(plain.cfg, plain.batch(), seed=seed, backbone=backbone, num_classes=plain.num_classes)
