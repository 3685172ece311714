"""Time and memory of evaluation against pycocotools and faster-coco-eval, including loading and conversion.

Every tool starts in a process of its own with the same annotation json and the same detections in memory (arrays
and run-length masks, as a detector leaves them). Its clock runs from there to the numbers; peak memory is what the
process took beyond the detections it was given. Processor time, all threads together, is given too: on a shared
machine it is the steadier measure. The numbers of all tools must agree to 1e-6, or the run fails.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from ..errors import InputError
from .measurement import add_output, in_fresh_process, text_table
from .synthetic_evaluation_sets import SETS, read_detections, write_set

TOOLS = {"frozen_det": "hotcoco", "faster-coco-eval": "faster-coco-eval", "pycocotools": "pycocotools"}


def add_arguments(parser) -> None:
    text = "coco: 5,000 images, 500,000 detections; lvis: 5,000 images, 1,500,000 detections"
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS), help=text)
    parser.add_argument("--iou-types", nargs="+", choices=["bbox", "segm"], default=["bbox", "segm"])
    text = "shares of the full size (default: three, to see the growth)"
    parser.add_argument("--shares", nargs="+", type=float, default=[0.0625, 0.25, 1.0], help=text)
    parser.add_argument("--tools", nargs="+", choices=list(TOOLS), default=list(TOOLS))
    parser.add_argument("--seed", type=int, default=0)
    add_output(parser, device=False)


def run(args) -> int:
    rows = []
    for name in args.sets:
        for iou_type in args.iou_types:
            for share in args.shares:
                rows += _one_set(name, iou_type, share, args)
    print(json.dumps(rows, indent=1) if args.json else table(rows))
    return 0


def table(rows: list[dict]) -> str:
    """The measurements as text; wall and processor time also relative to ours."""
    ours = {_key(row): row for row in rows if row["tool"] == "frozen_det"}
    cells = []
    for row in rows:
        times = {
            name: row[name] / ours[_key(row)][name] if _key(row) in ours else float("nan")
            for name in ("seconds", "cpu_seconds")
        }
        cells.append(
            f"{row['set']}|{row['kind']}|{row['tool']}|{row['num_detections']:,}|{row['seconds']:.2f}|"
            f"{row['load_seconds']:.2f}|{row['hand_over_seconds']:.2f}|{row['count_seconds']:.2f}|"
            f"{row['cpu_seconds']:.2f}|{row['peak_mib']:.0f}|{times['seconds']:.1f}|{times['cpu_seconds']:.1f}".split(
                "|"
            )
        )
    header = "set|kind|tool|detections|seconds|load|hand|count|CPU s|peak MiB|x ours|x CPU"
    return text_table(header, cells, left=3)


def _key(row: dict) -> tuple:
    return row["set"], row["kind"], row["num_detections"]


def _one_set(name: str, iou_type: str, share: float, args) -> list[dict]:
    """Every tool on one synthetic set; their numbers compared."""
    size = SETS[name].part(share)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_set(size, Path(folder), iou_type == "segm", args.seed)
        for tool in args.tools:
            if size.federated and tool == "pycocotools":
                continue  # it does not know LVIS's rules
            what = f"{tool} to evaluate the {name} set"
            arguments = (TOOLS[tool], folder, iou_type, str(int(size.federated)))
            found = in_fresh_process(__spec__.name, *arguments, what=what)
            rows.append({"set": name, "kind": iou_type, "tool": tool, **found})
    first = rows[0]["numbers"]
    for row in rows[1:]:
        for number, value in row["numbers"].items():
            assert abs(value - first[number]) < 1e-6, (name, iou_type, row["tool"], number, value, first[number])
    return rows


def measure(engine_name: str, folder: Path, iou_type: str, federated: bool) -> dict:
    """Evaluate one set in this process and measure it."""
    from ..evaluation.engines import open_engine
    from ..evaluation.evaluate import evaluate_detections

    detections = read_detections(folder / "detections.npz")
    stages, before = {}, _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of reading the input
    start, cpu_start = time.perf_counter(), time.process_time()
    engine = _timed(open_engine(str(folder / "truth.json"), federated, engine_name), stages)
    stages["load_seconds"] = time.perf_counter() - start
    numbers = evaluate_detections(engine, detections, federated=federated, iou_types=(iou_type,)).flat()
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu_start
    return {
        "num_detections": len(detections),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "load_seconds": stages["load_seconds"],
        "hand_over_seconds": stages["load"],
        "count_seconds": seconds - stages["load_seconds"] - stages["load"],
        "peak_mib": (_memory("VmHWM") - before) / 1024,
        "numbers": numbers,
    }


def _timed(engine, stages: dict):
    """Measure how long passing detections to the engine takes."""
    load = engine.load

    def timed_load(*args):
        start = time.perf_counter()
        loaded = load(*args)
        stages["load"] = time.perf_counter() - start
        return loaded

    engine.load = timed_load
    return engine


def _memory(field: str) -> int:
    """A line of /proc/self/status in KiB (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    raise InputError("expected Linux's /proc to read the memory of a process from, got none")


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4] == "1")))
