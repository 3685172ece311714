"""Which parts a labelling has, what each is made from, and which of them are left to do."""

from collections.abc import Callable
from pathlib import Path

from ...engine.runner.processes import by_first
from ...weights.atomic_write import is_leftover
from .label_files import LABELS, part_number, part_record, write_plan
from .listings.digests import hash_of
from .listings.listing import Listing, Part, open_listing
from .pool import Pool, refuse_overlap


def planned(
    pool: Pool | Listing,
    out_dir: Path,
    part_size: int,
    made: str,
    list_again: bool = False,
    log: Callable[[str], None] = print,
) -> tuple[list[Part], dict[int, str]]:
    """The parts of a pool, and by number the hash of what each is made from, which is written down as the plan.

    The first of processes that know of each other lists the pool for all. Those that do not each write the plan, while
    they hold the listing: none by an older one than another.

    Args:
        pool, out_dir, part_size, list_again, log: As in :func:`~.labelling.label_pool`.
        made: See :func:`~.labelling.made_by`.

    Raises:
        InputError: See :func:`~.pool.refuse_overlap` and :func:`~.listings.listing.open_listing`.
    """

    def plan(parts: list[Part]) -> tuple[list[Part], dict[int, str]]:
        inputs = {part.number: hash_of(f"{made} {part.digest}") for part in parts}
        write_plan(out_dir, [inputs[number] for number in range(len(inputs))])
        return parts, inputs

    def found() -> tuple[list[Part], dict[int, str]]:
        if isinstance(pool, Listing):
            return plan(pool.parts)
        refuse_overlap(pool)
        with open_listing(pool.sources, out_dir / "listing", part_size, list_again, log) as listing:
            return plan(listing.parts)

    return by_first(found)


def to_do(parts: list[Part], inputs: dict[int, str], out_dir: Path) -> list[Part]:
    """Those of some parts that are not whole, or of other inputs; what dead writers left of any of them is removed."""
    todo = [part for part in parts if (part_record(out_dir, part.number) or {}).get("inputs") != inputs[part.number]]
    if todo:
        (out_dir / LABELS).unlink(missing_ok=True)
    numbers = {part.number for part in parts}
    for leftover in out_dir.glob(".part-*.partial*"):
        if part_number(leftover) in numbers and is_leftover(leftover):
            leftover.unlink(missing_ok=True)
    return todo
