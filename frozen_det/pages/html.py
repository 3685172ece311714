"""A report page as one HTML file: no script, no font, no picture, no style from elsewhere; dark and light; phones."""

import re
from html import escape
from itertools import groupby

from .blocks import Block, Page

STYLE = """
:root { color-scheme: light dark; --paper: #fdfdfc; --ink: #1c1e21; --soft: #62676e; --rule: #d9dbde;
  --ground: #f3f4f4; --accent: #1d6fa5; }
@media (prefers-color-scheme: dark) { :root { --paper: #15171a; --ink: #e4e6e8; --soft: #9aa1a9; --rule: #33373d;
  --ground: #1e2125; --accent: #7cc0ee; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.55; font-size: 17px;
  font-family: Charter, "Bitstream Charter", "Iowan Old Style", "Source Serif 4", "Noto Serif", "DejaVu Serif",
  Georgia, serif; -webkit-text-size-adjust: 100%; }
main, header, footer { max-width: 60rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 3.2rem; padding-bottom: .6rem; }
header p.kind { margin: 0; color: var(--accent); font: 600 .78rem/1 ui-sans-serif, system-ui, "Segoe UI", Helvetica,
  Arial, sans-serif; letter-spacing: .09em; text-transform: uppercase; }
h1 { margin: .5rem 0 .4rem; font-size: clamp(1.7rem, 5vw, 2.5rem); line-height: 1.15; font-weight: 600;
  letter-spacing: -.01em; overflow-wrap: anywhere; }
header p.subtitle { margin: 0; color: var(--soft); font-size: 1.1rem; max-width: 44rem; }
nav { margin-top: 1.1rem; font: .85rem/1.9 ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }
nav a { margin-right: 1.1rem; white-space: nowrap; }
a { color: var(--accent); text-decoration: none; } a:hover { text-decoration: underline; }
section { padding: 1.5rem 0 .2rem; }
h2 { margin: 0 0 .9rem; padding-top: 1.1rem; border-top: 1px solid var(--rule); font-size: 1.35rem; font-weight: 600; }
p { margin: 0 0 .9rem; max-width: 44rem; } p.note, figcaption, .caption { color: var(--soft); font-size: .88rem; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: 1px; margin: 0 0 1.6rem;
  background: var(--rule); border: 1px solid var(--rule); border-radius: 6px; overflow: hidden; }
.figures div { background: var(--paper); padding: .9rem 1rem .8rem; }
.figures b { display: block; font-size: 1.75rem; line-height: 1.15; font-weight: 600;
  font-variant-numeric: tabular-nums lining-nums; }
.figures span { color: var(--soft); font-size: .86rem; line-height: 1.3; display: block; margin-top: .15rem; }
.table { margin: 0 0 1.6rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font: .88rem/1.35 ui-sans-serif, system-ui, "Segoe UI", "DejaVu Sans", Helvetica,
  Arial, sans-serif; font-variant-numeric: tabular-nums lining-nums; border-top: 1.5px solid var(--ink);
  border-bottom: 1.5px solid var(--ink); }
th { font-weight: 600; border-bottom: 1px solid var(--ink); }
th, td { padding: .34rem .75rem; text-align: right; white-space: nowrap; vertical-align: baseline; }
th:first-child, td:first-child { padding-left: .1rem; } th:last-child, td:last-child { padding-right: .1rem; }
th.word, td.word { text-align: left; }
th.long { white-space: normal; min-width: 6.5rem; }
td.long { white-space: normal; min-width: 11rem; overflow-wrap: anywhere; }
tr.rule td { border-top: 1px solid var(--rule); } td.none { color: var(--soft); } td b { font-weight: 700; }
.caption { margin: .5rem 0 0; max-width: 44rem; line-height: 1.45; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)); gap: 1.2rem 2rem; }
figure { margin: 0 0 1.2rem; } figure svg { display: block; width: 100%; height: auto;
  font-family: ui-sans-serif, system-ui, "Segoe UI", "DejaVu Sans", Helvetica, Arial, sans-serif; }
figcaption { margin-top: .45rem; line-height: 1.4; }
.pairs { display: grid; gap: 1.3rem; margin-bottom: 1rem; }
.pairs img { display: block; width: 100%; height: auto; border-radius: 4px; background: var(--ground); }
figure.wide { max-width: 46rem; } figure.wide img { display: block; width: 100%; height: auto; border-radius: 4px; }
.halves { display: grid; grid-template-columns: 1fr 1fr; color: var(--soft); margin-bottom: .25rem;
  font: .76rem/1.3 ui-sans-serif, system-ui, "Segoe UI", Helvetica, Arial, sans-serif; letter-spacing: .02em; }
pre { background: var(--ground); border-radius: 6px; padding: .8rem 1rem; overflow-x: auto; margin: 0 0 1rem;
  font: .82rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
details { margin: 0 0 1rem; } details pre { margin-top: .5rem; max-height: 32rem; overflow-y: auto; }
summary { cursor: pointer; color: var(--accent); font-size: .95rem; }
footer { color: var(--soft); font-size: .82rem; padding-top: 1rem; padding-bottom: 3rem; }
footer p { border-top: 1px solid var(--rule); padding-top: .9rem; max-width: none; }
@media (max-width: 40rem) { body { font-size: 16px; } header { padding-top: 1.8rem; } th, td { padding: .3rem .5rem; }
  .figures b { font-size: 1.45rem; } .figures { grid-template-columns: 1fr 1fr; } }
@media print { nav { display: none; } details { display: none; } section { break-inside: avoid-page; } }
"""


def html_page(page: Page) -> str:
    """The whole page as HTML text; pictures are read and packed in."""
    names = [_anchor(section.title) for section in page.sections]
    links = " ".join(f'<a href="#{name}">{escape(section.title)}</a>' for name, section in zip(names, page.sections))
    sections = "\n".join(
        f'<section id="{name}"><h2>{escape(section.title)}</h2>\n{_blocks(section.blocks)}</section>'
        for name, section in zip(names, page.sections)
    )
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(page.title)} – frozen_det report</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        f'<header><p class="kind">frozen_det report</p><h1>{escape(page.title)}</h1>'
        f'<p class="subtitle">{escape(page.subtitle)}</p><nav>{links}</nav></header>\n'
        f"<main>\n{sections}\n</main>\n<footer><p>{escape(page.footer)}</p></footer>\n</body>\n</html>\n"
    )


def _blocks(blocks: list[Block]) -> str:
    """Blocks in their order; consecutive figures are side by side where there is space."""
    parts = []
    for side_by_side, some in groupby(blocks, lambda block: block.side_by_side):
        texts = [block.html() for block in some]
        parts += [f'<div class="plots">{"".join(texts)}</div>'] if side_by_side else texts
    return "\n".join(parts)


def _anchor(title: str) -> str:
    return "-".join(re.findall(r"\w+", title.lower()))
