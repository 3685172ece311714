"""Classifiers through the Runner: resuming, averaging, accumulation, checkpoints that hand the backbone over."""

import math

import numpy as np
import pytest
import torch

from frozen_det.cli import run_command
from frozen_det.config import load_config
from frozen_det.errors import InputError
from frozen_det.models import FrozenBackbone
from frozen_det.models.detectors.detector import fill_blanks
from frozen_det.upstream.classifier import ImageClassifier
from frozen_det.weights.card import read_card
from frozen_det.weights.loading import read, state_dict_of

from .classifier_runs import MIXING, losses, run, tiny_config, tree_pictures


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tree_pictures(tmp_path_factory.mktemp("trees"))


@pytest.fixture(scope="module")
def averaged(data, tmp_path_factory):
    """Three epochs with mixing and averaged weights."""
    cfg = tiny_config(data, tmp_path_factory.mktemp("averaged"), 3, ema=True, model__mixing=MIXING)
    cfg.default_hooks.checkpoint.max_keep_ckpts = -1
    return cfg, run(cfg)


def test_a_killed_and_resumed_run_takes_the_steps_of_the_uninterrupted_one(averaged, data, tmp_path):
    """30 images in batches of 8: the last batch has 6, and mixing draws anew each step.

    Equal but for the last bit: with two threads, sums depend on where in memory a tensor lies.
    """
    cfg, whole = averaged
    again = tiny_config(data, tmp_path, 3, ema=True, model__mixing=MIXING)
    resumed = run(again, resume_from=f"{cfg.work_dir}/epoch_1.pth")
    assert len(losses(whole)) == 12 and losses(resumed) == pytest.approx(losses(whole), rel=1e-4)
    for entry in ("state_dict", "ema_state_dict"):
        states = [state_dict_of(read(f"{w}/epoch_3.pth"), "x", entry) for w in (cfg.work_dir, str(tmp_path))]
        assert all(torch.allclose(states[0][name], states[1][name], atol=1e-4) for name in states[0]), entry


def test_evaluation_and_the_handed_over_weights_are_the_averaged_ones(averaged):
    """Fact T26."""
    cfg, runner = averaged
    path = f"{cfg.work_dir}/epoch_3.pth"
    stored = state_dict_of(read(path), path)
    raw = runner.model.state_dict()
    assert not torch.equal(stored["network.linear.weight"], raw["network.linear.weight"])
    assert not torch.equal(stored["network.bn1.running_mean"], raw["network.bn1.running_mean"])  # buffers too
    backbone = FrozenBackbone(weights=cfg.work_dir, strides=(4,)).eval()
    backbone.init_weights()
    assert torch.equal(backbone.body.conv1.weight, stored["network.conv1.weight"])
    other = FrozenBackbone(
        body=dict(type="frozen_det.CifarResNet", depth=8), strides=(4,), weights=dict(path=path, key="ema_state_dict")
    )
    other.init_weights()  # the raw ones, by key
    assert torch.equal(other.body.conv1.weight, raw["network.conv1.weight"])


def test_validation_ran_on_the_average(averaged, data):
    cfg, runner = averaged
    logged = runner.message_hub.get_scalar("val/loss").data[0][-1]
    model = ImageClassifier(cfg.model.backbone, 3)
    values = []
    for entry in ("state_dict", "ema_state_dict"):
        state = state_dict_of(read(f"{cfg.work_dir}/epoch_3.pth"), "x", entry)
        model.load_state_dict({k.removeprefix("module."): v for k, v in state.items() if k != "steps"}, strict=False)
        model.eval()
        batches = [model.val_step(batch) for batch in runner.val_dataloader]
        rows = [-torch.log(one["scores"][one["label"]]).item() for batch in batches for one in batch]
        values.append(np.mean(rows))
    assert logged == pytest.approx(values[0], abs=1e-5) and abs(values[0] - values[1]) > 1e-4


def test_a_work_directory_alone_gives_backbone_features_and_input(averaged):
    cfg, _ = averaged
    path = f"{cfg.work_dir}/epoch_3.pth"
    card = read_card(path)
    assert (card.architecture, card.recipe, card.num_classes) == (
        "frozen_det/CifarResNet8",
        "resnet20_plain_cifar10",
        3,
    )
    model = ImageClassifier(cfg.model.backbone, 3, weights=path).eval()
    model.init_weights()
    images = torch.randn(2, 3, 32, 48)
    backbone = FrozenBackbone(weights=cfg.work_dir, strides=(4,)).eval()
    backbone.init_weights()
    feature = backbone(images)[0]
    assert torch.equal(model.network.linear(feature.mean((2, 3))), model(images))
    detector = fill_blanks(
        dict(
            type="RetinaNet",
            backbone=dict(type="frozen_det.FrozenBackbone", weights=cfg.work_dir, strides=(4,)),
            neck=dict(type="FPN", out_channels=8, num_outs=1),
            bbox_head=dict(type="RetinaHead", num_classes=2),
        )
    )
    assert detector["backbone"]["body"] == dict(type="frozen_det.CifarResNet", depth=8)
    assert detector["data_preprocessor"]["mean"] == pytest.approx(list(card.mean), abs=1e-3)


def test_export_writes_the_classifiers_backbone_with_its_card(averaged, tmp_path, capsys):
    cfg, _ = averaged
    cfg.dump(str(tmp_path / "tiny.py"))
    out = tmp_path / "body.safetensors"
    assert run_command("export", [str(tmp_path / "tiny.py"), f"{cfg.work_dir}/epoch_3.pth", "-o", str(out)]) == 0
    card = read_card(out)
    assert card.recipe == "resnet20_plain_cifar10" and card.strides == (1, 2, 4) and card.source == "epoch_3.pth"
    assert card.parent_digest == read_card(f"{cfg.work_dir}/epoch_3.pth").digest


def test_a_folder_without_checkpoints_and_weights_without_a_card_are_one_error(tmp_path, averaged):
    with pytest.raises(InputError, match="Train first"):
        FrozenBackbone(weights=str(tmp_path))
    bare = tmp_path / "bare.pth"
    torch.save(state_dict_of(read(f"{averaged[0].work_dir}/epoch_3.pth"), "x"), bare)
    with pytest.raises(InputError, match="no card that names an architecture"):
        FrozenBackbone(weights=str(bare))


def test_a_timm_classifiers_features_come_back_bit_for_bit_by_path_alone(data, tmp_path):
    cfg = tiny_config(data, tmp_path, 1)
    cfg.model.backbone = dict(type="timm", name="resnet18", drop_path_rate=0.05)
    cfg.train_dataloader.batch_size, cfg.train_dataloader.drop_last = 15, True
    run(cfg)
    model = ImageClassifier(cfg.model.backbone, 3).eval()
    model.load_state_dict(state_dict_of(read(tmp_path / "epoch_1.pth"), "x"))
    backbone = FrozenBackbone(weights=str(tmp_path)).eval()
    backbone.init_weights()
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        features = model.network.forward_intermediates(images, indices=[1, 2, 3, 4], intermediates_only=True)
    assert backbone.architecture == "timm/resnet18" and backbone.strides == (4, 8, 16, 32)
    assert all(torch.equal(a, b) for a, b in zip(backbone(images), features))


def test_a_loss_that_is_not_finite_names_the_images(data, tmp_path):
    cfg = tiny_config(data, tmp_path, 1, optim_wrapper__optimizer__lr=1e30)
    with pytest.raises(InputError, match=r"train/\w+/\d+.png"):
        run(cfg)


def test_accumulated_steps_make_one_update_and_say_so(data, tmp_path, capsys):
    from frozen_det.engine.training import describe_accumulation

    cfg = tiny_config(data, tmp_path, 1, accumulate=2, auto_scale_lr__base_batch_size=32)
    assert cfg.optim_wrapper.accumulative_counts == 2
    assert describe_accumulation(cfg, 1) == (
        "gradient accumulation: 2 steps x 1 process x 8 images = 16 images for one "
        "update; learning rate 0.1 x 16 / 32 = 0.05 (linear in the batch)"
    )
    cfg.dump(str(tmp_path / "again.py"))  # as the Runner does: read again, the rate is not divided again
    again = load_config(tmp_path / "again.py")
    assert describe_accumulation(again, 1) == describe_accumulation(cfg, 1)
    cfg.model.mixing = MIXING
    runner = run(cfg)
    assert runner.optim_wrapper.get_lr()["lr"] == pytest.approx([0.05])
    assert runner.optim_wrapper.inner_count == 4


def test_the_distributed_wrapper_runs_without_a_gpu_and_every_parameter_is_used(data, tmp_path, monkeypatch):
    """One process here; two on a CPU gave one update of 2 x 8 x 2 images and 7 of 7 test images."""
    from mmengine.model import MMDistributedDataParallel

    from frozen_det.engine.training import set_launcher

    for name, value in dict(RANK=0, LOCAL_RANK=0, WORLD_SIZE=1, MASTER_ADDR="127.0.0.1", MASTER_PORT=0).items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cfg = tiny_config(data, tmp_path, 1, ema=True, model__mixing=MIXING)
    try:
        set_launcher(cfg, "pytorch")
        runner = run(cfg)
        assert isinstance(runner.model, MMDistributedDataParallel) and not runner.model.find_unused_parameters
        assert len(losses(runner)) == 4 and read_card(tmp_path / "epoch_1.pth").num_classes == 3
    finally:
        torch.distributed.destroy_process_group()


def test_labels_beyond_the_models_classes_stop_training_with_one_error(data, tmp_path):
    with pytest.raises(InputError, match=r"labels in 0\.\.1 \(model.num_classes=2\)"):
        run(tiny_config(data, tmp_path, 1, model__num_classes=2))


def test_a_test_without_a_checkpoint_needs_weights_in_the_config(capsys):
    assert run_command("test", ["upstream/resnet20_plain_cifar10"]) == 2
    assert "expected a checkpoint file after the config" in capsys.readouterr().err


def test_mixed_precision_without_a_gpu_trains_in_bfloat16(data, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    runner = run(tiny_config(data, tmp_path, 1, optim_wrapper__type="frozen_det.AutocastOptimWrapper"))
    seen = losses(runner)
    assert len(seen) > 0 and all(math.isfinite(loss) for loss in seen)


def test_describe_counts_a_classifier():
    from frozen_det.reports.describe import describe_model

    found = describe_model(load_config("upstream/resnet20_plain_cifar10"))
    assert found.total_params == 269722 and found.size_hw == (32, 32)
    assert found.levels == [dict(stride=1, channels=16), dict(stride=2, channels=32), dict(stride=4, channels=64)]
    # Table 6 has no FLOPs; by hand: 432*1024 + 6 layers of 2304*1024 + (4608 + 5*9216)*256 + ... multiply-adds, twice.
    layers = 432 * 1024 + 6 * 2304 * 1024 + (4608 + 5 * 9216) * 256 + (18432 + 5 * 36864) * 64 + 640
    assert found.forward_flops == 2 * layers
