"""A classifier reads what its head is given for images seen before, as long as its body is the one that wrote it."""

import copy

import pytest
import torch
from torch import nn

from frozen_det.upstream.stored_network import read_pooled_from
from frozen_det.weights.feature_store import FeatureStore

IMAGES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1))


RAN = []


@pytest.fixture(autouse=True)
def nothing_ran():
    RAN.clear()


class Body(nn.Module):
    """A convolution, a norm and settings that no tensor holds; RAN has the sizes of the batches it computed."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.gain, self.options = nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), 1.5, {"shift": 0.0}

    def forward(self, images):
        RAN.append(len(images))
        return self.gain * self.norm(self.conv(images)).relu() + self.options["shift"]


class Net(nn.Module):
    """A body, a mean over places, a linear head."""

    def __init__(self, num_classes=4, seed=0):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.num_classes = Body(), num_classes
        torch.manual_seed(seed)
        self.head = nn.Linear(5, num_classes)

    def forward(self, images):
        return self.head(self.body(images).mean((2, 3)))


class Scaled(Net):
    def forward(self, images):
        return 2 * super().forward(images)


class TwoHeads(Net):
    def forward(self, images):
        return self.head(self.body(images).mean((2, 3))) + self.head(self.body(images.flip(3)).mean((2, 3)))


class Remembers(Net):
    """Keeps what it computed, as others may look at it."""

    def forward(self, images):
        self.pooled = self.body(images).mean((2, 3))
        return self.head(self.pooled)


class Counts(Net):
    """Computes something else each time."""

    def forward(self, images):
        self.count = getattr(self, "count", 0) + 1
        return super().forward(images)


class NoHead(Net):
    def __init__(self):
        super().__init__()
        self.head = nn.Identity()


def frozen(network):
    return network.eval().requires_grad_(False)


def logits(network, images=IMAGES):
    with torch.no_grad():
        return network(images)


def plain(network, images=IMAGES):
    """Of the same network without a cache."""
    return logits(frozen(copy.deepcopy(network)), images)


@pytest.fixture
def store(tmp_path):
    return FeatureStore(tmp_path)


def reading(store, network):
    read_pooled_from(frozen(network), store)
    return network


def test_the_second_time_nothing_is_computed_and_the_logits_are_equal_bit_for_bit(store):
    network = reading(store, Net())
    first, again = logits(network), logits(network)
    other_batch = logits(network, IMAGES.flip(0)[:2])
    assert RAN == [3] and (store.num_written, store.num_read) == (3, 5)
    assert torch.equal(first, again) and torch.equal(first, plain(Net()))
    # The head's own sums differ in the last digit with the size of the batch on some processors: its input does not.
    pooled = Net().eval().body(IMAGES).mean((2, 3)).detach()
    assert torch.equal(other_batch, logits(network.head, pooled.flip(0)[:2]))


def test_another_head_on_the_same_body_reads_the_same_features(store):
    logits(reading(store, Net()))
    found = logits(reading(store, Net(num_classes=7, seed=5)))
    assert RAN == [3] and torch.equal(found, plain(Net(num_classes=7, seed=5)))


def _loaded(network):
    state = network.state_dict()
    network.load_state_dict({name: value + 0.5 * value.is_floating_point() for name, value in state.items()})


def _assigned(network):
    network.load_state_dict({name: value * 2 for name, value in network.state_dict().items()}, assign=True)


def _replaced(network):
    network.body.conv = frozen(nn.Conv2d(3, 5, 3))


def _set_data(network):
    network.body.conv.weight.data = network.body.conv.weight * 3


def _in_place(network):
    with torch.no_grad():
        network.body.conv.bias.add_(1)


def _statistics(network):
    network.body.norm.running_mean.add_(1)


def _gain(network):
    network.body.gain = 2.5


def _option(network):
    network.body.options["shift"] = 0.5


def _forward(network):
    network.body.norm.forward = lambda maps: maps


def _epsilon(network):
    network.body.norm.eps = 0.1


def _wider(network):
    network.body.conv.padding = (1, 1)


def _class(network):
    network.body.norm.__class__ = type("Off", (nn.BatchNorm2d,), {"forward": lambda self, maps: maps})


@pytest.mark.parametrize(
    "change",
    [
        _loaded,
        _assigned,
        _replaced,
        _set_data,
        _in_place,
        _statistics,
        _gain,
        _option,
        _forward,
        _epsilon,
        _wider,
        _class,
    ],
)
@pytest.mark.parametrize("when", ["before it reads", "after it read"])
def test_a_body_that_was_changed_reads_nothing_of_what_it_was(store, change, when):
    network = reading(store, Net())
    before = logits(network)
    if when == "before it reads":
        network = reading(store, Net())
    change(network)
    found = logits(network)
    assert not torch.equal(found, before) and torch.equal(found, plain(network))
    assert torch.equal(logits(network), found)


def test_a_changed_head_acts_at_once(store):
    network = reading(store, Net())
    logits(network)
    network.head.bias.data.add_(1)
    found = logits(network)
    assert RAN == [3] and torch.equal(found, plain(network))


def test_gradients_training_mode_and_hooks_below_the_head_have_the_body_run(store):
    network = reading(store, Net())
    logits(network)
    images, expected = (IMAGES.clone().requires_grad_() for _ in range(2))
    network(images).square().sum().backward()
    copy.deepcopy(network)(expected).square().sum().backward()
    assert torch.equal(images.grad, expected.grad) and images.grad.abs().sum() > 0
    maps = []
    hook = network.body.norm.register_forward_hook(lambda module, given, out: maps.append(out))
    logits(network)
    hook.remove()
    assert len(maps) == 1
    RAN.clear()
    network.body.norm.train()
    assert not torch.equal(logits(network), plain(Net())) and RAN == [3, 3]
    assert (store.num_written, store.num_read) == (3, 0)


def test_a_hook_of_the_head_gets_the_features_once_for_each_image_computed_or_read(store):
    network, seen = reading(store, Net()), []
    network.head.register_forward_pre_hook(lambda module, given: seen.append(given[0].clone()))
    logits(network)
    logits(network)
    assert [len(one) for one in seen] == [3, 3] and torch.equal(*seen)


@pytest.mark.parametrize(
    "network", [Scaled(), TwoHeads(), Remembers(), Counts(), NoHead(), Net().double(), nn.Linear(5, 2)]
)
def test_what_is_no_body_with_a_linear_head_is_left_as_it_is_and_the_log_says_so(store, network, monkeypatch):
    said = []
    monkeypatch.setattr("frozen_det.upstream.stored_network.print_log", lambda line, logger: said.append(line))
    images = torch.rand(4, 5) if isinstance(network, nn.Linear) else IMAGES.to(next(network.parameters()).dtype)
    expected = logits(frozen(network), images)
    reading(store, network)
    assert torch.equal(logits(network, images), expected) and torch.equal(logits(network, images), expected)
    assert (store.num_written, store.num_read, len(said)) == (0, 0, 1)
    assert type(network).__name__ in said[0]


def test_a_copy_reads_nothing_and_the_state_has_no_word_of_it(store):
    network = reading(store, Net())
    logits(network)
    assert torch.equal(logits(copy.deepcopy(network)), logits(network)) and RAN == [3, 3]
    assert network.state_dict().keys() == Net().state_dict().keys()


def test_an_empty_batch_passes(store):
    assert logits(reading(store, Net()), IMAGES[:0]).shape == (0, 4)
