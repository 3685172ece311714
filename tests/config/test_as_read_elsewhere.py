"""A config that mmengine read alone, as mmdet's own tools do: what does not reach its place there is refused."""

import pytest
from mmengine.config import Config

from frozen_det.config import find_config, load_config
from frozen_det.config.as_read_elsewhere import check_read_elsewhere
from frozen_det.errors import InputError

from .conftest import RETINANET


@pytest.fixture
def by_mmengine(write):
    """A child's config, read and overridden by mmengine alone."""

    def read(base: str, text: str, **options):
        path = base if "::" in base else str(find_config(base))
        cfg = Config.fromfile(str(write(f"_base_ = {path!r}\n{text}")))
        cfg.merge_from_dict({key.replace("__", "."): value for key, value in options.items()})
        return cfg

    return read


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("data_root = 'my/data'", {}, "setting data_root has no effect.*train_dataloader.dataset.data_root=my/data"),
        ("", {"data_root": "my/data"}, "setting data_root has no effect here"),
        ("image_size = 256", {}, "setting image_size has no effect here"),
        ("", {"epochs": 3}, "setting epochs has no effect here.*param_scheduler.0.T_max=3"),
        ("", {"train_cfg__max_epochs": 3}, "max_epochs=3 leaves param_scheduler as it is for 24 epochs"),
        ("accumulate = 4", {}, "accumulate is 4 .*mmengine alone does not read it"),
        ("", {"accumulate": 4}, "accumulate is 4 .*mmengine alone does not read it"),
        ("train_dataloder = dict(batch_size=1)", {}, "did you mean 'train_dataloader'"),
        ("", {"train_dataloader__batch_siz": 1}, "batch_siz.*did you mean 'batch_size'"),
        ("", {"train_dataloader__batch_size": 0}, "whole number from 1 on"),
        ("", {"default_hooks__checkpoint__save_best": "bbox_mAP"}, "does not report"),
    ],
)
def test_what_has_no_effect_there_is_refused_with_the_keys_to_set(by_mmengine, text, options, words):
    with pytest.raises(InputError, match=words) as raised:
        check_read_elsewhere(by_mmengine("custom_coco", text, **options))
    assert "\n" not in str(raised.value)


def test_a_stock_configs_data_root_is_refused_too(by_mmengine):
    with pytest.raises(InputError, match="setting data_root has no effect here"):
        check_read_elsewhere(by_mmengine(RETINANET, "data_root = 'my/coco/'"))


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("", {}),
        ("author = 'me'", {}),
        ("train_dataloader = dict(batch_size=2)", {}),
        ("", {"train_dataloader__batch_size": 2}),
        (
            "data_root = 'd'\nmodel = dict(classes_from=data_root)\n_data = dict(dataset=dict(data_root=data_root))\n"
            "train_dataloader = _data\nval_dataloader = _data\ntest_dataloader = _data",
            {},
        ),
    ],
)
def test_what_has_its_effect_passes(by_mmengine, text, options):
    check_read_elsewhere(by_mmengine("custom_coco", text, **options))


def test_what_this_package_read_is_not_read_again(write):
    cfg = load_config(write(f"_base_ = {str(find_config('custom_coco'))!r}\ndata_root = 'my/data'"))
    check_read_elsewhere(cfg)
    check_read_elsewhere(cfg.copy())


def test_a_test_alone_may_leave_the_training_as_it_is(by_mmengine):
    cfg = by_mmengine("custom_coco", "", image_size=256)
    for split in ("val", "test"):
        cfg[f"{split}_dataloader"].dataset.pipeline[1].scale = (256, 256)
    check_read_elsewhere(cfg, unused=("train_",))
    with pytest.raises(InputError, match="image_size"):
        check_read_elsewhere(cfg)
