"""The page says what the files say, needs nothing from elsewhere, and opens in a browser at every width."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from PIL import Image

from frozen_det.cli import main
from frozen_det.errors import InputError
from frozen_det.pages.blocks import Code, Figure, KeyFigures, Page, Pair, Pairs, Picture, Section, Table, Text
from frozen_det.pages.html import html_page
from frozen_det.pages.markdown import markdown_page
from frozen_det.pages.plots import Curve, Plot, draw_bars_svg, draw_dots_svg, draw_svg
from frozen_det.pages.words import duration, percent
from frozen_det.reports.groups import group_runs, mean_and_spread
from frozen_det.reports.run_record import read_run
from frozen_det.reports.write import write_report

from .conftest import train_line, write_evaluation, write_run, write_work_dir


@pytest.fixture
def one_page(work_dir):
    return write_report(work_dir)


def test_one_run_gives_a_page_with_every_section_and_its_twin(one_page, work_dir):
    html, markdown = one_page
    assert html == work_dir / "report.html" and markdown == work_dir / "report.md"
    text, twin = html.read_text(), markdown.read_text()
    for title in (
        "Results",
        "Training",
        "By class",
        "Ground truth and predictions",
        "The backbone stayed frozen",
        "What ran",
        "The same on your own data",
        "Not found",
    ):
        assert f"<h2>{title}</h2>" in text and f"## {title}" in twin
    assert "Box AP 40.0 after epoch 2; 2.96 M parameters stayed frozen, bit for bit." in text
    assert "2,958,848 frozen parameters and 144 buffers of backbone" in text
    assert "compared 3 times, never a difference" in text
    assert "parameters and FLOPs" in text  # said to be missing
    assert "frozen-det train custom_coco" in twin


def test_the_table_holds_last_and_best_numbers_right_aligned_and_dashes_for_empty_groups(one_page):
    html, markdown = one_page
    rows = re.findall(r"\| box, last \(epoch 2\) \|(.*)\|", markdown.read_text())
    assert [cell.strip() for cell in rows[0].split("|")] == ["40.0", "60.0", "30.0", "40.0", "40.0", "–"]
    assert [cell.strip() for cell in rows[1].split("|")] == ["40.0", "50.0"]
    assert '<td class="none">–</td>' in html.read_text()
    assert "<td>30.0</td>" in html.read_text() and "text-align: right" in html.read_text()
    assert '<td class="word">box, last (epoch 2)</td>' in html.read_text()


def test_names_of_the_data_cannot_break_the_page(one_page):
    text = one_page[0].read_text()
    assert "&lt;zebra&gt;" in text and "<zebra>" not in text and "ant &amp; bee" in text


def test_nothing_comes_from_elsewhere(one_page):
    text = one_page[0].read_text()
    for match in re.findall(r"""(?:src|href)=["']([^"']*)""", text):
        assert match.startswith(("#", "data:image/jpeg;base64,")), match
    assert "@import" not in text and "<script" not in text and "<link" not in text
    assert not re.search(r"url\((?!#)", text)
    assert set(re.findall(r"https?://[^\s\"'<]+", text)) <= {"http://www.w3.org/2000/svg"}


def test_ids_of_two_drawings_do_not_collide(one_page):
    text = one_page[0].read_text()
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids)) > 20
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)


def test_the_markdown_page_links_files_that_are_there(one_page):
    markdown = one_page[1]
    links = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", markdown.read_text())
    assert len(links) == 3  # two curves, one picture
    assert all((markdown.parent / link).is_file() for link in links)


def test_seeds_of_one_config_are_one_group_and_another_config_is_another(tmp_path):
    for number, (name, seed, shift, config) in enumerate(
        (("arm", 0, 0.0, ""), ("arm", 1, 0.02, ""), ("arm", 0, 0.3, "lr = 2\n"), ("other", 0, -0.1, ""))
    ):
        write_work_dir(tmp_path / f"run{number}", seed, shift, name, config)
    runs = [read_run(tmp_path / f"run{number}") for number in range(4)]
    groups = group_runs(runs)
    assert [(group.label, len(group.runs)) for group in groups] == [("arm (run0)", 2), ("arm (run2)", 1), ("other", 1)]
    html, markdown = write_report([run.work_dir for run in runs], tmp_path / "all" / "page.html")
    twin = markdown.read_text()
    assert "| arm (run0) | 0, 1 | 41.0 ± 1.4 |" in twin
    assert "| arm (run2) | 0 | **70.0** |" in twin and "| other | 0 | 30.0 |" in twin
    assert "4 runs in 3 groups" in html.read_text()
    assert "| &lt;zebra> | 41.0 ± 1.4 | 70.0 | 30.0 |" in twin


@pytest.mark.parametrize("own_process", [True, False])
def test_a_test_of_the_checkpoint_is_one_more_row(work_dir, own_process):
    write_run(work_dir, "20260103_000000", [], seed=9)
    if not own_process:
        shutil.rmtree(work_dir / "20260103_000000" / "vis_data")
    write_evaluation(work_dir, "20260103_000000", 40, 0.5)
    path = work_dir / "20260103_000000" / "evaluation" / "coco_val_iter_40.json"
    record = json.loads(path.read_text())
    path.rename(path.with_name("coco_test.json")).write_text(json.dumps({**record, "stage": "test", "iter": None}))
    run = read_run(work_dir)
    assert run.seed == 0 and [one["stage"] for one in run.evaluations] == ["val", "val", "test"]
    twin = write_report(work_dir)[1].read_text()
    assert "| box, test | 50.0 |" in twin and "| ant & bee | 40.0 |" in twin  # classes: of the last validation


def test_lvis_runs_have_their_groups_and_limits(tmp_path):
    numbers = {"AP": 0.3, "AP50": 0.5, "APs": 0.1, "APr": -1.0, "APc": 0.2, "APf": 0.4, "AR@300": 0.35, "ARs@300": 0.2}
    lines = [train_line(10, 4.0), {**{f"lvis/bbox_{name}": value for name, value in numbers.items()}, "step": 1}]
    write_run(tmp_path / "lvis", "20260101_000000", lines)
    twin = write_report(tmp_path / "lvis")[1].read_text()
    assert "|  | AP | AP50 | small | rare | common | frequent |" in twin
    assert "| box, last (epoch 1) | 30.0 | 50.0 | 10.0 | – | 20.0 | 40.0 |" in twin
    assert "| box, last (epoch 1) | 35.0 | 20.0 |" in twin


def test_a_run_without_validations_still_has_a_page(tmp_path):
    write_run(tmp_path / "young", "20260101_000000", [train_line(10, 4.0)])
    text = write_report(tmp_path / "young")[0].read_text()
    assert "No validation was logged yet." in text and "No proof was written" in text


def test_a_moved_tensor_is_the_first_thing_one_reads(work_dir):
    proof = work_dir / "frozen_proof.json"
    proof.write_text(
        proof.read_text().replace(
            '"iter": 40, "epoch": 0, "unchanged": true',
            '"iter": 40, "epoch": 0, "unchanged": false, "moved": "backbone.w"',
        )
    )
    text = write_report(work_dir)[0].read_text()
    assert "a frozen tensor moved: backbone.w" in text and "Do not use this run." in text
    assert "MOVED at iteration 40" in text and "never a difference" not in text


def test_a_bar_in_a_cell_does_not_split_the_markdown_table(tmp_path):
    page = Page("t", "s", [Section("a", [Table(["x", "y", "z"], [["a|b", "", "<1"]], best={(0, 0), (0, 2)})])])
    assert "| **a\\|b** | – | **<1** |" in markdown_page(page, tmp_path / "files")
    assert "<b>a|b</b>" in html_page(page) and "<td><b>&lt;1</b></td>" in html_page(page)


@pytest.mark.parametrize("seconds, words", [(5.25, "5.2 s"), (75, "1 min 15 s"), (6000, "1 h 40 min")])
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words


def test_percent_and_spread():
    assert percent(0.41249) == "41.2" and percent(-1) == percent(None) == ""
    assert mean_and_spread([]) is None and mean_and_spread([2.0]) == (2.0, None)
    assert mean_and_spread([1.0, 3.0]) == (2.0, pytest.approx(2**0.5))


def test_the_command_prints_both_paths_and_refuses_other_files(work_dir, capsys):
    assert main(["report", str(work_dir), "-o", str(work_dir / "page.html")]) == 0
    assert capsys.readouterr().out.split() == [str(work_dir / "page.html"), str(work_dir / "page.md")]
    with pytest.raises(InputError, match="page.html"):
        write_report(work_dir, work_dir / "page.pdf")
    assert main(["report", str(work_dir / "nothing")]) == 2


def test_a_browser_shows_all_pictures_and_no_width_scrolls_the_page(one_page, tmp_path):
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium here: install the package chromium to open the report in a browser")
    probe = """<script>document.documentElement.dataset.probe = [document.documentElement.scrollWidth, innerWidth,
        [...document.images].filter(one => one.naturalWidth == 0).length, document.images.length,
        document.querySelectorAll('figure svg').length].join(' ')</script>"""
    page = tmp_path / "probed.html"
    page.write_text(one_page[0].read_text().replace("</body>", f"{probe}</body>"))
    for width in (390, 1200):
        shown = subprocess.run(
            [
                browser,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                f"--user-data-dir={tmp_path / f'profile{width}'}",
                f"--window-size={width},900",
                "--dump-dom",
                page.as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
        ).stdout
        content, window, broken, images, drawings = map(int, re.search(r'data-probe="([^"]+)"', shown)[1].split())
        assert content <= window and broken == 0 and images == 1 and drawings == 2


@pytest.mark.parametrize("line", ["open(MARK, 'w')", "model = dict(type='builtins.open', file=MARK, mode='w')"])
def test_reading_a_colleagues_run_runs_nothing_of_it(tmp_path, line):
    mark = tmp_path / "mark"
    write_work_dir(tmp_path / "run", config=line.replace("MARK", repr(str(mark))) + "\n")
    html = write_report(tmp_path / "run")[0].read_text()
    assert not mark.exists() and "Box AP 40.0" in html
    if line.startswith("open"):
        assert "line 3 is something else. Nothing was run" in html  # said among what is missing


MARKUP = [
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "[a](javascript:alert(1))",
    "![a](http://b)",
    "`a` *b* _c_ ~~d~~",
    "a|b",
    "a\nb\r\n# c",
    "&lt;i&gt;",
    "x$\\foo$y",
    "]: http://a",
    "<!-- -->",
    "a\x00\x1b[1mb",
    "-->",
    "\" onload='alert(1)",
    "]]>",
    "\\",
    "a \u2028b",
    "> a",
    "# a",
    "- a",
    "1. a",
    "--- ",
]


@pytest.mark.parametrize("name", ["</text><script>x</script>", "x$\\foo$y", "a\x00\x1b[1mb", "]]>--><b>"], ids=ascii)
@pytest.mark.filterwarnings("ignore::UserWarning")  # the font lacks control characters
def test_no_name_becomes_markup_in_a_drawing(name):
    for svg in (
        draw_svg(
            Plot(
                [Curve(name, [1, 2], [1, 2]), Curve("b", [1, 2], [2, 1])],
                name,
                name,
                x_ticks=[(1, name)],
                notes=[(1, 1, name)],
            ),
            "curves",
        ),
        draw_bars_svg([(name, 1.0)], name, "bars"),
        draw_dots_svg([(name, [1.0, 2.0])], name, "dots"),
    ):
        found = [text.text for text in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
        assert found.count(re.sub("[\x00-\x1f]", "", name)) >= 2
        assert ReadBack(svg).tags <= {"svg", "g", "path", "defs", "use", "text", "clippath", "rect", "style", "tspan"}


@pytest.mark.parametrize("name", MARKUP, ids=ascii)
def test_no_name_becomes_markup_on_either_page(tmp_path, name):
    """Every block with the name in each of its places; parsers of HTML and Markdown read the pages back."""
    Image.new("RGB", (8, 8)).save(tmp_path / "a b).png")
    page = Page(
        name,
        name,
        [
            Section(
                name,
                [
                    Text(name),
                    KeyFigures([(name, name)]),
                    Table([name, name], [[name, name]], name, best={(0, 1)}),
                    Figure("<svg></svg>", name, "curves"),
                    Pairs([Pair(tmp_path / "a b).png", name)], name, name),
                    Picture(tmp_path / "a b).png", name),
                    Code(f"{name}\n```\n{name}", name),
                    Code(name),
                ],
            )
        ],
        name,
    )
    html = ReadBack(html_page(page))
    assert html.tags <= KNOWN_TAGS and html.attributes <= KNOWN_ATTRIBUTES
    assert html.words_of("h1").replace("\0", "").split() == name.replace("\0", "").split()
    twin = markdown_page(page, tmp_path / "files of it")
    assert len([line for line in twin.splitlines() if line.startswith("|")]) == 3
    markdown = pytest.importorskip("markdown_it", reason="reads the Markdown page back where it is installed")
    read = ReadBack(markdown.MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(twin))
    assert read.tags <= {
        "h1",
        "h2",
        "p",
        "ul",
        "li",
        "strong",
        "table",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "img",
        "pre",
        "code",
        "details",
        "summary",
        "hr",
    }
    assert all(source.startswith("files%20of%20it/") for source in read.sources)


class ReadBack(HTMLParser):
    """What stands in a page: tags, attributes, sources of pictures, words by tag."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.attributes, self.sources, self._words, self._open = set(), set(), [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.sources += [value for name, value in attrs if name == "src"]
        self._open.append(tag)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        for tag in self._open:
            self._words[tag] = self._words.get(tag, "") + data

    def words_of(self, tag: str) -> str:
        return self._words.get(tag, "")


KNOWN_TAGS = {
    "html",
    "head",
    "meta",
    "title",
    "style",
    "body",
    "header",
    "p",
    "h1",
    "nav",
    "a",
    "main",
    "section",
    "h2",
    "div",
    "b",
    "span",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "figure",
    "figcaption",
    "img",
    "pre",
    "details",
    "summary",
    "footer",
    "svg",
}
KNOWN_ATTRIBUTES = {"lang", "charset", "name", "content", "class", "href", "id", "src", "alt"}
