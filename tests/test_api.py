"""The public names: each is imported on demand, documented, annotated, and stands on the page, whose example runs."""

import ast
import doctest
import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import frozen_det

ROOT = Path(__file__).resolve().parents[1]
NAMES = [name for name in frozen_det.__all__ if name != "__version__"]


@pytest.fixture(scope="module")
def api_page():
    spec = importlib.util.spec_from_file_location("api_page", ROOT / "docs" / "api_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_documented_with_arguments_results_and_errors_and_is_annotated(name):
    found = getattr(frozen_det, name)
    assert found.__name__ == name and found.__module__.startswith("frozen_det.")
    doc = inspect.getdoc(found)
    assert doc and doc[0].isupper()
    if inspect.isclass(found) and issubclass(found, Exception):
        return
    maker = found.__new__ if "__new__" in vars(found) else found
    parameters = [p for p in inspect.signature(maker).parameters.values() if p.name not in ("self", "cls")]
    assert [p.name for p in parameters if p.annotation is p.empty] == []
    assert [p.name for p in parameters if p.name not in doc] == []
    if inspect.isfunction(found):
        assert inspect.signature(found).return_annotation is not inspect.Signature.empty
        assert "Returns:" in doc and ("Raises:" in doc or name == "list_configs")


def test_dir_gives_the_public_names_and_an_unknown_one_is_an_attribute_error():
    assert dir(frozen_det) == sorted(frozen_det.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'load_detectr'"):
        frozen_det.load_detectr  # noqa: B018


def test_type_checkers_see_the_names_that_are_imported_on_demand():
    tree = ast.parse((ROOT / "frozen_det" / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    assert seen == {**frozen_det._WITH_HOST, **frozen_det._WITHOUT_HOST} and set(seen) == set(NAMES)


def test_names_that_need_no_host_are_imported_without_mmengine_and_torch_stays_out_of_listing_configs():
    code = (
        "import frozen_det, sys; frozen_det.list_configs(); assert 'torch' not in sys.modules\n"
        "frozen_det.InputError, frozen_det.read_card, frozen_det.WeightsCard; assert 'mmdet' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_page_is_what_the_docstrings_give(api_page):
    """If this fails: `make api`."""
    assert (ROOT / "docs" / "api.md").read_text(encoding="utf-8") == api_page.page()
    assert sorted(name for names in api_page.GROUPS.values() for name in names) == sorted(NAMES)


def test_the_example_on_the_page_gives_what_it_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = re.search(r"```pycon\n(.*?)```", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), flags=re.S)[1]
    examples = doctest.DocTestParser().get_doctest(text, {}, "docs/api.md", None, 0)
    assert len(examples.examples) > 5
    assert doctest.DocTestRunner(verbose=False).run(examples).failed == 0


def test_backbones_and_configs_are_listed_by_pattern():
    assert frozen_det.list_configs("quick*") == ["quickstart"]
    assert "resnet50" in frozen_det.list_backbones("timm", "resnet*")
    assert frozen_det.list_backbones("torchvision", "convnext_t*") == ["convnext_tiny"]
    assert frozen_det.list_backbones("mmdet", "Swin*") == ["SwinTransformer"]
    assert "frozen_det.CifarResNet" in frozen_det.list_backbones("frozen_det")
    with pytest.raises(frozen_det.InputError, match="got 'tim'; did you mean 'timm'"):
        frozen_det.list_backbones("tim")
