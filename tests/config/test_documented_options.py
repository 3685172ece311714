"""Every `--cfg-options` that a page or a config's docstring recommends loads, and its value stands in the config."""

import itertools
import re
import shlex
from pathlib import Path

import pytest

from frozen_det.config import find_config
from frozen_det.config.option_text import parse_options
from frozen_det.config.shared_values import leaves
from frozen_det.config.top_level import live_keys
from frozen_det.errors import InputError

from .conftest import with_options

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "configs").rglob("*.py"))]


def alternatives(text: str) -> list[str]:
    """`a{b,c}` as `ab` and `ac`, as a shell writes it."""
    parts = re.split(r"\{([^{}]*,[^{}]*)\}", text)
    choices = [part.split(",") if place % 2 else [part] for place, part in enumerate(parts)]
    return ["".join(one) for one in itertools.product(*choices)]


def recommended() -> dict[tuple[str, tuple[str, ...]], str]:
    """(config, options) -> page, of all commands on all pages."""
    found = {}
    for page in PAGES:
        text = re.sub(r"\\\n\s*", " ", page.read_text(encoding="utf-8"))
        for command in re.findall(r"frozen-det \w[^`|\n]*?--cfg-options[^`|\n]*", text):
            before, _, after = re.split(r"\s[#(]| {4,}\w", command)[0].partition("--cfg-options")
            words = itertools.takewhile(lambda word: "=" in word and word[0] != "[", shlex.split(after))
            options = tuple(re.sub("=N$", "=3", word) for word in words)
            for named in [one for word in before.split()[2:] for one in alternatives(word.rstrip("/"))]:
                path = page if named == "CONFIG" and page.suffix == ".py" else named
                try:
                    name = str(find_config(path).relative_to(ROOT / "configs"))
                except (InputError, ValueError):
                    continue
                if options and not (before.split()[1] == "analyze" and "detection" in name):
                    found.setdefault((name, options), page.name)
    return found


COMMANDS = recommended()


def test_the_pages_are_read():
    assert len(COMMANDS) > 40 and {"README.md", "fixres.md", "results.md"} <= set(COMMANDS.values())


@pytest.mark.parametrize(("name", "options"), COMMANDS, ids=lambda one: one if isinstance(one, str) else "")
def test_a_recommended_option_has_its_effect(name, options):
    cfg = with_options(ROOT / "configs" / name, *options)
    values = dict(leaves(cfg))
    for key, value in parse_options(list(options)).items():
        if "." in key:
            held = cfg
            for part in key.split("."):
                held = held[int(part) if part.isdigit() and isinstance(held, list) else part]
            assert held == value, key
        else:
            made = [one for one in values.values() if one == value or str(one).startswith(f"{value}/")]
            assert len(made) > (key not in live_keys(cfg)), key  # a name of the config's own and what is made of it
