"""Frozen, adapters or fine-tuned: train and test the runs of a table over many small sets, resumable.

frozen-det benchmark study --data SETS --table rates
frozen-det benchmark study --data SETS --table main Lite2 --work-dir work_dirs/study
Each run is one line of RECORDS: its numbers, its AP on 200 resamples of its test images, process time and sizes. A run
that is there is not repeated; several processes on one machine share a table. `--page` writes docs/study.md's tables.
"""

import fcntl
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...engine.runner.run_lock import RunLock
from ...errors import InputError
from .arms import StudyRun
from .plan import TABLES, chosen_rates


def add_arguments(parser) -> None:
    parser.add_argument("--data", required=True, metavar="DIR", help="folder of the study's sets")
    parser.add_argument("--table", nargs="+", choices=list(TABLES), metavar="NAME", help=f"of {', '.join(TABLES)}")
    text = "file of finished runs, a line each (default: %(default)s)"
    parser.add_argument("--records", default="docs/study/runs.jsonl", metavar="FILE", help=text)
    parser.add_argument("--work-dir", default="work_dirs/study", help="folds, logs and running trainings")
    parser.add_argument("--for", dest="hours", type=float, metavar="HOURS", help="begin no run after so long")
    parser.add_argument("--list", action="store_true", help="print the runs that are missing, train none")


def run(args) -> int:
    records = Path(args.records)
    end = time.monotonic() + 3600 * args.hours if args.hours is not None else None
    failed = 0
    for table in args.table or list(TABLES):
        missing = _missing(table, records)
        if args.list:
            print("\n".join(one.key for one in missing))
            continue
        print(f"{table}: {len(missing)} runs", file=sys.stderr, flush=True)
        while missing:
            if end is not None and time.monotonic() > end:
                print("the time is over", file=sys.stderr)
                return 1
            ended = _one_of(missing, Path(args.data), records, Path(args.work_dir), table)
            if ended is None:
                break  # others work on what is left
            failed += not ended
            missing = _missing(table, records)
    return 1 if failed else 0


def read_records(path: Path) -> list[dict]:
    """Finished runs, in the order in which they ended."""
    if not path.is_file():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def _missing(table: str, path: Path) -> list[StudyRun]:
    records = read_records(path)
    done = {record["key"] for record in records}
    rates = {} if table == "rates" else chosen_rates(records)
    return [one for one in TABLES[table](rates) if one.key not in done]


def _one_of(missing: list[StudyRun], data: Path, records: Path, work: Path, table: str) -> bool | None:
    """Train the first run that nobody trains; whether it ended well, None if there is none."""
    from .running import measured

    for one in missing:
        try:
            lock = RunLock(work / "locks" / one.key)
        except InputError:
            continue
        with lock:
            if one.key in {record["key"] for record in read_records(records)}:
                continue
            start = time.monotonic()
            record = measured(one, data, work)
            append_record(records, {"key": one.key, **record})
        took = time.monotonic() - start
        line = f"{one.key}: AP {record['numbers']['mAP']:.3f}, {took:.0f} s, {len(missing) - 1} left of {table}"
        print(line, file=sys.stderr, flush=True)
        return True
    return None


def append_record(path: Path, record: dict) -> None:
    """One line at the end; lines of several processes do not mix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with _held(path), path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")


@contextmanager
def _held(path: Path) -> Iterator[None]:
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
