"""What pyproject.toml cannot say: the configs stand at the top, and an index shows the README without its links."""

import re
from pathlib import Path

from setuptools import find_packages, setup


def description(readme: str) -> str:
    """The README for a package index, where paths of the repository lead nowhere: links of pages as words, no pictures.

    Links with a scheme stay.
    """
    without_pictures = re.sub(r"!\[[^\]]*\]\((?!\w+:)[^)]*\)\n*", "", readme)
    return re.sub(r"\[([^\]]+)\]\((?!\w+:)[^)]*\)", r"\1", without_pictures)


setup(
    long_description=description((Path(__file__).parent / "README.md").read_text(encoding="utf-8")),
    long_description_content_type="text/markdown",
    packages=[*find_packages(include=["frozen_det", "frozen_det.*"]), "frozen_det.configs"],
    package_dir={"frozen_det": "frozen_det", "frozen_det.configs": "configs"},
    package_data={"frozen_det": ["py.typed", "advisor/*.json"], "frozen_det.configs": ["*.py", "*/*.py", "*/*/*.py"]},
)
