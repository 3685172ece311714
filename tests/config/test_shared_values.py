"""A name of a config's own reaches all that is made of it, from a child and from the command line."""

import pytest

from frozen_det.errors import InputError

from .conftest import RETINANET, with_options


def sizes(cfg):
    train, val, test = (getattr(cfg, f"{split}_dataloader").dataset.pipeline for split in ("train", "val", "test"))
    return {tuple(train[2].scale), tuple(train[3].crop_size), tuple(val[1].scale), tuple(test[1].scale)}


def roots(cfg):
    return {
        cfg.model.classes_from,
        *(cfg[f"{split}_dataloader"].dataset.data_root for split in ("train", "val", "test")),
    }


def test_options_reach_every_value_computed_from_them():
    cfg = with_options("custom_coco", "image_size=256", "epochs=3", "data_root=my data/x")
    assert sizes(cfg) == {(256, 256)} and roots(cfg) == {"my data/x"}
    assert (cfg.train_cfg.max_epochs, cfg.param_scheduler[0].T_max) == (3, 3)
    assert cfg.param_scheduler[0].warm_up == 0.12


@pytest.mark.parametrize(
    "line",
    [
        "image_size = 256",
        "image_size: int = 256",
        "image_size, _other = 256, 1",
        "if True:\n    image_size = 256",
        "for image_size in (128, 256):\n    pass",
        "_half = 128\nimage_size = 2 * _half",
        "image_size = _base_.image_size // 2",
        "def half(x):\n    return x // 2\nimage_size = half(512)",
    ],
)
def test_a_childs_name_reaches_its_base_however_it_is_set(child, line):
    assert sizes(child("custom_coco", line)) == {(256, 256)}


def test_a_chain_of_children_ends_with_the_last(write, child):
    child("custom_coco", "image_size = 320\nepochs = 4")
    cfg = with_options(write("_base_ = 'child.py'\nimage_size = 192", "last.py"))
    assert sizes(cfg) == {(192, 192)} and cfg.param_scheduler[0].T_max == 4


def test_a_name_from_which_another_is_computed_reaches_through_it(write, child):
    child("custom_coco", "side = 128\nimage_size = 2 * side")
    assert sizes(with_options(write("_base_ = 'child.py'", "last.py"), "side=64")) == {(128, 128)}
    assert sizes(with_options(write("_base_ = 'child.py'\nside = 96", "last.py"))) == {(192, 192)}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("c.json", '{{"_base_": "{0}", "image_size": 256, "data_root": "d"}}'),
        ("c.yaml", "_base_: {0}\nimage_size: 256\ndata_root: d\n"),
    ],
)
def test_json_and_yaml_configs_reach_their_base_too(write, name, text):
    from frozen_det.config import find_config

    cfg = with_options(write(text.format(find_config("custom_coco")), name))
    assert sizes(cfg) == {(256, 256)} and roots(cfg) == {"d"}


@pytest.mark.parametrize("given", ["option", "child"])
def test_data_root_moves_the_paths_of_a_stock_config(child, given):
    text, items = ("data_root = 'my/coco/'", ()) if given == "child" else ("", ("data_root=my/coco/",))
    cfg = child(RETINANET, text, *items)
    assert {cfg[f"{split}_dataloader"].dataset.data_root for split in ("train", "val", "test")} == {"my/coco/"}
    assert cfg.val_evaluator.ann_file == cfg.test_evaluator.ann_file == "my/coco/annotations/instances_val2017.json"


def test_what_is_set_by_its_full_key_wins_over_the_name():
    cfg = with_options("custom_coco", "image_size=320", "train_dataloader.dataset.pipeline.3.crop_size=(300,300)")
    assert sizes(cfg) == {(320, 320), (300, 300)}


def test_an_entry_of_a_list_of_the_configs_own_is_reached_by_its_index():
    cfg = with_options("quickstart", "test_pipeline.1.scale=(96,96)", "vis_backends.1.type=WandbVisBackend")
    assert cfg.val_dataloader.dataset.pipeline[1].scale == (96, 96)
    assert cfg.visualizer.vis_backends[1].type == "WandbVisBackend"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["image_size=640.0"], "whole numbers of pixels"),
        (["image_size=0"], "whole numbers of pixels"),
        (["image_size=true"], "expected a number for image_size"),
        (["image_size=(256,256)"], "expected a number"),
        (["image_size=nan"], "expected a finite number for image_size"),
        (["image_size=None"], "expected a number"),
        (["epochs=0"], "a whole number from 1 on"),
        (["epochs=1.5"], "a whole number from 1 on"),
        (["epochs=1e3"], "whole"),
        (["data_root=a,b"], "quotes inside quotes"),
        (["data_root=3"], "expected a text for data_root"),
        (["image_sise=256"], "did you mean 'image_size'"),
        (["image_size.0=3"], "has no entries"),
        (["lr=0.01"], "no key 'lr'"),
        (["_base_.epochs=3"], "no key '_base_'"),
        (["filename=x.py"], "no key 'filename'"),
    ],
)
def test_a_name_with_a_value_that_cannot_be_or_without_a_place_is_one_line(options, words):
    with pytest.raises(InputError, match=words) as raised:
        with_options("custom_coco", *options)
    assert "\n" not in str(raised.value)


def test_a_name_from_which_nothing_follows_is_refused_with_the_names_that_can_be_set(child):
    with pytest.raises(InputError, match="note=4 has no effect .*computed from note.*can be set are .*image_size"):
        child("custom_coco", "note = 3", "note=4")


def test_a_key_that_belongs_below_is_named_with_its_place():
    with pytest.raises(InputError, match="no key 'num_classes'; did you mean 'model.num_classes'"):
        with_options("resnet20_cutmix_cifar10", "num_classes=50")


def test_a_value_that_no_file_can_say_is_refused(child):
    with pytest.raises(InputError):
        child("custom_coco", "from pathlib import Path\ndata_root = Path('my/data')")
