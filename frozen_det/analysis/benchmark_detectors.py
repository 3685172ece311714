"""Every family of mmdet's stock detectors, frozen: its own body wrapped, timm's resnet18, a plain vision transformer.

Of each family one config is built at random weights, takes a training step and predicts, on two made images of 128 px
(320 px where mmdet's own detector asks for more). It runs if the losses are finite, the decoder gets gradients and the
body none, and the frozen digest stays. With its own body, its losses must be those of mmdet's plain detector with the
same weights, bit by bit. Where it does not run, the reason is told. Nothing is downloaded.

    frozen-det benchmark detectors
    frozen-det benchmark detectors --only dino yolox --output table.md
"""

import gc
import json
import sys
import time

from ..errors import InputError, closest

BODIES = ("wrapped", "resnet18", "vit")
RUNS, DOES_NOT, NOT_COUNTED = "runs", "does not", "not counted"
_TIMM = {"resnet18": "resnet18", "vit": "vit_tiny_patch16_224"}
_TITLES = {"wrapped": "own body, wrapped", "resnet18": "timm resnet18", "vit": "timm ViT"}


def add_arguments(parser) -> None:
    parser.add_argument("--only", nargs="+", metavar="FAMILY", help="folders of mmdet's configs; all by default")
    parser.add_argument("--bodies", nargs="+", choices=BODIES, default=list(BODIES))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON list instead of the page")
    parser.add_argument("--output", metavar="MARKDOWN", help="write the page to this file too")


def run(args) -> int:
    from .stock_detectors import families

    known = families()
    unknown = sorted(set(args.only or ()) - set(known))
    if unknown:
        raise InputError(f"expected --only with families of mmdet's configs, got {unknown[0]!r}; "
                         f"{closest(unknown[0], known) or f'there are {len(known)}'}")
    start, cpu = time.perf_counter(), time.process_time()
    rows = []
    for family in known:
        if not args.only or family in args.only:
            rows.append(sweep_family(family, args.bodies, args.seed))
            print(progress(rows[-1], len(rows)), file=sys.stderr, flush=True)
    took = f"{time.perf_counter() - start:.0f} s in one process, {time.process_time() - cpu:.0f} s of processor time"
    text = page(rows, args.bodies, took)
    if args.output:
        from ..atomic_write import replacing

        with replacing(args.output) as path:
            path.write_text(text + "\n", encoding="utf-8")
    print(json.dumps(rows, indent=1) if args.json else text)
    return 0


def sweep_family(family: str, bodies=BODIES, seed: int = 0) -> dict:
    """One row of the table.

    Args:
        family: a folder of mmdet's configs.
        bodies: of :data:`BODIES`, those to be tried.
        seed: of weights, images and draws.

    Returns:
        ``family``, ``config``, ``size`` (px; None where nothing ran), ``parity`` (whether the losses of the wrapped
        detector are those of the plain one; None where not compared), and for each body a dict of ``status`` (one of
        :data:`RUNS`, :data:`DOES_NOT`, :data:`NOT_COUNTED`) and ``reason``; ``seconds``.
    """
    from .detector_check import PlainDetector, said
    from .stock_detectors import stock_detectors

    start = time.perf_counter()
    stocks = stock_detectors(family)
    row = dict(family=family, config=stocks[0].config, size=None, parity=None)
    if stocks[0].model is None:
        status, reason = (NOT_COUNTED, stocks[0].left_out) if stocks[0].left_out else (DOES_NOT, stocks[0].unreadable)
        return row | _all_bodies(bodies, status, reason) | dict(seconds=time.perf_counter() - start)
    plain = None
    for stock in stocks:
        try:
            plain = PlainDetector(stock.model, stock.semantic_scale, seed)
            row.update(config=stock.config, size=plain.size)
            break
        except Exception as error:  # the host's own; the first is told if no config of the family runs
            if bodies[0] not in row:
                row |= _all_bodies(bodies, DOES_NOT, f"mmdet's own detector does not run: {said(error)}")
    for body in bodies if plain is not None else ():
        checked = _checked(body, plain, seed)
        row[body] = dict(status=RUNS if checked["status"] == "passed" else DOES_NOT, reason=checked["reason"])
        if body == "wrapped":
            row["parity"] = checked["parity"]
        gc.collect()  # detectors hold cycles, and two of them at once are enough
    return row | dict(seconds=time.perf_counter() - start)


def counts(rows: list[dict], body: str) -> tuple[int, int]:
    """How many of how many families run with a body; those of another kind are not counted."""
    counted = [row[body]["status"] for row in rows if row[body]["status"] != NOT_COUNTED]
    return counted.count(RUNS), len(counted)


def progress(row: dict, number: int) -> str:
    """One line for a row while the sweep runs."""
    told = [f"{body} {row[body]['status']}" + (f" ({row[body]['reason']})" if row[body]["reason"] else "")
            for body in BODIES if body in row]
    return f"{number:>4} {row['family']}: {'; '.join(told)}, {row['seconds']:.1f} s"


def page(rows: list[dict], bodies, took: str) -> str:
    """The page in Markdown: counts, a line for each family, and every reason."""
    import mmdet

    lines = ["# Every family of detectors, frozen", "", "Made by `frozen-det benchmark detectors`, with the stock "
             f"configs of mmdet {mmdet.__version__}. A family is a folder of its model zoo; the config with the "
             "shortest name stands for it.", "", _HOW, ""]
    lines += [f"- {_TITLES[body]}: **{passed} of {of}** run" for body in bodies for passed, of in [counts(rows, body)]]
    if "wrapped" in bodies:
        compared = [row["parity"] for row in rows if row["parity"] is not None]
        lines.append(f"- losses of the wrapped detector equal to those of mmdet's plain one, bit by bit: "
                     f"**{sum(compared)} of {len(compared)}**")
    lines += ["", took + ".", "", "| family | config | px | " + " | ".join(_TITLES[body] for body in bodies) +
              " | equal losses |", "|---|---|---|" + "---|" * (len(bodies) + 1)]
    counted = [row for row in rows if any(row[body]["status"] != NOT_COUNTED for body in bodies)]
    for row in counted:
        equal = {None: "", True: "yes", False: "no"}[row["parity"]]
        lines.append("| " + " | ".join([row["family"], row["config"], str(row["size"] or ""),
                                        *("yes" if row[body]["status"] == RUNS else "no" for body in bodies),
                                        equal]) + " |")
    return "\n".join([*lines, *_reasons(rows, bodies)])


_HOW = ("Each is built as the [README](../README.md) shows, at random weights, and takes one training step and one "
        "prediction on two made images. It runs if the losses are finite, the decoder gets finite gradients, the body "
        "gets none, and the frozen digest is what it was. resnet18 and the ViT take the place of the stock body: what "
        "followed from that one is left out and filled in again, and the number of classes is 3. The ViT has one map, "
        "of stride 16; `frozen_det.SimpleFeaturePyramid` makes the strides that the detector asks for.")


def _reasons(rows: list[dict], bodies) -> list[str]:
    """What does not run and why; bodies of one family that share a reason share a line."""
    lines = []
    for title, status in (("What does not run, and why", DOES_NOT), ("What is not counted", NOT_COUNTED)):
        told = []
        for row in rows:
            by_reason = {}
            for body in bodies:
                if row[body]["status"] == status:
                    by_reason.setdefault(row[body]["reason"], []).append(_TITLES[body])
            told += [f"- {row['family']}" + (f" ({', '.join(which)})" if len(which) < len(bodies) else "") +
                     f": {reason}" for reason, which in by_reason.items()]
        if told:
            lines += ["", f"## {title}", "", *told]
    return lines


def _all_bodies(bodies, status: str, reason: str) -> dict:
    return {body: dict(status=status, reason=reason) for body in bodies}


def _checked(body: str, plain, seed: int) -> dict:
    from .detector_check import NUM_CLASSES, check_detector

    if body == "wrapped":
        return check_detector(plain.cfg, plain.batch(), plain.state, plain.losses, seed=seed)
    backbone = dict(type="frozen_det.FrozenBackbone", body=dict(type="timm", name=_TIMM[body]), weights="random")
    return check_detector(plain.cfg, plain.batch(), seed=seed, backbone=backbone, num_classes=NUM_CLASSES)
