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

from ...benchmarks.study.records import RUNS, append_record, must_be_file, must_be_folder, read_records
from ...errors import InputError
from .grid import read_grid
from .page import section, write_page
from .records import SCORES


def add_arguments(parser) -> None:
    parser.add_argument("--data", metavar="DIR", help="folder of the study's sets; without it nothing is measured")
    text = "the study's finished runs (default: %(default)s)"
    parser.add_argument("--records", default="docs/study/runs.jsonl", metavar="FILE", help=text)
    text = "scores and probes, a line each (default: %(default)s)"
    parser.add_argument("--scores", default="docs/study/scores.jsonl", metavar="FILE", help=text)
    parser.add_argument("--work-dir", default="work_dirs/study", help="folds and splits (default: %(default)s)")
    parser.add_argument("--page", metavar="FILE", help="Markdown page to write the part into")


def run(args) -> int:
    records, scores = Path(args.records), Path(args.scores)
    _check(args, records, scores)
    if args.data:
        _measure(Path(args.data), scores, Path(args.work_dir))
    grid = read_grid(records, scores)
    if args.page:
        write_page(grid, Path(args.page))
    else:
        print(section(grid))
    return 0


def _check(args, records: Path, scores: Path) -> None:
    """Refuse files and records that the command could not use, before any work. Runs may be missing while scores are
    made and no page is written, scores while they are made."""
    must_be_file(records, "--records")
    must_be_file(scores, "--scores")
    must_be_folder(Path(args.work_dir), "--work-dir")
    if args.page:
        must_be_file(Path(args.page), "--page")
    if not records.is_file() and (args.page or not args.data):
        raise InputError(f"expected a file of finished runs, got no {records}. Name it: --records FILE.")
    if not scores.is_file() and not args.data:
        raise InputError(f"expected a file of scores and probes, got no {scores}. Name it: --scores FILE.")
    read_records(records, RUNS)
    read_records(scores, SCORES)


def _measure(data: Path, scores: Path, work: Path) -> None:
    from .records import all_keys, key_of, scored

    for one, backbone in all_keys():
        if key_of(one, backbone) in {record["key"] for record in read_records(scores, SCORES)}:
            continue
        start = time.monotonic()
        record = scored(one, backbone, data, work)
        append_record(scores, record)
        took, AP = time.monotonic() - start, record["probe"]["AP"]
        print(f"{record['key']}: probe AP {AP:.3f}, {took:.0f} s", file=sys.stderr, flush=True)
