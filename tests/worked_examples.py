"""The worked examples of CONTRIBUTING.md, as the page has them."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "CONTRIBUTING.md"


def worked_examples() -> dict[str, str]:
    """What is added ('an adapter') -> the code of its example."""
    sections = re.split(r"^### Add ", PAGE.read_text(encoding="utf-8"), flags=re.M)[1:]
    return {one.split("\n")[0]: re.search(r"```python\n(.*?)```", one, re.S)[1] for one in sections}
