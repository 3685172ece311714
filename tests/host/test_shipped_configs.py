"""`_base_ = "frozen_det::NAME.py"`: as mmdet's scope, from a checkout and from a wheel, for mmengine alone too."""

import shutil

import pytest
from mmengine.config import Config

from frozen_det.config import finding, load_config
from frozen_det.errors import InputError
from frozen_det.host import shipped_configs


@pytest.fixture
def child(tmp_path):
    def one(base, text=""):
        path = tmp_path / "mine.py"
        path.write_text(f"_base_ = {base!r}\n{text}")
        return path

    return one


@pytest.mark.parametrize(
    "base", ["frozen_det::custom_coco.py", ["frozen_det::custom_coco.py"], "frozen_det::configs/custom_coco"]
)
def test_a_child_of_a_shipped_config_gets_its_parts_and_gives_it_its_values(child, base):
    cfg = load_config(child(base, "data_root = 'my/data'\nimage_size = 256\n"))
    assert cfg.model.detector.type == "FasterRCNN" and "_scope_" not in cfg.model
    assert cfg.model.classes_from == "my/data"
    assert cfg.val_dataloader.dataset.pipeline[1].scale == (256, 256)


def test_parts_of_configs_are_named_so_too(child):
    bases = ["frozen_det::_base_/default_runtime.py", "frozen_det::_base_/models/retinanet.py"]
    assert load_config(child(bases)).model.detector.type == "RetinaNet"


def test_mmengine_alone_reads_it(child):
    assert Config.fromfile(child("frozen_det::quickstart.py")).model.num_classes == 10


def test_it_is_found_where_a_wheel_puts_it(child, tmp_path, monkeypatch):
    installed = tmp_path / "site-packages" / "frozen_det" / "configs"
    shutil.copytree(shipped_configs.shipped_folder(), installed)
    folders = (tmp_path / "site-packages" / "configs", installed)
    for module in (shipped_configs, finding):
        monkeypatch.setattr(module, "FOLDERS", folders)
    path = child("frozen_det::custom_masks.py")
    assert load_config(path).model.detector.type == "MaskRCNN"
    assert shipped_configs.scoped_file("frozen_det::custom_masks.py", "x") == installed / "custom_masks.py"


@pytest.mark.parametrize(
    "name, said",
    [
        ("frozen_det::custom_coko.py", "no 'custom_coko.py'; did you mean frozen_det::custom_coco.py?"),
        ("frozen_det::retinanet.py", "did you mean frozen_det::_base_/models/retinanet.py?"),
        ("frozen_det::../setup.py", "there is no '../setup.py'; see frozen_det.list_configs()"),
        ("frozen-det::quickstart.py", "expected frozen_det::quickstart.py in _base_, got 'frozen-det::quickstart.py'"),
    ],
)
def test_a_name_of_no_config_is_refused_with_the_closest_and_the_file_that_says_so(child, name, said):
    path = child(["frozen_det::_base_/default_runtime.py", name])
    with pytest.raises(InputError) as caught:
        load_config(path)
    assert said in str(caught.value) and str(path) in str(caught.value)
