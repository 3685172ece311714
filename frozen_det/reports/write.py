"""``write_report``: from work directories to one self-contained HTML page and the same as Markdown."""

from pathlib import Path

from ..errors import InputError
from ..pages.blocks import Page
from ..pages.html import html_page
from ..pages.markdown import markdown_page
from ..weights.atomic_write import require_writable, write_text
from ..weights.host_guard import registered_types_alone
from .classification import page_of_classifiers
from .detection import page_of_many, page_of_one
from .run_record import RunRecord, read_run

SECOND_TEST = "second_test.json"


def write_report(work_dirs, out=None, baseline: str | None = None, second_test: str = SECOND_TEST) -> tuple[Path, Path]:
    """Write a report.

    Args:
        work_dirs: one work directory or several; runs whose configs differ in the seed alone become one group.
        out: path of the HTML file; by default ``report.html`` in the (first) work directory. The Markdown page is
            written beside it with the suffix ``.md``, its pictures in ``<name>_files/``.

        baseline: of classifiers, the config that differences are taken against; by default the recipe ``plain``,
            else the first.
        second_test: of classifiers, the file in a work directory that holds the numbers on a second test set.

    Returns:
        Paths of the HTML and the Markdown page.

    Raises:
        InputError: a folder that holds no run, an ``out`` that is not an HTML file, detectors together with
            classifiers, or a baseline that is none of the configs.
    """
    work_dirs = [Path(one) for one in ([work_dirs] if isinstance(work_dirs, str | Path) else work_dirs)]
    out = Path(out) if out is not None else work_dirs[0] / "report.html"
    if out.suffix not in (".html", ".htm"):
        raise InputError(f"expected an HTML file to write, got {out} (-o); name it {out.with_suffix('.html')}")
    require_writable(out)
    runs = [read_run(one) for one in work_dirs]
    files = out.parent / f"{out.stem}_files"
    with registered_types_alone():  # models and data sets are built from configs that lie in the folders
        page = _page(runs, files, baseline, second_test)
    write_text(out, html_page(page))
    markdown = out.with_suffix(".md")
    write_text(markdown, markdown_page(page, files))
    return out, markdown


def _page(runs: list[RunRecord], files: Path, baseline: str | None, second_test: str) -> Page:
    if _are_classifiers(runs):
        return page_of_classifiers(runs, files, baseline, second_test)
    if baseline is not None:
        raise InputError(
            f"expected --baseline with classification runs alone, got --baseline {baseline} with "
            f"{runs[0].work_dir}, which trained no frozen_det.ImageClassifier; leave it out."
        )
    return page_of_one(runs[0], files) if len(runs) == 1 else page_of_many(runs, files)


def _are_classifiers(runs: list[RunRecord]) -> bool:
    """Whether all runs trained classifiers; False for none."""
    kinds = {run.is_classification: run for run in runs}
    if len(kinds) == 2:
        raise InputError(
            f"expected detection runs or classification runs, got both: {kinds[True].work_dir} trained a "
            f"classifier, {kinds[False].work_dir} did not (report WORK_DIR); write one report of each."
        )
    return True in kinds
