"""Frozen, adapters or fine-tuned: train and test the runs of a table over many small sets, resumable; the page of it.

frozen-det benchmark study --data SETS --table rates
frozen-det benchmark study --data SETS --table main Lite2 --work-dir work_dirs/study
frozen-det benchmark study --data SETS --measure costs sets
frozen-det benchmark study --page docs/study.md
Each run is one line of RECORDS: its numbers, its AP on 200 resamples of its test images, process time and sizes. A run
that is there is not repeated; several processes on one machine share a table, and wait for rates that another one
trains. `--measure` writes what an arm costs and what the sets are to costs.jsonl and sets.jsonl beside RECORDS.
`--page` writes the study's part of a page from these files alone; a page with the comments of its summary gets that.
"""

import math
import sys
import time
from pathlib import Path

from ...engine.runner.run_lock import InUseError, RunLock
from ...errors import InputError
from .arms import StudyRun
from .plan import RATE_TABLES, RATES_OF, TABLES, chosen_rates
from .records import COSTS, FACTS, RUNS, append_record, must_be_file, must_be_folder, read_records
from .sets import SETS

#: What is measured beside the runs, and what its records have.
MEASURED = {"costs": COSTS, "sets": FACTS}

_POLL_S = 5.0


def add_arguments(parser) -> None:
    parser.add_argument("--data", metavar="DIR", help="folder of the study's sets; not needed for --page and --list")
    parser.add_argument("--table", nargs="+", choices=list(TABLES), metavar="NAME", help=f"of {', '.join(TABLES)}")
    text = "what an arm costs, what the sets are"
    parser.add_argument("--measure", nargs="+", choices=list(MEASURED), metavar="WHAT", help=text)
    parser.add_argument("--page", metavar="FILE", help="Markdown page to write the study's part or its summary into")
    text = "file of finished runs, a line each (default: %(default)s)"
    parser.add_argument("--records", default="docs/study/runs.jsonl", metavar="FILE", help=text)
    parser.add_argument("--work-dir", default="work_dirs/study", help="folds, logs and running trainings")
    parser.add_argument("--for", dest="hours", type=float, metavar="HOURS", help="begin no run after so long")
    parser.add_argument("--list", action="store_true", help="print the runs that are missing, train none")


def run(args) -> int:
    records = Path(args.records)
    _check(args, records)
    if args.measure:
        _measure(args.measure, _data(args), records, Path(args.work_dir))
    ended = 0
    if args.table or not (args.measure or args.page):
        ended = _train(args, records)
    if args.page:
        from .page import write_page

        write_page(records, Path(args.page))
        print(args.page, file=sys.stderr)
    return ended


def _check(args, records: Path) -> None:
    """Refuse files and records that the command could not use, before any work."""
    must_be_file(records, "--records")
    must_be_folder(Path(args.work_dir), "--work-dir")
    if args.page:
        must_be_file(Path(args.page), "--page")
    read_records(records, RUNS)
    if args.measure or args.page:
        for kind, fields in MEASURED.items():
            read_records(_beside(records, kind), fields)


def _beside(records: Path, kind: str) -> Path:
    return records.with_name(f"{kind}.jsonl")


def _data(args) -> Path:
    if not args.data:
        raise InputError("expected the folder of the study's sets, got none. Name it: --data SETS.")
    return Path(args.data)


def _train(args, records: Path) -> int:
    end = time.monotonic() + 3600 * args.hours if args.hours is not None else math.inf
    work, tables = Path(args.work_dir), list(args.table or TABLES)
    while tables:
        table = next((one for one in tables if args.list or not _rates_in_training(one, records, work)), None)
        if table is None:
            if time.monotonic() > end:
                return _over()
            time.sleep(_POLL_S)
            continue
        tables.remove(table)
        missing = _missing(table, records)
        if args.list:
            print("\n".join(one.key for one in missing))
            continue
        print(f"{table}: {len(missing)} runs", file=sys.stderr, flush=True)
        while missing:
            if time.monotonic() > end:
                return _over()
            if not _one_of(missing, _data(args), records, work, table):
                break  # others work on what is left
            missing = _missing(table, records)
    return 0


def _over() -> int:
    print("the time is over", file=sys.stderr)
    return 1


def _rates_in_training(table: str, records: Path, work: Path) -> bool:
    """Whether other processes train all that is missing of the table that this one's learning rates follow from."""
    missing = [] if table in RATE_TABLES else _missing(RATES_OF.get(table, "rates"), records)
    return bool(missing) and all(_is_in_training(one, work) for one in missing)


def _is_in_training(one: StudyRun, work: Path) -> bool:
    try:
        with _lock(one, work):
            return False
    except InUseError:
        return True


def _lock(one: StudyRun, work: Path) -> RunLock:
    return RunLock(work / "locks" / one.key)


def _missing(table: str, path: Path) -> list[StudyRun]:
    records = read_records(path, RUNS)
    done = {record["key"] for record in records}
    rates = {} if table in RATE_TABLES else chosen_rates(records, RATES_OF.get(table, "rates"))
    return [one for one in TABLES[table](rates) if one.key not in done]


def _one_of(missing: list[StudyRun], data: Path, records: Path, work: Path, table: str) -> bool:
    """Train the first run that nobody trains; False if there is none."""
    from .running import measured

    for one in missing:
        try:
            lock = _lock(one, work)
        except InUseError:
            continue
        with lock:
            if one.key in {record["key"] for record in read_records(records, RUNS)}:
                continue
            start = time.monotonic()
            record = measured(one, data, work)
            append_record(records, {"key": one.key, **record})
        took = time.monotonic() - start
        line = f"{one.key}: AP {record['numbers']['mAP']:.3f}, {took:.0f} s, {len(missing) - 1} left of {table}"
        print(line, file=sys.stderr, flush=True)
        return True
    return False


def _measure(what: list[str], data: Path, records: Path, work: Path) -> None:
    """Add the records of costs and sets that are missing."""
    from . import costs, set_facts

    makers = {
        "costs": {costs.key_of(run): lambda run=run: costs.cost(run, data, work) for run in costs.cost_runs()},
        "sets": {name: lambda name=name: set_facts.facts(name, data, work) for name in SETS},
    }
    for kind in what:
        path = _beside(records, kind)
        for key, make in makers[kind].items():
            if key in {record["key"] for record in read_records(path, MEASURED[kind])}:
                continue
            append_record(path, make())
            print(f"{kind}: {key}", file=sys.stderr, flush=True)
