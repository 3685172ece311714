"""The sections of a report: functions that give blocks, registered where they are defined for the pages that show them.

    @section("What it costs", 30, "runs")
    def _costs(facts: Facts) -> list: ...

A page shows its sections by place, and leaves out those without blocks.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import check_choice
from ..pages.blocks import Section
from ..plugins import load_plugins
from .groups import RunGroup
from .run_record import RunRecord

# A detector's run, several of them side by side, classifiers.
PAGES = ("run", "runs", "classifiers")


@dataclass
class Facts:
    """What a section may ask.

    Attributes:
        runs: all runs of the page.
        groups: the same in groups: those of one group differ in the seed alone.
        stage: ``val`` or ``test``, where the numbers are from.
        files: folder for pictures that are drawn for the page.
        pairs: the comparisons of groups.
        baseline: of classifiers, the group that differences are taken against.
        second_test_file: name of the json in a work directory with the numbers on a second test set.
    """

    runs: list[RunRecord]
    groups: list[RunGroup]
    stage: str
    files: Path
    pairs: list[Any] = field(default_factory=list)
    baseline: RunGroup | None = None
    second_test_file: str = ""


Builder = Callable[[Facts], list]
_REGISTERED: dict[str, list[tuple[int, str, Builder]]] = {page: [] for page in PAGES}


def section(title: str, place: int, page: str) -> Callable[[Builder], Builder]:
    """Register a function as a section; it can be registered for several pages.

    Args:
        title: above the section.
        place: sections stand in the order of this number, those of one number in that of their registration.
        page: ``run``, ``runs`` or ``classifiers``.

    Raises:
        InputError: no such page.
    """
    check_choice("a section's page", page, PAGES)

    def register(build: Builder) -> Builder:
        _REGISTERED[page].append((place, title, build))
        return build

    return register


def sections_of(page: str, facts: Facts) -> list[Section]:
    """The sections of a page that have blocks, in their order."""
    load_plugins()
    registered = sorted(_REGISTERED[page], key=lambda one: one[0])
    built = [Section(title, build(facts)) for _, title, build in registered]
    return [one for one in built if one.blocks]
