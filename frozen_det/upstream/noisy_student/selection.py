"""Which pseudo-labels a student trains on: filtered by confidence, balanced over classes, in DuckDB, out of core.

The balance is that of the released code of Noisy Student (google-research/noisystudent, filter_unlabel.py): of each
class the highest threshold on a grid of 0.01 at which it has N images or more, the floor where it has fewer anywhere;
then every image above it is kept floor(N / images) times and once more with the chance that is left. So a class has N
copies in expectation, not exactly. Without balance (two ablations of the paper) classes keep what they have, or small
ones are not repeated. The chance is drawn from the image's content and a seed: neither order nor
processes matter. Only the narrow rows are read. Images on a list of hashes are left out and counted.
"""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...errors import InputError
from ...weights.atomic_write import replacing, write_json
from .label_files import LABELS
from .listings.digests import hash_of
from .listings.parquet import import_pyarrow
from .manifest import COLUMNS, META
from .top_k import SOFT_COLUMNS

GRID = 100
# How classes come to be of one size: "copies" repeats small ones, "cut" does not, "none" keeps all that is sure enough.
BALANCES = ("copies", "cut", "none")


@dataclass(frozen=True)
class Selection:
    """What was selected.

    Attributes:
        manifest: Parquet file with a row for each image that is kept at least once.
        num_rows: Images in it.
        num_copies: Sum of their copies.
        summary: What the json file beside the manifest holds: ``per_class`` (for each class label, name, images
            labelled, filtered (left after guards and confidence), threshold, rows, copies, expected), ``histogram``
            (101 counts of images with confidence in [i / 100, (i + 1) / 100), after the guards), ``guards``
            (excluded, undecodable), ``empty_classes``, and the settings.
    """

    manifest: Path
    num_rows: int
    num_copies: int
    summary: dict


def select(
    parts_dir,
    out,
    *,
    num_classes: int,
    per_class: int | None = None,
    min_confidence: float = 0.3,
    seed: int = 0,
    balanced: str = "copies",
    exclude_hashes: Iterable[str] = (),
    memory_limit: str = "2GB",
    class_names: Sequence[str] | None = None,
    threads: int | None = None,
    log=print,
) -> Selection:
    """Filter and balance the labels of a pool.

    Args:
        parts_dir: Folder of finished labels (:func:`~.labelling.label_pool`).
        out: Manifest to write, ``.parquet``; its summary goes beside it, ``.json``.
        num_classes: C; an image's class is its most probable one.
        per_class: N, the copies that each class has in expectation; not used with ``balanced="none"``.
        min_confidence: Images below are never kept.
        seed: Of the draws.
        balanced: One of :data:`BALANCES`.
        exclude_hashes: Content hashes (:func:`~.pool.content_hash`) of images that must not be trained on, such as
            those of validation and test sets.
        memory_limit: Of DuckDB; what does not fit goes to a folder beside `out` for the time being.
        class_names: For the summary.
        threads: Of DuckDB; by default one for each core.
        log: Prints a line: classes without an image, images left out.

    Raises:
        InputError: Labels that are not there, not finished, or of other classes; a bad argument; no image left.
    """
    if balanced not in BALANCES:
        raise InputError(f"expected balanced as one of {', '.join(BALANCES)}, got {balanced!r} (selection).")
    per_class = 1 if balanced == "none" else per_class or 0
    if per_class < 1 or not 0 <= min_confidence < 1 or num_classes < 1:
        raise InputError(
            "expected per_class from 1 on, min_confidence from 0 on and below 1, num_classes from 1 on, got "
            f"{per_class}, {min_confidence}, {num_classes} (selection)."
        )
    labels, out = _finished(parts_dir, num_classes), Path(out)
    if class_names is not None and len(class_names) != num_classes:
        raise InputError(f"expected {num_classes} class names, got {len(class_names)} (selection, class_names).")
    names = [str(name) for name in (range(num_classes) if class_names is None else class_names)]
    excluded = sorted(set(exclude_hashes))
    out.parent.mkdir(parents=True, exist_ok=True)
    database = _database(out.parent, memory_limit, threads)
    try:
        _views(database, parts_dir, excluded)
        counts, guards = _counts(database, num_classes), _guards(database)
        filtered = _filtered(database, num_classes, min_confidence)
        # As many as there are, where nothing is balanced: every threshold is the floor.
        wanted = [max(images, 1) for images in filtered] if balanced == "none" else [per_class] * num_classes
        cuts = [balance(counts[label], wanted[label], min_confidence) for label in range(num_classes)]
        for one, images in zip(cuts, filtered):
            if balanced == "none":
                one["threshold"] = min_confidence
            if one["threshold"] == min_confidence:  # it may lie within a bin
                one["images"] = images
        ratios = [count / one["images"] if one["images"] else 0.0 for count, one in zip(wanted, cuts)]
        _write_manifest(
            database,
            out,
            cuts,
            [min(ratio, 1.0) if balanced == "cut" else ratio for ratio in ratios],
            seed,
            dict(
                labels=os.path.relpath(Path(parts_dir).resolve(), out.parent.resolve()),
                num_classes=num_classes,
                classes=names,
                **({"top_k": labels["top_k"]} if labels.get("top_k") else {}),
            ),
        )
        rows, copies = _kept(database, out, num_classes)
    finally:
        database.close()
    per_class_rows = [
        dict(
            label=label,
            name=names[label],
            labelled=int(counts[label].sum()),
            filtered=filtered[label],
            threshold=cuts[label]["threshold"],
            rows=rows[label],
            copies=copies[label],
            expected=min(wanted[label], filtered[label])
            if balanced == "cut"
            else wanted[label]
            if filtered[label]
            else 0,
        )
        for label in range(num_classes)
    ]
    summary = dict(
        num_classes=num_classes,
        per_class_copies=None if balanced == "none" else per_class,
        balanced=balanced,
        min_confidence=min_confidence,
        seed=seed,
        num_rows=sum(rows),
        num_copies=sum(copies),
        guards=guards,
        per_class=per_class_rows,
        empty_classes=[label for label in range(num_classes) if not filtered[label]],
        histogram=counts.sum(0).tolist(),
        labels_inputs=labels["inputs"],
        excluded_hashes=hash_of(" ".join(excluded)),
    )
    write_json(out.with_suffix(".json"), summary)
    _report(summary, log)
    if not summary["num_rows"]:
        raise InputError(
            f"expected images of at least {min_confidence} confidence among the {labels['num_images']} "
            f"labelled in {parts_dir}, got none (min_confidence); {out.with_suffix('.json')} has the "
            "histogram."
        )
    return Selection(out, summary["num_rows"], summary["num_copies"], summary)


def balance(counts: np.ndarray, per_class: int, min_confidence: float) -> dict:
    """The threshold of one class.

    Args:
        counts: (101,) images with confidence in [i / 100, (i + 1) / 100); the last those of 1 and above.
        per_class: N.
        min_confidence: The floor.

    Returns:
        ``threshold``: the highest i / 100 with N images or more at or above it, or `min_confidence`; ``images``:
        how many there are (where `min_confidence` lies within a bin, all of the bin are counted).
    """
    lowest = int(np.floor(min_confidence * GRID + 1e-9))
    above = np.cumsum(counts[::-1])[::-1]
    enough = np.flatnonzero(above[lowest:] >= per_class)
    chosen = lowest + int(enough[-1]) if len(enough) else lowest
    return dict(threshold=max(chosen / GRID, min_confidence), images=int(above[chosen]))


def _finished(parts_dir, num_classes: int) -> dict:
    try:
        labels = json.loads(Path(parts_dir, LABELS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"expected finished labels in {parts_dir}, got no {LABELS}; label the pool, to the end."
        ) from error
    if labels["num_classes"] != num_classes:
        raise InputError(
            f"expected labels of {num_classes} classes (num_classes) in {parts_dir}, got {labels['num_classes']}."
        )
    return labels


def _database(scratch: Path, memory_limit: str, threads: int | None):
    try:
        import duckdb
    except ImportError as error:
        raise InputError(
            "expected the package duckdb for selecting pseudo-labels, got none: pip install "
            "'frozen-det[noisy-student]'."
        ) from error
    config = dict(memory_limit=memory_limit, temp_directory=str(scratch / ".select.tmp"))
    try:
        database = duckdb.connect(":memory:", config=config | ({} if threads is None else dict(threads=threads)))
        # Joins keep their sides: with the pool on the left they pass its rows on in order.
        database.execute("SET disabled_optimizers = 'join_order,build_side_probe_side'")
        database.execute("SET enable_progress_bar = false")
        return database
    except duckdb.Error as error:
        raise InputError(
            f"expected a memory limit as DuckDB takes it, such as '2GB', got {memory_limit!r} "
            f"(memory_limit): {str(error).splitlines()[0]}"
        ) from error


def _views(database, parts_dir, excluded: list[str]) -> None:
    """``kept``: decoded rows that no guard leaves out, with their bin on the grid."""
    pa = import_pyarrow()
    pattern = str(Path(parts_dir, "part-*.parquet")).replace("'", "''")
    database.register("excluded_table", pa.table(dict(content_hash=pa.array(excluded, pa.string()))))
    database.execute("CREATE TABLE excluded AS SELECT * FROM excluded_table")
    database.execute(f"CREATE VIEW labelled AS SELECT * FROM read_parquet('{pattern}')")
    # floor(confidence * 100) can be off by one where the product rounds; the grid is i / 100, as in the released code.
    exact = "floor(c * 100)::INTEGER"
    database.execute(
        "CREATE VIEW kept AS SELECT * EXCLUDE (c), least(100, "
        f"{exact} - (({exact} / 100.0) > c)::INTEGER + ((({exact} + 1) / 100.0) <= c)::INTEGER) AS bin "
        "FROM (SELECT *, confidence::DOUBLE AS c FROM labelled ANTI JOIN excluded USING (content_hash) "
        "WHERE decodes)"
    )


def _counts(database, num_classes: int) -> np.ndarray:
    """(C, 101) int64 images by class and bin."""
    counts = np.zeros((num_classes, GRID + 1), np.int64)
    for label, place, count in database.execute("SELECT label, bin, count(*) FROM kept GROUP BY ALL").fetchall():
        counts[label, place] = count
    return counts


def _guards(database) -> dict:
    undecodable, excluded = database.execute(
        "SELECT count(*) FILTER (NOT decodes), (SELECT count(*) FROM labelled SEMI JOIN excluded USING (content_hash) "
        "WHERE decodes) FROM labelled"
    ).fetchone()
    return dict(excluded=excluded, undecodable=undecodable)


def _filtered(database, num_classes: int, min_confidence: float) -> list[int]:
    found = dict(
        database.execute(
            "SELECT label, count(*) FROM kept WHERE confidence::DOUBLE >= ? GROUP BY label", [min_confidence]
        ).fetchall()
    )
    return [found.get(label, 0) for label in range(num_classes)]


def _write_manifest(database, out: Path, cuts: list[dict], ratios: list[float], seed: int, record: dict) -> None:
    pa = import_pyarrow()
    database.register(
        "balanced_table",
        pa.table(
            dict(
                label=pa.array(range(len(cuts)), pa.int32()),
                ratio=pa.array(ratios, pa.float64()),
                threshold=pa.array([one["threshold"] for one in cuts], pa.float64()),
            )
        ),
    )
    database.execute("CREATE TABLE balanced AS SELECT * FROM balanced_table")
    # An image is kept floor(ratio) times, and once more with the chance that is left; md5 draws it, the same in
    # every version of every library.
    draw = f"('0x' || substr(md5(content_hash || ':' || {int(seed)}), 1, 13))::BIGINT / 4503599627370496.0"
    kept = (*COLUMNS, *(SOFT_COLUMNS if record.get("top_k") else ()))
    columns = ", ".join(f'"{name}"' for name in kept)  # "offset" is a word of SQL's
    query = (
        f"SELECT {columns} FROM (SELECT kept.*, "
        f"(floor(ratio) + ({draw} < ratio - floor(ratio))::INTEGER)::INTEGER AS copies "
        "FROM kept JOIN balanced USING (label) WHERE confidence::DOUBLE >= threshold) WHERE copies > 0"
    )
    told = json.dumps(record).replace("'", "''")
    # Several threads would write their runs of rows in whatever order they end; one follows the pool's order, so the
    # manifest is the same every time and shards are read in sequence.
    database.execute("SET threads = 1")
    with replacing(out) as partial:
        target = str(partial).replace("'", "''")
        database.execute(
            f"COPY ({query}) TO '{target}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 100000, "
            f"KV_METADATA {{{META.decode()}: '{told}'}})"
        )


def _kept(database, out: Path, num_classes: int) -> tuple[list[int], list[int]]:
    """Rows and copies of each class in the manifest."""
    name = str(out).replace("'", "''")
    found = {
        label: (rows, int(copies))
        for label, rows, copies in database.execute(
            f"SELECT label, count(*), sum(copies) FROM read_parquet('{name}') GROUP BY label"
        ).fetchall()
    }
    return tuple(list(column) for column in zip(*(found.get(label, (0, 0)) for label in range(num_classes))))


def _report(summary: dict, log) -> None:
    guards, empty = summary["guards"], summary["empty_classes"]
    if guards["excluded"] or guards["undecodable"]:
        log(
            f"left out of the pool: {guards['excluded']} images that are also on the list of excluded hashes, "
            f"{guards['undecodable']} that do not decode"
        )
    if empty:
        shown = ", ".join(summary["per_class"][label]["name"] for label in empty[:10])
        log(
            f"{len(empty)} of {summary['num_classes']} classes have no image of confidence "
            f"{summary['min_confidence']} or more: {shown}{', ...' if len(empty) > 10 else ''}"
        )
