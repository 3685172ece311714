"""What every test shares: quiet threads, the folder of real data (tests skip with a reason where it is absent)."""

import os
from pathlib import Path

import pytest

import frozen_det  # noqa: F401  the stand-in for mmcv's ops must stand before a test imports mmdet

os.environ.setdefault("MPLBACKEND", "Agg")
REPOSITORY = Path(__file__).resolve().parent.parent


def _data_folder() -> Path | None:
    """The folder of real images: $FROZEN_DET_DATA, or shared/data beside the checkout."""
    named = os.environ.get("FROZEN_DET_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    return folder if folder.is_dir() else None


def pytest_collection_modifyitems(items) -> None:
    """Whoever asks for real images is marked so."""
    for item in items:
        if "real_data" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.real_data)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with coco128, bccd, imagenet_sample, lvis_api_sample, ...; skips where it is absent."""
    folder = _data_folder()
    if folder is None:
        pytest.skip("real images are absent: set FROZEN_DET_DATA to a folder that holds coco128, bccd, ...")
    return folder


@pytest.fixture(autouse=True)
def _few_threads_and_fixed_seed():
    import torch

    # Several pytest processes (pytest-xdist) share the cores: a thread each.
    torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _clean_host_scope():
    """A Runner leaves a default scope behind; the next test must not depend on it."""
    yield
    import sys

    if "mmengine.registry.default_scope" in sys.modules:
        from mmengine.registry import DefaultScope

        DefaultScope._instance_dict.clear()
    if "mmengine.logging.message_hub" in sys.modules:
        from mmengine.logging import MessageHub

        # The newest hub is the current one: what a finished run left in it would name another test's files.
        MessageHub._instance_dict.clear()
