"""`frozen-det doctor` on invented installations: every piece of advice, and silence where nothing is off."""

import json

import pytest

from frozen_det.cli import doctor, main

ONEDL = {
    "torch": "2.11.0+cpu",
    "torchvision": "0.26.0",
    "onedl-mmengine": "0.10.12",
    "onedl-mmcv": "2.3.6",
    "onedl-mmdetection": "3.5.1",
    "numpy": "2.2.6",
    "timm": "1.0.31",
    "setuptools": "82.0.0",
}
ORIGINAL = {
    "torch": "2.1.2",
    "torchvision": "0.16.2",
    "mmengine": "0.10.7",
    "mmcv": "2.1.0",
    "mmdet": "3.3.0",
    "numpy": "1.26.4",
    "timm": "1.0.31",
    "setuptools": "80.9.0",
}
REQUIRED = {
    "frozen-det": ["torch>=2.1", "timm>=1.0.9", "onnx>=1.16; extra == 'export'", "mmcv==2.1.0; extra == 'openmmlab'"],
    "torchvision": ["numpy"],
}


def findings(installed, **required):
    """What is said, of the installation; keywords give the requirements of one distribution."""
    return list(doctor.diagnose(installed, {**REQUIRED, **required}.get))


def the_only(found):
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("installed", [ONEDL, ORIGINAL], ids=["onedl", "openmmlab"])
def test_nothing_is_said_about_a_sound_installation(installed):
    assert findings(installed) == []


@pytest.mark.parametrize("stack", doctor.TESTED, ids=lambda stack: f"{stack.line}-torch{stack.torch}")
def test_each_tested_combination_is_recognised_and_a_neighbour_is_not(stack):
    names = {
        part: [n for n in names if n.startswith("onedl-") == (stack.line == "onedl")][0]
        for part, names in doctor.HOST.items()
    }
    installed = {
        "torch": f"{stack.torch}+cu130",
        names["mmengine"]: stack.mmengine,
        names["mmcv"]: stack.mmcv,
        names["mmdet"]: stack.mmdet,
    }
    assert doctor.line_of(installed) == stack.line
    assert doctor.tested_as(installed) == stack
    assert doctor.tested_as({**installed, "torch": "1.13.1"}) is None
    assert doctor.tested_as({**installed, names["mmcv"]: "9.9.9"}) is None


def test_a_part_installed_twice_is_broken_and_both_are_named_in_what_to_type():
    found = the_only(findings({**ONEDL, "mmdet": "3.3.0"}))
    assert found.broken and "onedl-mmdetection and mmdet are both installed" in found.what
    assert found.type_this.startswith("pip uninstall -y onedl-mmdetection mmdet && pip install")
    assert doctor.line_of({**ONEDL, "mmdet": "3.3.0"}) == "mixed"
    assert doctor.tested_as({**ONEDL, "mmdet": "3.3.0"}) is None


def test_the_light_mmcv_beside_the_full_one_is_a_part_installed_twice():
    found = the_only(findings({**ORIGINAL, "mmcv-lite": "2.1.0"}))
    assert "mmcv and mmcv-lite are both installed" in found.what


def test_a_host_of_two_lines_gets_advice_which_to_remove():
    mixed = {name: version for name, version in ONEDL.items() if name != "onedl-mmengine"} | {"mmengine": "0.10.7"}
    found = [one for one in findings(mixed) if "mixes onedl-*" in one.what]
    assert the_only(found).type_this.startswith("pip uninstall -y mmengine && pip install")


def test_a_missing_host_is_broken():
    bare = {name: version for name, version in ONEDL.items() if not name.startswith("onedl-")}
    found = the_only(findings(bare))
    assert found.what == "mmengine, mmcv, mmdet are missing, and frozen_det is a plugin of MMDetection 3.x"
    assert found.broken and "frozen-det[onedl,quickstart]" in found.type_this
    assert doctor.line_of(bare) == "incomplete"


def test_a_missing_part_of_the_original_line_is_not_answered_with_the_other_line():
    found = the_only(findings({name: version for name, version in ORIGINAL.items() if name != "mmcv"}))
    assert found.what.startswith("mmcv is missing") and "frozen-det[openmmlab,quickstart]" in found.type_this


@pytest.mark.parametrize(
    ("version", "refused"), [("2.0.0rc4", False), ("2.1.0", False), ("2.2.0", True), ("1.7.2", True)]
)
def test_mmcv_outside_the_range_of_the_original_mmdet(version, refused):
    found = findings({**ORIGINAL, "mmcv": version})
    assert [one.what for one in found] == [f"mmdet 3.3.0 refuses mmcv {version}: it wants >=2.0.0rc4,<2.2.0"] * refused


@pytest.mark.parametrize(
    ("numpy", "torch", "off"), [("2.0.0", "2.2.2", True), ("2.0.0", "2.3.0", False), ("1.26.4", "2.1.2", False)]
)
def test_numpy_2_with_a_torch_built_for_numpy_1(numpy, torch, off):
    found = findings({**ORIGINAL, "numpy": numpy, "torch": torch})
    assert [one.type_this for one in found] == ["pip install 'numpy<2' 'opencv-python<4.12'"] * off


def test_setuptools_without_pkg_resources_or_none_at_all_beside_the_original_line():
    newer = the_only(findings({**ORIGINAL, "setuptools": "82.0.0"}))
    assert newer.type_this == "pip install 'setuptools<81'" and "installed is 82.0.0" in newer.what
    none = the_only(findings({name: version for name, version in ORIGINAL.items() if name != "setuptools"}))
    assert "installed is none" in none.what and not none.broken


def test_a_version_below_the_range_of_setup_and_a_missing_requirement():
    found = the_only(findings({**ONEDL, "timm": "0.9.16"}))
    assert found.what == "timm 0.9.16 is outside the range that frozen_det states, timm>=1.0.9"
    assert found.type_this == "pip install 'timm>=1.0.9'" and not found.broken
    assert the_only(findings({**ONEDL, "onnx": "1.12.0"})).type_this == "pip install 'onnx>=1.16'"
    gone = the_only(findings({name: version for name, version in ONEDL.items() if name != "timm"}))
    assert gone.what == "timm is missing" and gone.broken


def test_torchvision_built_for_another_torch():
    found = the_only(findings(ONEDL, torchvision=["torch==2.10.0"]))
    assert found.broken and "built for torch==2.10.0, but torch 2.11.0+cpu" in found.what
    assert findings(ONEDL, torchvision=["torch==2.11.0"]) == []


def test_the_command_shows_host_ops_and_what_to_type(capsys, monkeypatch):
    twice = doctor.Finding("something is off", "pip install something", broken=True)
    monkeypatch.setattr(doctor, "diagnose", lambda *args: [twice])
    assert main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "advice     something is off. Type: pip install something" in said
    assert "\nhost " in said and "\nops " in said
    assert main(["doctor", "--json"]) == 1
    facts = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert facts["broken"] and facts["host"] in ("onedl", "openmmlab", "mixed", "incomplete")


def test_ops_that_do_not_load_are_named_with_their_reason(monkeypatch):
    from frozen_det.host import mmcv_ops

    def broken():
        raise ImportError("undefined symbol: _ZN2at")

    monkeypatch.setattr(mmcv_ops, "in_use", broken)
    facts = doctor.examine()
    assert facts["broken"] and "undefined symbol" in facts["ops"]
    assert any("--no-deps" in advice and "mmcv" in advice for advice in facts["advice"])
