"""Optimiser groups by role: what is in them, with which settings, and what is refused."""

import pytest
import torch
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from frozen_det.engine.optimizers.parameter_groups import RoleParameterGroups, group_table, parameter_roles
from frozen_det.errors import InputError
from frozen_det.models import FrozenBackbone


class Detector(nn.Module):
    """A backbone, a neck with a norm, and a head."""

    def __init__(self, adapters=dict(type="parallel"), freeze=True):  # noqa: B006  never changed
        super().__init__()
        self.backbone = FrozenBackbone(
            dict(type="timm", name="test_resnet"), "random", adapters=adapters, freeze=freeze
        )
        self.neck = nn.Sequential(nn.Conv2d(192, 4, 1), nn.BatchNorm2d(4))
        self.rpn_head = nn.Linear(4, 2)
        self.roi_head = nn.Linear(4, 3)


def groups_of(model, roles=None, **optimizer):
    cfg = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1, weight_decay=1e-4, **optimizer))
    wrapper = OPTIM_WRAPPER_CONSTRUCTORS.build(
        dict(
            type="frozen_det.RoleParameterGroups",
            optim_wrapper_cfg=cfg,
            paramwise_cfg=None if roles is None else dict(roles=roles),
        )
    )(model)
    return {group["role"]: group for group in wrapper.optimizer.param_groups}


def test_every_trainable_parameter_is_in_exactly_one_group_and_nothing_frozen_is():
    model = Detector()
    groups = groups_of(model)
    assert list(groups) == ["adapters", "neck", "heads"]
    grouped = [id(p) for group in groups.values() for p in group["params"]]
    assert len(grouped) == len(set(grouped))
    assert set(grouped) == {id(p) for p in model.parameters() if p.requires_grad}
    assert {id(p) for p in groups["adapters"]["params"]} == {id(p) for p in model.backbone.adapters.parameters()}
    assert len(groups["neck"]["params"]) == len(groups["heads"]["params"]) == 4


def test_each_role_has_its_own_rate_and_decay():
    groups = groups_of(
        Detector(dict(type="parallel", train_norms=True)),
        dict(adapters=dict(lr_mult=0.5, weight_decay=0.01), norms=dict(decay_mult=0), heads=dict(lr=0.3, momentum=0.8)),
        momentum=0.9,
    )
    assert {role: (group["lr"], group["weight_decay"], group["momentum"]) for role, group in groups.items()} == {
        "adapters": (0.05, 0.01, 0.9),
        "norms": (0.1, 0.0, 0.9),
        "neck": (0.1, 1e-4, 0.9),
        "heads": (0.3, 1e-4, 0.8),
    }


def test_norms_of_every_part_but_the_adapters_form_the_role_norms_where_it_is_requested():
    model = Detector(dict(type="series", train_norms=True))
    apart, together = parameter_roles(model, norms_apart=True), parameter_roles(model)
    assert set(apart) == {"adapters", "norms", "neck", "heads"}
    assert set(together) == {"adapters", "backbone", "neck", "heads"}
    assert apart["adapters"] == together["adapters"]
    assert any(".norm.weight" in name for name in apart["adapters"])
    assert {name for name in apart["norms"] if not name.startswith("backbone.")} == {"neck.1.weight", "neck.1.bias"}
    assert set(apart["norms"]) - set(together["neck"]) == set(together["backbone"])


def test_a_fine_tuned_backbone_has_the_role_backbone():
    groups = groups_of(Detector(None, freeze=False), dict(backbone=dict(lr_mult=0.1)))
    assert list(groups) == ["backbone", "neck", "heads"]
    assert groups["backbone"]["lr"] == pytest.approx(0.01)


@pytest.mark.parametrize("make", [lambda: Detector(None), lambda: nn.DataParallel(Detector(None))])
def test_a_plain_backbone_and_a_wrapper_change_no_role(make):
    model = make()
    inner = model.module if isinstance(model, nn.DataParallel) else model
    inner.backbone = nn.Conv2d(3, 3, 1)
    assert {role: len(found) for role, found in parameter_roles(model).items()} == {
        "backbone": 2,
        "neck": 4,
        "heads": 4,
    }


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        (dict(adapters=dict(lr_mult=1)), "settings for 'adapters', but no parameter .*'heads', 'neck'"),
        (dict(backbone=dict()), "settings for 'backbone'"),
        (dict(head=dict()), "got 'head'; did you mean 'heads'"),
        (dict(heads=dict(lr=1, lr_mult=1)), "one of lr and lr_mult"),
        (dict(heads=dict(lr_mul=1)), "no setting 'lr_mul'; did you mean 'lr_mult'"),
    ],
)
def test_settings_that_do_nothing_are_errors(roles, message):
    with pytest.raises(InputError, match=message):
        groups_of(Detector(None), roles)


def test_a_multiplier_needs_a_base():
    cfg = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1))
    with pytest.raises(InputError, match="decay_mult multiplies optim_wrapper.optimizer.weight_decay"):
        RoleParameterGroups(cfg, dict(roles=dict(heads=dict(decay_mult=0))))(Detector(None))


def test_other_options_of_mmengines_constructor_are_refused_rather_than_ignored():
    with pytest.raises(InputError, match="norm_decay_mult"):
        RoleParameterGroups(dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.1)), dict(norm_decay_mult=0.0))


def test_a_model_in_which_nothing_trains_is_refused():
    model = FrozenBackbone(dict(type="timm", name="test_resnet"), "random")
    with pytest.raises(InputError, match="something to train"):
        groups_of(model)


def test_the_table_is_printed_once_and_counts_what_is_frozen():
    from mmengine.logging import MMLogger

    logger = MMLogger.get_instance("groups", log_level="INFO")
    model = Detector()
    seen = []
    logger.addFilter(lambda record: record.levelname == "DEBUG" or seen.append(record.getMessage()))
    groups = groups_of(model)
    tables = [text for text in seen if "parameter groups" in text]
    assert len(tables) == len(seen) == 1
    adapters = sum(p.numel() for p in groups["adapters"]["params"])
    frozen = sum(p.numel() for p in model.backbone.body.parameters())
    rows = [line.split() for line in tables[0].splitlines()[1:]]
    assert rows[0] == ["role", "tensors", "parameters", "lr", "decay"]
    assert rows[1] == ["adapters", "7", f"{adapters:,}", "0.1", "0.0001"]
    assert rows[-1] == ["frozen", f"{frozen:,}", "-", "-"]


def test_the_table_shows_further_options():
    text = group_table([dict(params=[torch.zeros(1234)], role="heads", lr=0.5, weight_decay=0, momentum=0.8)], 1, 1)
    assert text.splitlines()[2].split() == ["heads", "1", "1,234", "0.5", "0", "momentum=0.8"]
