"""Which mixing a batch gets: probabilities, layers, label forms; evaluation never mixes."""

import numpy as np
import pytest
import torch
from torch import nn

from frozen_det.errors import InputError
from frozen_det.registry import MODELS
from frozen_det.upstream.batch_mixing import BatchMixing, stage_layers


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class Watched(nn.Module):
    """Two stages that halve the grid and keep the values of constant maps, then the mean: a mixed map shows."""

    def __init__(self):
        super().__init__()
        self.layer1, self.layer2, self.pool = nn.AvgPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1)
        self.unused = nn.Identity()
        self.seen = {}
        for name in ("layer1", "layer2", "pool"):
            getattr(self, name).register_forward_hook(
                lambda module, inputs, output, name=name: self.seen.update({name: (inputs[0].clone(), output)})
            )

    def forward(self, images):  # (N, C, H, W) -> (N, C)
        return self.pool(self.layer2(self.layer1(images))).flatten(1)


def constant_images(num=8, size_hw=(16, 24)):
    return torch.arange(num).float()[:, None, None, None].expand(num, 3, *size_hw).clone()


def run(mixing, num=8, seed=0, network=None):
    images = constant_images(num)
    return mixing(network or Watched(), images, torch.arange(num), seeded(seed))


@pytest.mark.parametrize("level", ["image", "feature"])
@pytest.mark.parametrize("alphas", [dict(cutmix_alpha=1.0), dict(mixup_alpha=1.0)])
def test_labels_and_weight_describe_what_the_network_saw_at_any_level(level, alphas):
    mixing = BatchMixing(**alphas, level=level)
    for seed in range(20):
        logits, mixed = run(mixing, seed=seed)
        # All layers average: the output is the mean of the mixed values.
        expected = mixed.lam * mixed.labels_a + (1 - mixed.lam) * mixed.labels_b
        assert torch.allclose(logits[:, 0], expected.float(), atol=1e-5)
        assert mixed.labels_a.tolist() == list(range(8)) and sorted(mixed.labels_b.tolist()) == list(range(8))


def test_a_feature_box_is_whole_pixels_of_the_map_and_the_hook_is_gone_afterwards():
    mixing, network = BatchMixing(cutmix_alpha=1.0, level="feature", layers="layer1"), Watched()
    before = {name: len(module._forward_hooks) for name, module in network.named_modules()}
    shares = set()
    for seed in range(10):
        _, mixed = run(mixing, seed=seed, network=network)
        maps = network.seen["layer2"][0]  # (8, 3, 8, 12), mixed
        own = (maps[:, 0] == mixed.labels_a[:, None, None]).float().mean((1, 2))
        changed = mixed.labels_a != mixed.labels_b
        assert torch.allclose(own[changed], torch.tensor(mixed.lam)) and torch.equal(mixed.images, constant_images())
        assert torch.equal(network.seen["layer1"][0], constant_images())
        shares.add(round(mixed.lam * 96, 4))
        assert {name: len(module._forward_hooks) for name, module in network.named_modules()} == before
    assert all(share == int(share) for share in shares) and len(shares) > 5
    images = constant_images()
    assert torch.equal(network(images)[:, 0], torch.arange(8).float())


def test_the_hook_is_gone_after_a_failure_too():
    network = Watched()
    network.pool.register_forward_hook(lambda *a: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(BatchMixing(mixup_alpha=1.0, level="feature", layers=["layer2"]), network=network)
    assert len(network.layer2._forward_hooks) == 1


def test_a_random_layer_is_each_one_and_the_image_about_equally_often():
    mixing, network, generator = BatchMixing(mixup_alpha=1.0, level="feature"), Watched(), seeded()
    assert stage_layers(network) == ("image", "layer1", "layer2")
    drawn = [mixing._layer(network, generator) for _ in range(600)]
    assert all(drawn.count(layer) == pytest.approx(200, abs=45) for layer in ("image", "layer1", "layer2"))


def test_the_probability_is_honoured_and_switching_too():
    mixing = BatchMixing(cutmix_alpha=1.0, mixup_alpha=0.2, prob=0.5, switch_prob=0.25)
    generator = seeded()
    kinds = [mixing._kind(generator)[0] for _ in range(4000)]
    assert kinds.count(None) / 4000 == pytest.approx(0.5, abs=0.03)
    assert kinds.count("cutmix") / 4000 == pytest.approx(0.125, abs=0.02)
    mixed = [run(BatchMixing(cutmix_alpha=1.0, prob=0.5), seed=s)[1].lam < 1 for s in range(300)]
    assert np.mean(mixed) == pytest.approx(0.5, abs=0.1)
    for alphas, kind in ((dict(cutmix_alpha=1), "cutmix"), (dict(mixup_alpha=1), "mixup"), ({}, None)):
        assert BatchMixing(**alphas)._kind(generator)[0] == kind


@pytest.mark.parametrize("level", ["image", "feature"])
def test_evaluation_never_mixes(level):
    mixing = BatchMixing(cutmix_alpha=1.0, cutout_size=4, level=level).eval()
    for seed in range(5):
        logits, mixed = run(mixing, seed=seed)
        assert torch.equal(logits[:, 0], torch.arange(8).float()) and mixed.lam == 1.0
        assert torch.equal(mixed.images, constant_images()) and torch.equal(mixed.labels_b, mixed.labels_a)


def test_a_batch_that_is_not_mixed_goes_through_bit_for_bit():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(5))
    images, labels = torch.randn(4, 3, 8, 8), torch.arange(4)
    logits, mixed = BatchMixing(cutmix_alpha=1.0, prob=0.0)(network, images, labels, seeded())
    assert torch.equal(logits, network(images)) and mixed.images is images and mixed.lam == 1.0


def test_equal_generator_states_mix_equally_whatever_else_was_drawn():
    mixing = BatchMixing(cutmix_alpha=1.0, mixup_alpha=0.5, prob=0.8, cutout_size=3, level="feature")
    for seed in range(8):
        first = run(mixing, seed=seed)
        torch.manual_seed(seed + 77), torch.rand(5), np.random.rand(3)
        again = run(mixing, seed=seed)
        assert torch.equal(first[0], again[0]) and first[1].lam == again[1].lam
        assert torch.equal(first[1].labels_b, again[1].labels_b)


def test_labels_of_the_one_hot_and_the_complete_variant():
    for seed in range(12):
        lam = run(BatchMixing(cutmix_alpha=1.0), seed=seed)[1].lam
        assert run(BatchMixing(cutmix_alpha=1.0, target="one_hot"), seed=seed)[1].lam == (lam >= 0.5)
        assert run(BatchMixing(cutmix_alpha=1.0, target="complete"), seed=seed)[1].lam == 0.5


def test_a_box_of_fixed_size_covers_the_same_share_of_image_and_map():
    for layer, size_hw in (("image", (8, 8)), ("layer1", (4, 4)), ("layer2", (2, 2))):
        mixing = BatchMixing(cutmix_alpha=1.0, box_size=8, level="feature", layers=[layer])
        network, largest = Watched(), 0
        for seed in range(40):
            logits, mixed = run(mixing, seed=seed, network=network)
            following = {"image": "layer1", "layer1": "layer2", "layer2": "pool"}[layer]
            area = network.seen[following][0][0, 0].numel()
            largest = max(largest, round((1 - mixed.lam) * area))
        assert largest == size_hw[0] * size_hw[1]


def test_gaussian_centres_lie_about_the_middle():
    def pasted_middle(centre):
        network, count = Watched(), 0
        for seed in range(150):
            _, mixed = run(BatchMixing(cutmix_alpha=1.0, box_size=4, centre=centre), seed=seed, network=network)
            middle = network.seen["layer1"][0][:, 0, 4:12, 6:18]  # a quarter of the image
            changed = mixed.labels_a != mixed.labels_b
            count += bool((middle[changed] != mixed.labels_a[changed, None, None]).any())
        return count / 150

    assert pasted_middle("gaussian") > pasted_middle("uniform") + 0.2


def test_a_scheduled_probability_grows_from_nothing():
    mixing = BatchMixing(cutmix_alpha=1.0, prob=0.8, prob_schedule="linear")

    def share():
        generator = seeded()
        return np.mean([mixing._kind(generator)[0] is not None for _ in range(2000)])

    assert share() == 0
    for progress in (0.5, 1.0):
        mixing.set_progress(progress)
        assert share() == pytest.approx(0.8 * progress, abs=0.04)
    plain = BatchMixing(cutmix_alpha=1.0, prob=0.8)
    plain.set_progress(0.0)
    assert np.mean([plain._kind(seeded(s))[0] is not None for s in range(500)]) == pytest.approx(0.8, abs=0.06)


def test_holes_are_cut_alone_or_before_mixing():
    class Ones(nn.Module):
        def forward(self, images):
            return images.mean((1, 2, 3))[:, None]

    images = torch.ones(6, 3, 12, 12)
    logits, mixed = BatchMixing(cutout_size=4)(Ones(), images.clone(), torch.arange(6), seeded())
    assert mixed.lam == 1.0 and (logits < 1).all() and (logits >= 1 - 16 / 144 - 1e-6).all()
    logits, mixed = BatchMixing(cutout_size=4, mixup_alpha=1.0)(Ones(), images.clone(), torch.arange(6), seeded())
    assert 0 < mixed.lam < 1 and (logits < 1).all()
    holes = [
        (BatchMixing(cutout_size=4, cutout_prob=0.25)(Ones(), images.clone(), torch.arange(6), seeded(s))[0] < 1)
        .any()
        .item()
        for s in range(200)
    ]
    assert np.mean(holes) == pytest.approx(0.25, abs=0.09)


def test_the_callers_batch_is_overwritten_only_where_that_is_allowed():
    for options in (dict(cutmix_alpha=1.0), dict(mixup_alpha=1.0), dict(cutout_size=4)):
        images = torch.randn(8, 3, 16, 16)
        kept = images.clone()
        BatchMixing(**options, in_place=False)(Watched(), images, torch.arange(8), seeded(1))
        assert torch.equal(images, kept)
        _, mixed = BatchMixing(**options)(Watched(), images, torch.arange(8), seeded(1))
        assert mixed.images is images and not torch.equal(images, kept)
    images = torch.randn(8, 3, 16, 16, requires_grad=True)
    logits, _ = BatchMixing(cutmix_alpha=1.0)(Watched(), images, torch.arange(8), seeded(1))
    logits.sum().backward()
    assert torch.allclose(images.grad, torch.tensor(1 / 256))


@pytest.mark.parametrize("level", ["image", "feature"])
def test_off_the_cpu_no_value_is_read_back_by_the_host(level):
    from frozen_det.upstream.losses import BinaryCrossEntropy, SoftTargetCrossEntropy

    mixing, network = BatchMixing(cutmix_alpha=1.0, mixup_alpha=1.0, cutout_size=4, level=level), Watched()
    images, labels = constant_images().to("meta"), torch.arange(8).to("meta")
    for seed in range(6):
        logits, mixed = mixing(network, images, labels, seeded(seed))
        assert logits.is_meta and mixed.labels_b.is_meta and isinstance(mixed.lam, float)
        for loss in (SoftTargetCrossEntropy(0.1), BinaryCrossEntropy(0.1, 0.2)):
            assert loss(logits, loss.targets(mixed.labels_a, mixed.labels_b, mixed.lam, 3)).shape == ()


def test_a_module_used_twice_is_mixed_once():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared = nn.Identity()

        def forward(self, images):
            return self.shared(self.shared(images)).mean((2, 3))

    logits, mixed = run(BatchMixing(mixup_alpha=1.0, level="feature", layers=["shared"]), network=Twice())
    expected = mixed.lam * mixed.labels_a + (1 - mixed.lam) * mixed.labels_b
    assert torch.allclose(logits[:, 0], expected.float(), atol=1e-5)


def test_stages_are_found_in_real_classifiers():
    import timm
    from torchvision.models import resnet18

    from frozen_det.models import CifarResNet

    with torch.device("meta"):
        wrapped = nn.Sequential(timm.create_model("efficientnet_lite0"))
        assert stage_layers(wrapped)[:2] == ("image", "0.blocks.0") and len(stage_layers(wrapped)) == 6
        assert stage_layers(timm.create_model("resnet18"))[1:] == ("act1", "layer1", "layer2", "layer3", "layer4")
        assert stage_layers(resnet18()) == ("image", "layer1", "layer2", "layer3", "layer4")
        assert stage_layers(CifarResNet(20, 10)) == ("image", "layer1", "layer2", "layer3")


def test_gradients_flow_through_a_mixed_stage_of_a_real_classifier():
    from frozen_det.models import CifarResNet

    network = CifarResNet(20, 10)
    mixing = BatchMixing(cutmix_alpha=1.0, level="feature", layers=["layer2"])
    logits, mixed = mixing(network, torch.randn(4, 3, 32, 32), torch.tensor([1, 2, 3, 4]), seeded())
    logits.square().sum().backward()
    assert 0 < mixed.lam < 1 and all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(cutmix_alpha=-1), "mixing.cutmix_alpha"),
        (dict(prob=1.5), r"got 1.5 at mixing.prob"),
        (dict(level="features"), "'image', 'feature'"),
        (dict(target="onehot"), "'one_hot'"),
        (dict(layers=["layer1"]), "level='feature'"),
        (dict(level="feature", layers=[]), "level='feature'"),
        (dict(box_size=0), "mixing.box_size"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        BatchMixing(**options)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(mixup_alpha=1.0, layers=["layer3"]), "did you mean 'layer"),
        (dict(mixup_alpha=1.0, layers=["unused"]), "never run"),
        (dict(cutmix_alpha=1.0, layers=["tokens"]), "CutMix pastes boxes"),
        (dict(cutmix_alpha=1.0, layers=["last"]), "CutMix pastes boxes"),
        (dict(mixup_alpha=1.0, layers=["pair"]), "put out a tensor"),
    ],
)
def test_layers_that_cannot_be_mixed_are_refused(options, message):
    class Odd(Watched):
        def __init__(self):
            super().__init__()
            self.tokens, self.last, self.pair = nn.Flatten(2), nn.Identity(), nn.Identity()

        def forward(self, images):
            self.tokens(images), self.last(images.movedim(1, 3)), self.pair((images, images))
            return super().forward(images)

    with pytest.raises(InputError, match=message):
        run(BatchMixing(level="feature", **options), network=Odd())


def test_a_network_without_stages_and_labels_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match=r"mixing.layers, from 0, 1"):
        run(BatchMixing(mixup_alpha=1.0, level="feature"), network=nn.Sequential(nn.Identity(), nn.Flatten()))
    with pytest.raises(InputError, match="one label per image"):
        BatchMixing(mixup_alpha=1.0)(Watched(), constant_images(), torch.arange(7), seeded())


def test_it_is_built_by_its_name():
    mixing = MODELS.build(dict(type="frozen_det.BatchMixing", cutmix_alpha=1.0, mixup_alpha=0.1))
    assert isinstance(mixing, BatchMixing) and not list(mixing.parameters()) and not mixing.state_dict()
