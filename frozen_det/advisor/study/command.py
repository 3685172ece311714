"""The advisor on the study's sets: scores and probes of each backbone, resumable; each set foretold from the others.

frozen-det benchmark advisor --data SETS
frozen-det benchmark advisor --page docs/study.md
With `--data` the scores and probes that are missing are made, a line of SCORES each. `--page` writes the advisor's part
of the page and the table that `advise` takes its forecasts from; run it when records were added. Without it the part is
printed.
"""

import sys
import time
from pathlib import Path

from ...benchmarks.study.records import append_record, read_records
from .grid import read_grid
from .page import section, write_page


def add_arguments(parser) -> None:
    parser.add_argument("--data", metavar="DIR", help="folder of the study's sets; without it nothing is measured")
    text = "the study's finished runs (default: %(default)s)"
    parser.add_argument("--records", default="docs/study/runs.jsonl", metavar="FILE", help=text)
    text = "scores and probes, a line each (default: %(default)s)"
    parser.add_argument("--scores", default="docs/study/scores.jsonl", metavar="FILE", help=text)
    parser.add_argument("--work-dir", default="work_dirs/study", help="folds and splits (default: %(default)s)")
    parser.add_argument("--page", metavar="FILE", help="Markdown page to write the part into")


def run(args) -> int:
    scores = Path(args.scores)
    if args.data:
        _measure(Path(args.data), scores, Path(args.work_dir))
    grid = read_grid(Path(args.records), scores)
    if args.page:
        write_page(grid, Path(args.page))
    else:
        print(section(grid))
    return 0


def _measure(data: Path, scores: Path, work: Path) -> None:
    from .records import all_keys, key_of, scored

    for one, backbone in all_keys():
        if key_of(one, backbone) in {record["key"] for record in read_records(scores)}:
            continue
        start = time.monotonic()
        record = scored(one, backbone, data, work)
        append_record(scores, record)
        took, AP = time.monotonic() - start, record["probe"]["AP"]
        print(f"{record['key']}: probe AP {AP:.3f}, {took:.0f} s", file=sys.stderr, flush=True)
