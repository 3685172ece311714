"""The packages of frozen_det, which pyproject.toml cannot say: the configs stand at the top and travel in the wheel."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["frozen_det", "frozen_det.*"]), "frozen_det.configs"],
    package_dir={"frozen_det": "frozen_det", "frozen_det.configs": "configs"},
    package_data={"frozen_det": ["py.typed"], "frozen_det.configs": ["*.py", "*/*.py", "*/*/*.py"]},
)
