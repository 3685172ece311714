import pytest

from frozen_det.config import load_config
from frozen_det.upstream.noisy_student import check_loop

# The released scripts: magnitude, unlabelled images for each labelled one, epochs, dropout.
RELEASED = dict(b0=(None, 1, 700, 0.2), b1=(None, 3, 700, 0.2), b2=(6, 3, 700, 0.3), b3=(12, 3, 700, 0.3),
                b4=(15, 3, 700, 0.4), b5=(18, 3, 350, 0.4), b6=(24, 3, 350, 0.5), b7=(27, 3, 350, 0.5))


@pytest.mark.parametrize("size", RELEASED)
def test_each_size_has_the_released_values(size):
    magnitude, ratio, epochs, dropout = RELEASED[size]
    loop = load_config(f"noisy_student/efficientnet-{size}_imagenet1k")
    check_loop(loop)
    (one,) = loop.rounds
    assert (one.ratio, one.min_confidence, one.per_class, one.labels, one.weighting) == (
        ratio, 0.3, 130_000, "soft", "sum")
    cfg = load_config(one.config)
    assert cfg.train_dataloader.dataset.transform.magnitude == magnitude
    assert cfg.train_cfg.max_epochs == epochs and cfg.model.backbone.drop_rate == dropout
    assert cfg.model.backbone.drop_path_rate == 0.2 and cfg.model.loss.label_smoothing == 0.1
    assert cfg.param_scheduler[1].step_size == round(2.4 * epochs / 350 * 626) and cfg.param_scheduler[1].gamma == 0.97
    assert cfg.optim_wrapper.optimizer.lr == 0.128 and cfg.auto_scale_lr.base_batch_size == 2048
    average = next(hook for hook in cfg.custom_hooks if hook.type == "EMAHook")
    assert average.momentum == 1e-4 and average.update_buffers


def test_the_best_result_goes_from_b7_over_three_rounds_of_l2():
    loop = load_config("noisy_student/efficientnet-l2_imagenet1k")
    check_loop(loop)
    assert [one.ratio for one in loop.rounds] == [14, 14, 28] and "b7" in loop.teacher.config
    assert loop.fixres.test_size == 800
    cfg = load_config(loop.rounds[0].config)
    assert cfg.train_dataloader.dataset.transform.magnitude == 27 and cfg.train_cfg.max_epochs == 350


def test_the_optimiser_is_timms_and_its_epsilon_is_inside_the_root():
    import torch

    from frozen_det.registry import OPTIMIZERS

    value = torch.nn.Parameter(torch.zeros(1))
    value.grad = torch.full((1,), 2.0)
    OPTIMIZERS.build(dict(type="RMSpropTF", params=[value], lr=0.1, momentum=0.0)).step()
    assert value.item() == pytest.approx(-0.1 * 2 / (0.9 * 1 + 0.1 * 4 + 1e-3) ** 0.5, rel=1e-5)


@pytest.mark.parametrize("name", ["resnet20_cifar10",
                                  "resnet20_short_cifar10", "resnet20_short-1round_cifar10", "quick"])
def test_small_loops_are_loops(name):
    check_loop(load_config(f"noisy_student/{name}"))
