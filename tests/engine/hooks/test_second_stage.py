"""The second stage as a run: from a lean first stage to a checkpoint of which only the final layer is new."""

import json
from types import SimpleNamespace

import pytest
import torch

from frozen_det.config import load_config
from frozen_det.engine import FrozenProofHook
from frozen_det.engine.hooks.frozen_proof import trained_names
from frozen_det.engine.hooks.second_stage import SecondStageHook, refuse_other_classes, refuse_tuned_base
from frozen_det.errors import InputError
from frozen_det.weights import loading as checkpoints
from frozen_det.weights.lean import make_lean

from ...models.detectors.test_second_stage import batch, stages, total
from ...training_runs import tiny_config, tiny_scenes, train

STAGE_ONE = "mask-rcnn_frozen-efficientnetb7_nasfpn_lsj-cp-1280-460e_lvis"
STAGE_TWO = "mask-rcnn_frozen-efficientnetb7_nasfpn_lsj-cp-1280-36e_lvis_cb-stage2"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """(scenes, checkpoint of a first stage of one epoch, work directory of the second stage, its checkpoint)."""
    folder = tmp_path_factory.mktemp("stages")
    scenes = tiny_scenes(folder / "scenes")
    train(tiny_config(scenes, folder / "first", train_cfg__max_epochs=1))
    first = next((folder / "first").glob("epoch_1.pth"))
    train(second_config(scenes, folder / "second", first))
    return scenes, first, folder / "second", folder / "second" / "epoch_1.pth"


def second_config(scenes, work_dir, load_from):
    cfg = tiny_config(scenes, work_dir, train_cfg__max_epochs=1)
    cfg.model.detector.type = "frozen_det.ClassifierStage"
    cfg.model.detector.roi_head.bbox_head.loss_cls = dict(
        type="frozen_det.ClassBalancedLoss", ann_file=f"{scenes}/annotations/train.json"
    )
    cfg.custom_hooks.append(dict(type="frozen_det.SecondStageHook"))
    cfg.load_from = str(load_from) if load_from else None
    return cfg


@pytest.mark.slow
def test_of_a_lean_first_stage_only_the_final_layer_moves_and_the_proof_says_so(runs):
    _, first, folder, second = runs
    before, after = (checkpoints.read(path)["state_dict"] for path in (first, second))
    assert "backbone.base_digest" in before and set(before) == set(after)
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        "roi_head.bbox_head.fc_cls.weight",
        "roi_head.bbox_head.fc_cls.bias",
    }
    proof = json.loads((folder / "frozen_proof.json").read_text(encoding="utf-8"))
    assert proof["trained"] == ["roi_head.bbox_head.fc_cls"]
    assert {module["name"] for module in proof["modules"]} == {"backbone", "the rest of the model"}
    assert all(check["unchanged"] for check in proof["checks"]) and proof["checks"][-1]["when"] == "end"


def test_a_run_without_a_first_stage_or_with_a_missing_file_is_refused_before_it_starts(tmp_path):
    hook = SecondStageHook()
    runner = SimpleNamespace(_resume=False, _load_from=None, _train_loop=object())
    hook.before_run(runner)  # testing: no training loop was built
    import frozen_det.engine.hooks.second_stage as module

    for given, said in ((None, "got none.*load_from="), (str(tmp_path / "gone.pth"), r"gone\.pth does not exist")):
        runner._load_from = given
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "is_training", lambda runner: True)
            with pytest.raises(InputError, match=said):
                hook.before_run(runner)


def test_a_run_from_nothing_stops_before_its_first_step(runs, tmp_path):
    with pytest.raises(InputError, match="finished first stage in load_from, got none"):
        train(second_config(runs[0], tmp_path / "none", None))


def test_a_first_stage_of_other_classes_or_another_order_is_refused():
    with pytest.raises(InputError, match="2 classes instead of 3"):
        refuse_other_classes(["a", "b"], ["a", "b", "c"], "f.pth")
    with pytest.raises(InputError, match="'b' as class 0 instead of 'a'"):
        refuse_other_classes(["b", "a"], ["a", "b"], "f.pth")
    refuse_other_classes(["a", "b"], ["a", "b"], "f.pth")


def test_a_fine_tuned_backbone_under_a_frozen_config_is_refused():
    held = torch.ones(2)
    backbone = SimpleNamespace(is_frozen=True, source="timm", frozen_tensors=lambda: {"conv.weight": held})
    model = SimpleNamespace(backbone=backbone)
    refuse_tuned_base({"state_dict": {"backbone.body.conv.weight": torch.ones(2)}}, model, "f.pth")
    refuse_tuned_base({"state_dict": {}}, model, "f.pth")  # lean
    with pytest.raises(InputError, match=r"conv.weight differs.*freeze=False"):
        refuse_tuned_base({"state_dict": {"backbone.body.conv.weight": torch.zeros(2)}}, model, "f.pth")


def runner_of(model, folder):
    """As much of a runner as the proof asks for."""
    logger = SimpleNamespace(info=lambda text: None)
    return SimpleNamespace(model=model, work_dir=str(folder), rank=0, iter=0, epoch=0, logger=logger, hooks=[])


@pytest.mark.parametrize(
    "name",
    ["neck.", "rpn_head.", "roi_head.bbox_head.fc_reg.", "running_mean", "num_batches_tracked", "backbone.body."],
)
def test_the_proof_stops_when_anything_but_the_final_layer_moves(tmp_path, name):
    _, model = stages()
    hook, runner = FrozenProofHook(), runner_of(model, tmp_path)
    hook.before_train(runner)
    moved = next(full for full in model.state_dict() if name in full)
    runner.iter = 3
    hook.check(runner, "validation")
    model.state_dict()[moved].add_(1)
    with pytest.raises(InputError, match=f"frozen tensor {moved} moved"):
        hook.check(runner, "validation")


def test_the_proof_lets_the_final_layer_move(tmp_path):
    _, model = stages("ours_cascade")
    hook, runner = FrozenProofHook(), runner_of(model, tmp_path)
    hook.before_train(runner)
    total(model.train().loss(*batch())).backward()
    torch.optim.SGD(model.parameters(), lr=1.0).step()
    runner.iter = 1
    hook.check(runner, "end")
    assert trained_names(model) == [f"roi_head.bbox_head.{i}.fc_cls" for i in range(3)]


def test_what_a_second_stage_freezes_beside_the_backbone_stays_in_its_checkpoints():
    _, model = stages()
    checkpoint = dict(state_dict=dict(model.state_dict()))
    assert make_lean(model, checkpoint) == {} and set(checkpoint["state_dict"]) == set(model.state_dict())


@pytest.mark.parametrize("state", ["frozen", "finetune"])
def test_the_second_stages_config_differs_in_what_trains_the_loss_and_the_schedule_alone(state):
    one, two = (load_config(name.replace("_frozen-", f"_{state}-")).to_dict() for name in (STAGE_ONE, STAGE_TWO))
    model = two["model"]["detector"]
    assert model.pop("type") == "frozen_det.ClassifierStage"
    assert model["roi_head"]["bbox_head"].pop("loss_cls") == dict(
        type="frozen_det.ClassBalancedLoss", ann_file="data/lvis/annotations/lvis_v1_train.json"
    )
    one["model"]["detector"].pop("type")
    one["model"]["detector"]["roi_head"]["bbox_head"].pop("loss_cls")
    assert two["default_hooks"].pop("second_stage") == dict(type="frozen_det.SecondStageHook")
    assert {key for key in one if one[key] != two.get(key)} == {"param_scheduler", "train_cfg", "lr"}


def test_the_learning_rate_and_the_data_folder_are_options():
    cfg = load_config(STAGE_TWO, {"optim_wrapper.optimizer.lr": 0.01, "data_root": "other/lvis"})
    assert cfg.optim_wrapper.optimizer.lr == 0.01
    assert cfg.model.detector.roi_head.bbox_head.loss_cls.ann_file == "other/lvis/annotations/lvis_v1_train.json"
    assert cfg.train_cfg.max_epochs == 36
