"""``write_report``: from work directories to one self-contained HTML page and its Markdown twin."""

from pathlib import Path

from ..errors import InputError
from .report_content import page_of_many, page_of_one
from .report_html import html_page
from .report_markdown import markdown_page
from .run_record import read_run


def write_report(work_dirs, out=None) -> tuple[Path, Path]:
    """Write a report.

    Args:
        work_dirs: one work directory or several; runs whose configs differ in the seed alone become one arm.
        out: path of the HTML file; by default ``report.html`` in the (first) work directory. The Markdown page is
            written beside it with the suffix ``.md``, its pictures in ``<name>_files/``.

    Returns:
        Paths of the HTML and the Markdown page.

    Raises:
        InputError: a folder that holds no run, or an ``out`` that is not an HTML file.
    """
    work_dirs = [Path(one) for one in ([work_dirs] if isinstance(work_dirs, str | Path) else work_dirs)]
    out = Path(out) if out is not None else work_dirs[0] / "report.html"
    if out.suffix not in (".html", ".htm"):
        raise InputError(f"expected an HTML file to write, got {out} (-o); name it {out.with_suffix('.html')}")
    runs = [read_run(one) for one in work_dirs]
    files = out.parent / f"{out.stem}_files"
    page = page_of_one(runs[0], files) if len(runs) == 1 else page_of_many(runs, files)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(html_page(page), encoding="utf-8")
    markdown = out.with_suffix(".md")
    markdown.write_text(markdown_page(page, files), encoding="utf-8")
    return out, markdown
