"""Configs: found by name, checked as a whole, overrides that reach what they should."""

import pytest

from frozen_det.config import find_config, load_config
from frozen_det.errors import InputError


def test_a_shipped_config_is_found_by_its_name_and_a_typo_names_the_closest():
    assert find_config("quickstart").name == "quickstart.py"
    with pytest.raises(InputError, match="did you mean 'quickstart'"):
        find_config("quikstart")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optim_wraper.lr": 1}, "no key 'optim_wraper'; did you mean 'optim_wrapper'"),
        (
            {"model.detector.neck.out_chanels": 1},
            "the key 'out_chanels', which FPN does not take; did you mean 'out_channels'",
        ),
        ({"model.detector.backbone.freze": False}, "'freze'.*did you mean 'freeze'"),
        ({"train_dataloader.dataset.type": "frozen_det.ToyScene"}, "no type 'frozen_det.ToyScene'; did you mean"),
        ({"default_hooks.logger.intervall": 2}, "'intervall'.*did you mean 'interval'"),
    ],
)
def test_an_unknown_key_is_refused_with_the_closest_name(options, message):
    with pytest.raises(InputError, match=message):
        load_config("quickstart", options)


def test_a_misspelt_top_level_key_in_a_file_is_refused(tmp_path):
    path = tmp_path / "c.py"
    path.write_text("train_dataloder = dict(batch_size=1)\n")
    with pytest.raises(InputError, match="train_dataloder = .* no effect: did you mean 'train_dataloader'"):
        load_config(path)


def test_a_file_that_does_not_parse_is_one_clear_error(tmp_path):
    path = tmp_path / "c.py"
    path.write_text("a = (\n")
    with pytest.raises(InputError, match="expected a config that mmengine can read"):
        load_config(path)


def test_data_root_reaches_every_path_built_from_it():
    cfg = load_config("quickstart", {"data_root": "elsewhere/toys"})
    assert cfg.train_dataloader.dataset.data_root == "elsewhere/toys"
    assert cfg.val_evaluator.ann_file == "elsewhere/toys/annotations/val.json"


@pytest.mark.parametrize("count", [1, 4])
def test_accumulation_is_one_number_and_keeps_the_learning_rate_of_the_whole_batch(count):
    cfg = load_config("quickstart", {"accumulate": count})
    assert cfg.optim_wrapper.accumulative_counts == count
    # mmengine multiplies by batch_size / base_batch_size: 8 * count images make one update of base 8.
    assert cfg.train_dataloader.batch_size / cfg.auto_scale_lr.base_batch_size == count


def test_a_wrong_accumulation_is_refused():
    with pytest.raises(InputError, match="expected `accumulate` as a whole number"):
        load_config("quickstart", {"accumulate": 0})


def test_a_misspelt_argument_of_the_checkpoint_hook_is_refused_although_its_parent_takes_anything():
    from frozen_det.engine import LeanCheckpointHook

    with pytest.raises(InputError, match="no argument 'intervall'.*did you mean 'interval'"):
        LeanCheckpointHook(intervall=2)


def test_a_child_may_set_a_name_again_and_use_it_where_its_base_did(tmp_path):
    path = tmp_path / "c.py"
    path.write_text(
        f"_base_ = [{str(find_config('custom_coco'))!r}]\nepochs = 7\ntrain_cfg = dict(max_epochs=epochs)\n"
        "param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, end=epochs, T_max=epochs)]\n"
    )
    cfg = load_config(path)
    assert (cfg.train_cfg.max_epochs, [one.end for one in cfg.param_scheduler]) == (7, [7])


def test_a_name_that_a_child_sets_and_nothing_uses_is_refused(tmp_path):
    path = tmp_path / "c.py"
    path.write_text(
        f"_base_ = [{str(find_config('custom_coco'))!r}]\nepochs = 7\ntrain_cfg = dict(max_epochs=7)\n"
        "param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, end=7, T_max=7)]\n"
    )
    with pytest.raises(InputError, match="epochs=7 has no effect"):
        load_config(path)


@pytest.mark.parametrize("monitor", ["monitor='bbox_mAP', ", ""])
def test_a_schedule_that_follows_an_unreported_number_is_refused(tmp_path, monitor):
    path = tmp_path / "c.py"
    path.write_text(
        f"_base_ = [{str(find_config('custom_coco'))!r}]\n"
        f"param_scheduler = [dict(type='ReduceOnPlateauLR', {monitor}patience=0)]\n"
    )
    with pytest.raises(InputError, match="param_scheduler.0.monitor is '(bbox_mAP|loss)', which the validation does"):
        load_config(path)
    path.write_text(
        path.read_text()
        .replace("patience", "by_epoch=True, patience")
        .replace(monitor, "")
        .replace("patience=0", "monitor='coco/bbox_mAP'")
    )
    assert load_config(path).param_scheduler[0].monitor == "coco/bbox_mAP"
