import re

import pytest

from frozen_det.config import load_config
from frozen_det.errors import InputError
from frozen_det.upstream.noisy_student.loop_config import check_loop

# The released scripts: magnitude, unlabelled images for each labelled one, epochs, dropout.
RELEASED = dict(
    b0=(None, 1, 700, 0.2),
    b1=(None, 3, 700, 0.2),
    b2=(6, 3, 700, 0.3),
    b3=(12, 3, 700, 0.3),
    b4=(15, 3, 700, 0.4),
    b5=(18, 3, 350, 0.4),
    b6=(24, 3, 350, 0.5),
    b7=(27, 3, 350, 0.5),
)


@pytest.mark.parametrize("size", RELEASED)
def test_each_size_has_the_released_values(size):
    magnitude, ratio, epochs, dropout = RELEASED[size]
    loop = load_config(f"noisy_student/efficientnet-{size}_imagenet1k")
    check_loop(loop)
    (one,) = loop.rounds
    assert (one.ratio, one.min_confidence, one.per_class, one.labels, one.weighting) == (
        ratio,
        0.3,
        130_000,
        "soft",
        "sum",
    )
    cfg = load_config(one.config)
    assert cfg.train_dataloader.dataset.transform.magnitude == magnitude
    assert cfg.train_cfg.max_epochs == epochs and cfg.model.backbone.drop_rate == dropout
    assert cfg.model.backbone.drop_path_rate == 0.2 and cfg.model.loss.label_smoothing == 0.1
    assert cfg.param_scheduler.step_size == pytest.approx(2.4 * epochs / 350) and cfg.param_scheduler.gamma == 0.97
    assert cfg.optim_wrapper.optimizer.lr == 0.128 and cfg.auto_scale_lr.base_batch_size == 2048
    average = next(hook for hook in cfg.custom_hooks if hook.type == "frozen_det.EMAHook")
    assert average.momentum == 1e-4 and average.update_buffers


def test_the_ablations_differ_from_b0_in_what_they_ablate():
    plain = load_config("noisy_student/efficientnet-b0_imagenet1k").to_dict()
    for name, change in (
        ("no-balancing", dict(balanced="none")),
        ("no-upsampling", dict(balanced="cut")),
        ("noised-teacher", {}),
    ):
        loop = load_config(f"noisy_student/efficientnet-b0_{name}_imagenet1k")
        check_loop(loop)
        other = loop.to_dict()
        wanted = {**plain["rounds"][0], **change}
        if name == "no-balancing":
            del wanted["per_class"]
        assert other.pop("rounds") == [wanted]
        assert other["labelling"].pop("noise", False) == (name == "noised-teacher")
        assert other == {key: value for key, value in plain.items() if key != "rounds"}


@pytest.mark.parametrize(("processes", "batch", "accumulate"), [(8, 256, 1), (1, 256, 1), (1, 256, 8), (4, 64, 2)])
@pytest.mark.parametrize(
    ("epoch", "rate"), [(1, 0.128 / 5), (10, 0.128 * 0.97**4), (30, 0.128 * 0.97**12), (349.9, 0.128 * 0.97**145)]
)
def test_the_rate_of_b7_at_an_epoch_is_the_same_however_many_processes_train(processes, batch, accumulate, epoch, rate):
    import torch

    from frozen_det.registry import PARAM_SCHEDULERS

    schedule = dict(load_config("noisy_student/efficientnet-b7_noisy_imagenet1k").param_scheduler)
    assert schedule.pop("convert_to_iter_based")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.128)
    length = 1_281_167 // (processes * batch)  # iterations, as the Runner hands them over; accumulation does not count
    kind = PARAM_SCHEDULERS.get(schedule.pop("type").removeprefix("frozen_det."))
    built = kind.build_iter_from_epoch(optimizer=optimizer, epoch_length=length, **schedule)
    built.last_step = round(epoch * length)
    assert built._get_value()[0] == pytest.approx(rate, rel=2e-3)


def test_the_schedule_steps_like_its_formula():
    import torch

    from frozen_det.engine.optimizers.warm_up_step import WarmUpStepLR

    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    built = WarmUpStepLR.build_iter_from_epoch(optimizer, warm_up=0.5, step_size=0.7, gamma=0.5, epoch_length=10)
    rates = []
    for _ in range(22):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        built.step()
    assert rates == pytest.approx([2.0 * t / 5 if t < 5 else 2.0 * 0.5 ** (t // 7) for t in range(22)])


def test_averages_move_when_the_weights_do_and_not_between():
    import torch
    from mmengine.optim import OptimWrapper

    from frozen_det.engine.hooks.averages import EMAHook

    model = torch.nn.Linear(1, 1, bias=False)
    hook = EMAHook(ema_type="ExponentialMovingAverage", momentum=0.5)
    wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0), accumulative_counts=3)
    runner = type("Runner", (), dict(model=model, optim_wrapper=wrapper, iter=0, epoch=0))()
    hook.before_run(runner)
    wrapper.initialize_count_status(model, 0, 6)
    steps = []
    for at in range(6):
        runner.iter = at
        wrapper.update_params(model(torch.ones(1, 1)).sum())
        hook.after_train_iter(runner, at)
        steps.append(int(hook.ema_model.steps))
    assert steps == [0, 0, 1, 1, 1, 2]


def test_the_best_result_goes_from_b7_over_three_rounds_of_l2():
    loop = load_config("noisy_student/efficientnet-l2_imagenet1k")
    check_loop(loop)
    assert [one.ratio for one in loop.rounds] == [14, 14, 28] and "b7" in loop.teacher.config
    assert loop.fixres.test_size == 800
    cfg = load_config(loop.rounds[0].config)
    assert cfg.train_dataloader.dataset.transform.magnitude == 27 and cfg.train_cfg.max_epochs == 350


@pytest.mark.parametrize(
    "option, value, expected",
    [
        ("rounds.0.shards", 5, "expected rounds.0.shards=dict"),
        ("rounds.0.shards", dict(size=0), "a whole number from 1 on for rounds.0.shards.size"),
        ("rounds.0.shards", dict(window=2.0), "a whole number from 1 on for rounds.0.shards.window"),
        ("rounds.0.shards", dict(sise=9), "did you mean 'size'"),
        ("rounds.1.per_class", True, "a whole number from 1 on for rounds.1.per_class"),
        ("rounds.1.ratio", -0.5, "a number from 0 on for rounds.1.ratio"),
        ("rounds.0.ratio", float("nan"), "a number from 0 on for rounds.0.ratio"),
        ("rounds.0.temperature", 0, "a number above 0 for rounds.0.temperature"),
        ("rounds.0.min_confidence", 30, "a number from 0 on and below 1 for rounds.0.min_confidence"),
        ("rounds.0.labels", "sofft", "one of 'soft', 'hard' for rounds.0.labels"),
        ("rounds.0.start", "cold", "one of 'fresh', 'warm' for rounds.0.start"),
        ("labelling", dict(top_k=0), "a whole number from 1 on for labelling.top_k"),
        ("labelling", dict(num_workers=-1), "a whole number from 0 on for labelling.num_workers"),
    ],
)
def test_a_value_out_of_range_is_refused_before_the_teacher_trains(option, value, expected):
    loop = load_config("noisy_student/quick")
    part = loop
    for key in option.split(".")[:-1]:
        part = part[int(key) if key.isdigit() else key]
    part[option.split(".")[-1]] = value
    with pytest.raises(InputError, match=re.escape(expected)):
        check_loop(loop)


@pytest.mark.parametrize("values", [dict(ratio=0.5), dict(shards=None), dict(shards={}), dict(balanced="none")])
def test_what_is_in_range_passes(values):
    loop = load_config("noisy_student/quick")
    loop.rounds[0].update(values)
    check_loop(loop)


def test_the_optimiser_is_timms_and_its_epsilon_is_inside_the_root():
    import torch

    from frozen_det.registry import OPTIMIZERS

    value = torch.nn.Parameter(torch.zeros(1))
    value.grad = torch.full((1,), 2.0)
    OPTIMIZERS.build(dict(type="RMSpropTF", params=[value], lr=0.1, momentum=0.0)).step()
    assert value.item() == pytest.approx(-0.1 * 2 / (0.9 * 1 + 0.1 * 4 + 1e-3) ** 0.5, rel=1e-5)


@pytest.mark.parametrize(
    "name", ["resnet20_cifar10", "resnet20_short_cifar10", "resnet20_short-1round_cifar10", "quick"]
)
def test_small_loops_are_loops(name):
    check_loop(load_config(f"noisy_student/{name}"))
