"""Names at the top of a user's file: keys are known, near misses and parts without use are refused, notes are said."""

import pytest

from frozen_det.errors import InputError

from .conftest import RETINANET, with_options


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("train_dataloder = dict(batch_size=1)", "'train_dataloader'"),
        ("load_form = 'x.pth'", "'load_from'"),
        ("LOAD_FROM = 'x.pth'", "'load_from'"),
        ("custom_hook = [dict(type='EMAHook')]", "'custom_hooks'"),
        ("optimizer_wrapper = dict(optimizer=dict(lr=1.))", "'optim_wrapper'"),
        ("image_sise = 256", "'image_size'"),
        ("imagesize = 256", "'image_size'"),
        ("epoch = 3", "'epochs'"),
        ("data_rot = 'x'", "'data_root'"),
        ("lr = 0.01", "'optim_wrapper.optimizer.lr'"),
        ("batch_size = 8", "'train_dataloader.batch_size'"),
        ("batchsize = 8", "batch_size'"),
        ("num_worker = 0", "num_workers'"),
        ("max_epochs = 3", "'train_cfg.max_epochs'"),
        ("num_epochs = 3", "max_epochs'"),
        ("num_classes = 3", "num_classes'"),
        ("classes = ('a', 'b')", "metainfo.classes'"),
        ("metainfo = dict(classes=('a',))", "'train_dataloader.dataset.metainfo'"),
        ("backbone = dict(freeze=False)", "backbone'"),
        ("optimizer = dict(type='SGD', lr=.1)", "write optim_wrapper.optimizer"),
        ("fp16 = dict(loss_scale=1.)", "AmpOptimWrapper"),
        ("lr_config = dict(policy='step')", "write param_scheduler"),
        ("data = dict(samples_per_gpu=2)", "train_dataloader"),
        ("_base = ['x.py']", "'_base_'"),
        ("__bases__ = ['x.py']", "'_base_'"),
    ],
)
def test_a_name_that_is_meant_for_a_key_is_refused_with_the_key(child, line, meant):
    with pytest.raises(InputError, match=f"has no effect: .*{meant}") as raised:
        child("custom_coco", line)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "line",
    [
        "train_pipeline = [dict(type='LoadImageFromFile')]",
        "hooks = [dict(type='EMAHook')]",
        "scheduler = dict(type='StepLR')",
    ],
)
def test_a_part_that_nothing_uses_is_no_note(child, line):
    with pytest.raises(InputError, match="has no effect: nothing uses it"):
        child("custom_coco", line)


@pytest.mark.parametrize("line", ["author = 'me'", "learning_rate = 0.1", "amp = True"])
def test_a_note_passes_and_is_said(child, line, capsys):
    child("custom_coco", line)
    assert f"nothing uses {line}; treated as a note" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        "_mine = 3",
        "side = 160\nimage_size = 2 * side",
        "def f(x):\n    return x",
        "import math",
        "author = 'me'\nwork_dir = f'runs/{author}'",
    ],
)
def test_what_is_used_or_private_or_code_is_not_spoken_of(child, line, capsys):
    child("custom_coco", line)
    assert "nothing uses" not in capsys.readouterr().err


def test_a_copy_of_a_stock_config_may_keep_what_mmdet_left_in_it(child):
    child(RETINANET, "dataset_type = 'CocoDataset'\nbackend_args = None")


def test_a_written_out_config_is_read_again(tmp_path, capsys):
    with_options("custom_coco", "image_size=256").dump(str(tmp_path / "written.py"))
    assert with_options(tmp_path / "written.py").val_dataloader.dataset.pipeline[1].scale == (256, 256)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("text", ["", "# nothing", "x = 3"])
def test_a_file_that_sets_nothing_that_is_read_is_refused(write, text):
    with pytest.raises(InputError, match="sets nothing that a run reads"):
        with_options(write(text))
