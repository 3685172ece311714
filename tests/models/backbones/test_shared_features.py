"""Backbones that share a frozen pass give the same bits as each one alone."""

import copy
import weakref

import pytest
import torch

from frozen_det.models.backbones.frozen_backbone import FrozenBackbone
from frozen_det.models.backbones.shared_features import LastResult, SharedFeatures, stand_alone

BODY = dict(type="timm", name="resnet18")
IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def _backbones(*settings: dict, body=BODY) -> list[FrozenBackbone]:
    """Backbones with equal frozen weights."""
    backbones = []
    for number, one in enumerate(settings):
        torch.manual_seed(0)
        backbone = FrozenBackbone(body=body, weights="random", **{"strides": (8, 16, 32), **one}).train()
        for module in backbone.body.modules():  # timm initialises a block's last norm to zero, which hides the block
            if isinstance(module, torch.nn.BatchNorm2d):
                torch.nn.init.constant_(module.weight, 0.7)
        if backbone.adapters is not None:
            torch.manual_seed(number)
            for parameter in backbone.adapters.parameters():
                torch.nn.init.normal_(parameter, std=0.1)
        backbones.append(backbone)
    return backbones


def _share(backbones) -> SharedFeatures:
    shared = SharedFeatures()
    for backbone in backbones:
        shared.expect(backbone)
    return shared


def _counts(shared: SharedFeatures) -> list[tuple[int, int]]:
    return sorted((one.computed, one.reused) for one in shared.results)


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "vit_tiny_patch16_224"])
def test_equal_frozen_backbones_compute_once_and_hold_their_tensors_once(name):
    strides = (16,) if name.startswith("vit") else (8, 16, 32)
    backbones = _backbones(*[dict(strides=strides)] * 3, body=dict(type="timm", name=name))
    alone = backbones[0](IMAGES)
    shared = _share(backbones)
    for backbone in backbones:
        assert all(torch.equal(a, b) for a, b in zip(alone, backbone(IMAGES.clone()), strict=True))
    assert _counts(shared) == [(1, 2)]
    for own, other in zip(backbones[0].body.parameters(), backbones[1].body.parameters(), strict=True):
        assert own.data_ptr() == other.data_ptr() and own is not other
    assert backbones[1].moved_since_load() is None and backbones[1].changed_since_built() is None


def test_different_images_are_computed_again():
    backbones = _backbones({}, {})
    wanted = backbones[0](IMAGES + 1)
    shared = _share(backbones)
    backbones[0](IMAGES)
    assert all(torch.equal(a, b) for a, b in zip(wanted, backbones[1](IMAGES + 1), strict=True))
    assert _counts(shared) == [(2, 0)]


def test_other_weights_and_other_settings_are_not_shared():
    first, other = _backbones({}, {})
    with torch.no_grad():
        other.body.conv1.weight += 1
    apart = FrozenBackbone(body=dict(BODY, output_stride=16), weights="random", strides=(8, 16))
    apart.body.load_state_dict(first.body.state_dict())
    wanted = [backbone(IMAGES) for backbone in (first, other, apart)]
    _share([first, other, apart])
    for backbone, features in zip((first, other, apart), wanted, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(features, backbone(IMAGES), strict=True))


@pytest.mark.parametrize(
    "others", [dict(adapters=dict(type="parallel", start_stage=2)), dict(freeze=["conv1", "bn1", "layer1", "layer2"])]
)
def test_stages_before_the_trained_ones_are_shared_and_gradients_do_not_change(others):
    def run(backbones):
        found = []
        for backbone in backbones:
            for parameter in backbone.parameters():
                parameter.grad = None
            features = backbone(IMAGES)
            if features[-1].requires_grad:
                sum((one**2).sum() for one in features).backward()
            grads = {name: one.grad.clone() for name, one in backbone.named_parameters() if one.grad is not None}
            found.append(([one.detach().clone() for one in features], grads))
        return found

    settings = [{}, others, others]
    alone = run(_backbones(*settings))
    backbones = _backbones(*settings)
    shared = _share(backbones)
    run(backbones)
    before = {id(one): one.computed for one in shared.results}
    together = run(backbones)
    for (features, grads), (wanted, wanted_grads) in zip(together, alone, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(features, wanted, strict=True))
        assert grads.keys() == wanted_grads.keys()
        assert all(torch.equal(grads[name], wanted_grads[name]) for name in grads)
    assert any(one.reused for one in shared.results)
    assert sum(one.computed - before[id(one)] for one in shared.results) < 8


class _Consumer:
    pass


def _asked_by(count: int) -> tuple[LastResult, list[_Consumer]]:
    result, consumers = LastResult(), [_Consumer() for _ in range(count)]
    result.consumers.update(consumers)
    return result, consumers


def test_a_result_that_a_consumer_changes_in_place_is_intact_for_the_next():
    (result, consumers), calls = _asked_by(3), []

    def double(given):
        calls.append(1)
        return (given * 2,)

    for _ in range(2):
        for consumer in consumers:
            found = result(consumer, torch.ones(2), double)[0]
            assert torch.equal(found, torch.full((2,), 2.0))
            found.add_(5)
    assert len(calls) == 3  # the second time it is seen; from then on copies are handed out


def test_an_input_that_was_changed_in_place_is_a_new_input():
    result, (first, second) = _asked_by(2)
    given = torch.ones(2)
    result(first, given, lambda x: (x * 2,))
    given.add_(1)
    assert torch.equal(result(second, given, lambda x: (x * 2,))[0], torch.full((2,), 4.0))


@pytest.mark.parametrize("count", [1, 3])
def test_a_result_is_released_when_the_last_consumer_has_it(count):
    result, consumers = _asked_by(count)
    for number, consumer in enumerate(consumers, 1):
        held = weakref.ref(result(consumer, torch.ones(2), lambda x: (x * 2,))[0])
        assert (held() is None) == (number == count)


def test_results_that_nobody_reuses_are_mostly_not_held_until_one_is_reused_again():
    result, (first, second) = _asked_by(2)
    held = []
    for number in range(30):
        result(first, torch.full((2,), float(number)), lambda x: (x * 2,))
        held.append(bool(result._found))
    assert held[:8] == [True] * 8 and held.count(True) == 8 + len([n for n in range(9, 31) if n % 7 == 0])
    for number in range(30, 50):
        for consumer in (first, second):
            result(consumer, torch.full((2,), float(number)), lambda x: (x * 2,))
    assert result.reused > 10


def test_maps_after_the_first_adapters_are_not_held_for_those_without_any():
    plain, adapted = _backbones({}, dict(adapters=dict(type="parallel", start_stage=2)))
    shared = _share([plain, adapted])
    for backbone in (plain, adapted, plain, adapted):
        backbone(IMAGES)
    late = plain.body.layer4[1].register_forward_hook(lambda module, given, found: seen.append(weakref.ref(found)))
    seen = []
    plain(IMAGES + 1)
    late.remove()
    assert seen[0]() is None and any(result._found for result in shared.results)
    adapted(IMAGES + 1)
    assert not any(result._found for result in shared.results)


def test_a_copy_that_loads_other_weights_computes_with_them():
    first, second = _backbones({}, dict(adapters=dict(type="parallel", start_stage=2)))
    _share([first, second])
    wanted = [second(IMAGES) for _ in (1, 2)][-1]
    copied = copy.deepcopy(second)
    copied.load_state_dict({name: value * 1.5 for name, value in second.state_dict().items()})
    second(IMAGES), first(IMAGES + 1), first(IMAGES)
    assert not torch.equal(copied(IMAGES)[0], wanted[0])
    assert torch.equal(second(IMAGES)[0], wanted[0])


def test_one_that_stands_alone_holds_its_own_tensors():
    first, second = _backbones({}, {})
    _share([first, second])
    wanted = first(IMAGES)
    second(IMAGES)
    assert stand_alone(second).body.conv1.weight.data_ptr() != first.body.conv1.weight.data_ptr()
    assert second.shared is None and all(torch.equal(a, b) for a, b in zip(wanted, second(IMAGES), strict=True))


def test_loading_other_weights_does_not_change_the_others():
    first, second = _backbones({}, {})
    _share([first, second])
    kept = [one.clone() for one in first(IMAGES)]
    second(IMAGES)
    state = {f"body.{name}": value + 1 for name, value in second.body.state_dict().items()}
    second.load_state_dict(state)
    assert all(torch.equal(a, b) for a, b in zip(kept, first(IMAGES + 0), strict=True))
    assert torch.equal(second.body.conv1.weight, first.body.conv1.weight + 1)
    assert not torch.equal(second(IMAGES)[0], kept[0])


def test_unfreezing_one_does_not_change_the_others():
    first, second = _backbones({}, {})
    _share([first, second])
    kept = [one.clone() for one in first(IMAGES)]
    second(IMAGES)
    second.unfreeze(["layer4"])
    second(IMAGES)[-1].sum().backward()
    with torch.no_grad():
        second.body.layer4[0].conv1.weight -= 1
    assert all(torch.equal(a, b) for a, b in zip(kept, first(IMAGES + 0), strict=True))


def test_a_copy_shares_equal_tensors_and_computes_alone_after_a_change():
    first, second = _backbones({}, dict(adapters=dict(type="parallel", start_stage=2)))
    _share([first, second])
    wanted = [second(IMAGES) for _ in (1, 2)][-1]
    copied = copy.deepcopy(second)
    with torch.no_grad():
        for parameter in copied.adapters.parameters():
            parameter.add_(1)
    assert not torch.equal(copied(IMAGES)[-1], wanted[-1])
    assert torch.equal(second(IMAGES)[-1], wanted[-1])


def test_features_under_autocast_are_others_than_without():
    first, second = _backbones({}, {})
    wanted = first(IMAGES)
    _share([first, second])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = first(IMAGES)
    assert half[0].dtype == torch.bfloat16
    assert all(torch.equal(a, b) for a, b in zip(wanted, second(IMAGES), strict=True))
