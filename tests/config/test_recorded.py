"""Configs that came with weights: those that ship pass, and no registered type that runs a text is let by."""

import inspect
import re

import pytest
from mmengine.config import Config

from frozen_det.config import find_config, list_configs
from frozen_det.config.top_level import keys_of_a_run
from frozen_det.errors import InputError
from frozen_det.weights.reading.recorded_check import TO_DETECT, check_recorded
from frozen_det.weights.reading.recorded_types import _registries, held, held_at, is_scope, why_refused

NAMES = list_configs()


@pytest.mark.parametrize("part", range(8))
def test_every_config_that_ships_passes_as_a_record(part):
    looked_at = 0
    for name in NAMES[part::8]:
        cfg = Config.fromfile(str(find_config(name)))
        if hasattr(cfg.get("model"), "items") and "upstream" not in cfg and "rounds" not in cfg:
            for built in (TO_DETECT, keys_of_a_run()):
                check_recorded(cfg, name, built=built)
            looked_at += 1
    assert looked_at > 10


# What a part may not do with an argument: as text in its source.
_RISKY = re.compile(  # a method of the name `eval` is another thing
    r"(?<![.\w])(?<!def )(eval|exec)\(|os\.system|os\.popen|subprocess|__import__|import_module"
    r"|get_object_from_string|from_pretrained\(|Config\.fromfile|rmtree\(|getattr\((albumentations|iaa)\b|pickle\.load"
)
# Looked at: what they load was written by the run itself.
_HARMLESS = {
    "mmengine.CheckpointHook": "removes its own checkpoints; `out_dir` is refused",
    "mmengine.BaseDataset": "unpickles what it pickled itself in memory",
    "mmdet.BaseVideoMetric": "unpickles and removes its own temporary files",
}


def test_every_registered_type_that_runs_or_removes_what_arguments_name_is_refused():
    found = set()
    for registry in _registries():
        for kind in registry.module_dict.values():
            for one in inspect.getmro(kind) if inspect.isclass(kind) else (kind,):
                name = f"{one.__module__.partition('.')[0]}.{one.__name__}"
                if name.partition(".")[0] not in ("mmengine", "mmdet", "mmcv", "frozen_det") or name in _HARMLESS:
                    continue
                source = re.sub(r'""".*?"""|#.*', "", inspect.getsource(one), flags=re.DOTALL)
                if _RISKY.search(source) and why_refused(kind) is None:
                    found.add(f"{name}: {_RISKY.search(source)[0]}")
    assert found == set()


@pytest.mark.parametrize(
    ("name", "is_held"),
    [
        ("Resize", True),
        ("mmdet.Resize", True),
        ("frozen_det.Detector", True),
        ("mmengine.Visualizer", True),
        ("mmdet.datasets.coco.CocoDataset", True),
        ("mmdet.datasets.CocoDataset", True),
        ("torch.nn.modules.activation.ReLU", True),
        ("torch.nn.Module", False),
        ("mmengine.load", False),
        ("mmengine.Resize.x", False),
        ("os.system", False),
        ("os", False),
        ("", False),
        (".", False),
        ("mmdet.", False),
        ("Resize ", False),
        ("frozen_det.load_detector", False),
    ],
)
def test_a_name_is_held_by_a_registry_or_is_the_place_of_what_one_holds(name, is_held):
    assert bool(held(name)) == is_held


@pytest.mark.parametrize("key", ["a': open(1), 'b", 'a"', "a\\", "a\nb"])
def test_a_key_that_the_host_would_write_as_code_is_refused(key):
    with pytest.raises(InputError, match="keys without quotes and line ends, got .*, at model.x of .*Nothing was run"):
        check_recorded(Config(dict(model=dict(type="RetinaNet", x={key: 1}))), "a.pth")


def test_nothing_is_imported_to_find_a_name(tmp_path, monkeypatch):
    import sys

    (tmp_path / "module_of_nobody.py").write_text("raise SystemExit", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert held("module_of_nobody.Thing") == [] and held_at("module_of_nobody.Thing") is None
    assert not is_scope("module_of_nobody") and is_scope("mmdet") and not is_scope(["mmdet"])
    assert "module_of_nobody" not in sys.modules


def test_a_type_of_a_plugin_that_is_loaded_passes():
    from frozen_det.registry import MODELS

    @MODELS.register_module()
    class OfAPlugin:
        """A part of another package."""

    try:
        for name in ("OfAPlugin", "frozen_det.OfAPlugin"):
            check_recorded(Config(dict(model=dict(type=name))), "a.pth")
        with pytest.raises(InputError, match=r"'other.OfAPlugin', at model.type .* Nothing was run"):
            check_recorded(Config(dict(model=dict(type="other.OfAPlugin"))), "a.pth")
    finally:
        MODELS.module_dict.pop("OfAPlugin")
