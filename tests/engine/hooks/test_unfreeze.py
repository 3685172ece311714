"""Unfreezing at an epoch: what trains before and after, the schedule, resuming across the boundary, the proof."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from frozen_det.engine import FrozenProofHook, LeanCheckpointHook
from frozen_det.engine.hooks.unfreeze import UnfreezeHook
from frozen_det.errors import InputError
from frozen_det.models import FrozenBackbone
from frozen_det.weights.kept_checkpoints import latest_checkpoint
from frozen_det.weights.loading import read


class Regressor(BaseModel):
    """A frozen backbone with adapters and a head that predicts one number an image."""

    def __init__(self, weights="random"):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = FrozenBackbone(
            dict(type="timm", name="test_resnet", zero_init_last=False),
            weights,
            adapters=dict(type="parallel", start_stage=4),
        )
        self.head = nn.Linear(self.backbone.channels[-1], 1)

    def forward(self, image, target, mode="loss"):
        predicted = self.head(self.backbone(image)[-1].mean((2, 3)))[:, 0]
        return {"loss": (predicted - target).square().mean()} if mode == "loss" else predicted


class Numbers(torch.utils.data.Dataset):
    """Eight fixed images with a number each."""

    def __len__(self):
        return 8

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        return dict(image=torch.randn(3, 32, 32, generator=generator), target=torch.tensor(float(index % 3)))


class Stop(Exception):
    """Ends a run from outside."""


class StopHook(Hook):
    def __init__(self, epoch):
        self.epoch = epoch

    def before_train_epoch(self, runner):
        if runner.epoch == self.epoch:
            raise Stop


class Recorder(Hook):
    """Notes, after each epoch, the learning rates of all groups and which backbone parameters have moved."""

    def __init__(self):
        self.rates, self.moved, self.start = [], [], None

    def before_train(self, runner):
        self.start = {n: p.clone() for n, p in runner.model.backbone.body.named_parameters()}

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if batch_idx == 0:
            self.rates.append(rates_of(runner))

    def after_train_epoch(self, runner):
        self.moved.append(
            {n for n, p in runner.model.backbone.body.named_parameters() if not torch.equal(p, self.start[n])}
        )


def make_runner(
    folder,
    hooks,
    resume=None,
    constructor="frozen_det.RoleParameterGroups",
    full=True,
    model=None,
    load_from=None,
    scheduler=None,
):
    optimizer = dict(type="SGD", lr=0.05, momentum=0.9, weight_decay=1e-4)
    return Runner(
        model=model or Regressor(),
        work_dir=str(folder),
        experiment_name=f"{Path(folder).name}-{resume is not None}",
        train_dataloader=dict(
            dataset=Numbers(),
            batch_size=4,
            num_workers=0,
            collate_fn=dict(type="default_collate"),
            sampler=dict(type="DefaultSampler", shuffle=False),
        ),
        train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=4),
        optim_wrapper=dict(type="OptimWrapper", optimizer=optimizer, constructor=constructor),
        param_scheduler=scheduler
        or [
            dict(type="LinearLR", start_factor=0.5, by_epoch=False, begin=0, end=6),
            dict(type="MultiStepLR", milestones=[3], gamma=0.1, by_epoch=True),
        ],
        default_hooks=dict(checkpoint=LeanCheckpointHook(full=full, interval=1), logger=dict(type="LoggerHook")),
        custom_hooks=hooks,
        resume=resume is not None,
        load_from=str(resume) if resume else load_from,
        default_scope="mmengine",
        randomness=dict(seed=0),
        log_level="WARNING",
    )


def rates_of(runner):
    return [group["lr"] for group in runner.optim_wrapper.optimizer.param_groups]


def weights_of(runner):
    return {name: value.clone() for name, value in runner.model.state_dict().items()}


def different(first: dict, second: dict) -> list[str]:
    assert set(first) == set(second)
    return [name for name in first if not torch.equal(first[name], second[name])]


def test_the_part_trains_from_its_epoch_on_at_its_own_rate_on_the_common_schedule(tmp_path):
    recorder = Recorder()
    runner = make_runner(tmp_path, [UnfreezeHook(2, ["layer4.*"], lr_mult=0.2), recorder])
    runner.train()
    late = {n for n, _ in runner.model.backbone.body.named_parameters() if n.startswith("layer4.")}
    assert recorder.moved[:2] == [set(), set()]
    assert recorder.moved[3] == late
    assert [len(rates) for rates in recorder.rates] == [2, 2, 3, 3]
    assert recorder.rates[2] == pytest.approx([0.045, 0.045, 0.009])
    assert recorder.rates[3] == pytest.approx([0.005, 0.005, 0.001])  # the schedule's step reaches the new group


def test_a_part_unfrozen_during_warm_up_warms_up_with_the_others(tmp_path):
    recorder = Recorder()
    make_runner(tmp_path, [UnfreezeHook(1, lr_mult=0.5), recorder]).train()
    assert recorder.rates[1][0] < 0.05
    assert all(rates[2] == pytest.approx(0.5 * rates[0]) for rates in recorder.rates[1:])


@pytest.mark.parametrize(
    "scheduler",
    [
        dict(type="CosineAnnealingLR", T_max=8, by_epoch=False, eta_min=0),
        dict(type="CosineRestartLR", periods=[3, 5], restart_weights=[1, 0.5], by_epoch=False, eta_min=0),
        dict(type="PolyLR", power=0.9, eta_min=0, by_epoch=False, end=8),
    ],
    ids=lambda cfg: cfg["type"],
)
def test_schedules_that_keep_base_rates_hold_the_new_group_at_its_share(tmp_path, scheduler):
    class Rates(Hook):
        found = []

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            self.found.append(rates_of(runner))

    runner = make_runner(tmp_path, [UnfreezeHook(1, lr_mult=0.5), Rates()], scheduler=[scheduler])
    runner.train()
    assert [len(rates) for rates in Rates.found] == [2, 2, 3, 3, 3, 3, 3, 3]
    assert len({rates[0] for rates in Rates.found}) == 8
    for rates in Rates.found[2:]:
        assert rates == pytest.approx([rates[0], rates[0], 0.5 * rates[0]])
    assert runner.optim_wrapper.get_lr()["base_lr"] == pytest.approx([rates_of(runner)[0]])


@pytest.mark.parametrize("constructor", ["frozen_det.RoleParameterGroups", "DefaultOptimWrapperConstructor"])
@pytest.mark.parametrize("stop", [1, 2, 3], ids=["before", "at the boundary", "behind"])
def test_resuming_on_either_side_of_the_boundary_equals_an_uninterrupted_run(tmp_path, stop, constructor):
    def hooks():
        return [UnfreezeHook(2, ["layer4.*", "layer3.*"]), FrozenProofHook()]

    whole = make_runner(tmp_path / "whole", hooks(), constructor=constructor)
    whole.train()
    with pytest.raises(Stop):
        make_runner(tmp_path / "cut", [*hooks(), StopHook(stop)], constructor=constructor).train()
    file = latest_checkpoint(tmp_path / "cut")
    assert file.name == f"epoch_{stop}.pth"
    resumed = make_runner(tmp_path / "cut", hooks(), resume=file, constructor=constructor)
    resumed.train()
    assert resumed.iter == 8
    assert different(weights_of(whole), weights_of(resumed)) == []
    first, second = (r.optim_wrapper.optimizer.state_dict() for r in (whole, resumed))
    assert [g["lr"] for g in first["param_groups"]] == [g["lr"] for g in second["param_groups"]]
    assert set(first["state"]) == set(second["state"])
    for key, state in first["state"].items():
        assert torch.equal(state["momentum_buffer"], second["state"][key]["momentum_buffer"])


def test_a_lean_checkpoint_from_behind_the_boundary_resumes_and_loads(tmp_path):
    base = tmp_path / "base.pth"
    torch.save(Regressor().backbone.body.state_dict(), base)

    def hooks():
        return [UnfreezeHook(1, ["layer4.*"]), FrozenProofHook()]

    whole = make_runner(tmp_path / "whole", hooks(), full=False, model=Regressor(str(base)))
    whole.train()
    file = tmp_path / "whole" / "epoch_3.pth"
    keys = read(file)["state_dict"]
    assert {key.split(".")[2] for key in keys if key.startswith("backbone.body.")} == {"layer4"}
    resumed = make_runner(tmp_path / "again", hooks(), full=False, model=Regressor(str(base)), resume=file)
    resumed.train()
    assert different(weights_of(whole), weights_of(resumed)) == []
    fresh = Regressor(str(base))  # as a tool does that knows nothing of the hook
    fresh.load_state_dict(read(tmp_path / "whole" / "epoch_4.pth")["state_dict"])
    assert different(weights_of(whole), fresh.state_dict()) == []


def test_a_new_run_that_starts_from_such_a_checkpoint_begins_frozen(tmp_path):
    make_runner(tmp_path / "first", [UnfreezeHook(1, ["layer4.*"]), FrozenProofHook()]).train()
    recorder = Recorder()
    second = make_runner(
        tmp_path / "second",
        [UnfreezeHook(2, ["layer4.*"]), FrozenProofHook(), recorder],
        load_from=str(tmp_path / "first" / "epoch_4.pth"),
    )
    second.train()
    assert recorder.moved[1] == set()
    assert recorder.moved[2] != set()


def test_the_proof_checks_before_the_step_and_goes_on_with_what_stays_frozen(tmp_path):
    runner = make_runner(tmp_path, [UnfreezeHook(2, ["layer4.*"]), FrozenProofHook()])
    runner.train()
    checks = json.loads((tmp_path / "frozen_proof.json").read_text())["checks"]
    texts = [check["when"] for check in checks]
    at = texts.index("before unfreezing backbone: layer4.*")
    assert texts[at + 1] == "unfroze backbone: layer4.*"
    assert texts[-1] == "end"
    assert all(check["unchanged"] for check in checks)
    proof = next(hook for hook in runner.hooks if isinstance(hook, FrozenProofHook))
    assert not any(name.startswith("layer4.") for name in proof.start["backbone"].tensors)
    assert any(name.startswith("layer3.") for name in proof.start["backbone"].tensors)


def test_a_base_that_moved_before_the_step_is_caught_at_the_step(tmp_path):
    class Vandal(Hook):
        def after_train_epoch(self, runner):
            runner.model.backbone.body.get_submodule("layer4.0.conv1").weight.data[0, 0, 0, 0] += 1

        priority = "VERY_LOW"

    runner = make_runner(tmp_path, [UnfreezeHook(1, ["layer4.*"]), FrozenProofHook(), Vandal()])
    runner._hooks = [hook for hook in runner.hooks if not isinstance(hook, LeanCheckpointHook)]
    with pytest.raises(InputError, match="layer4.0.conv1.weight moved .*before unfreezing"):
        runner.train()


def test_a_distributed_wrapper_is_made_again_so_that_new_gradients_are_reduced(tmp_path, monkeypatch):
    import torch.distributed as dist

    monkeypatch.setenv("LOCAL_RANK", "0")
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        runner = make_runner(tmp_path, [UnfreezeHook(1, ["layer4.*"])])
        runner._launcher, runner._distributed = "pytorch", True
        runner.cfg.model_wrapper_cfg = dict(type="MMDistributedDataParallel", device_ids=None)  # on a CPU
        runner.model = runner.wrap_model(runner.cfg.model_wrapper_cfg, runner.model)
        before = runner.model
        runner.train()
        assert runner.model is not before
        reduced = set()

        def note(state, bucket):
            reduced.update(id(parameter) for parameter in bucket.parameters())
            done = torch.futures.Future()
            done.set_result(bucket.buffer())
            return done

        runner.model.register_comm_hook(None, note)
        runner.model(**torch.utils.data.default_collate([Numbers()[0], Numbers()[1]]))["loss"].backward()
        trained = {id(p) for p in runner.model.module.parameters() if p.requires_grad}
        assert id(runner.model.module.backbone.body.get_submodule("layer4.0.conv1").weight) in trained
        assert reduced == trained
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize(
    ("hook", "message"),
    [
        (lambda: UnfreezeHook(-1), "from 0 on"),
        (lambda: UnfreezeHook(0, module="head"), "no frozen_det.FrozenBackbone"),
        (lambda: UnfreezeHook(0, ["layer9.*"]), "matches no parameter"),
    ],
)
def test_a_step_that_cannot_be_taken_is_refused(tmp_path, hook, message):
    with pytest.raises(InputError, match=message):
        make_runner(tmp_path, [hook()]).train()


def test_a_loop_without_epochs_is_refused(tmp_path):
    runner = make_runner(tmp_path, [UnfreezeHook(1)])
    runner._train_loop = dict(type="IterBasedTrainLoop", max_iters=2)
    with pytest.raises(InputError, match="EpochBasedTrainLoop"):
        runner.train()
