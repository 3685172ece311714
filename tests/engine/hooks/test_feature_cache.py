"""A training that reads its frozen features ends as one that computes them."""

import pytest
import torch

from frozen_det.errors import InputError
from frozen_det.models.backbones.frozen_backbone import FrozenBackbone
from frozen_det.models.backbones.stored_features import read_features_from
from frozen_det.weights.feature_store import FeatureStore
from tests.training_runs import tiny_config, tiny_scenes, train

BATCHES = 4  # of an epoch, two images each


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return tiny_scenes(tmp_path_factory.mktemp("scenes"))


def _trained(scenes, work_dir, cache=None, **options):
    """(weights, images that the backbone computed in training and validation, AP) of a run."""
    torch.set_num_threads(1)  # sums are cut by their number
    cfg = tiny_config(scenes, work_dir, **options)
    # Never the same picture in two epochs.
    cfg.train_dataloader.dataset.pipeline.insert(-1, dict(type="PhotoMetricDistortion"))
    if cache is not None:
        cfg.default_hooks.feature_cache = dict(type="frozen_det.FeatureCacheHook", **cache)
    counted, whole = {True: 0, False: 0}, FrozenBackbone._whole_features

    def counting(self, images):
        run = self._frozen_forward

        def forward(built, given):
            counted[self.training] += len(given)
            return run(built, given)

        self._frozen_forward = forward
        try:
            return whole(self, images)
        finally:
            self._frozen_forward = run

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FrozenBackbone, "_whole_features", counting)
        runner = train(cfg)
    weights = {name: value.clone() for name, value in runner.model.state_dict().items()}
    return weights, (counted[True], counted[False]), runner.message_hub.get_scalar("val/coco/bbox_mAP").current()


def _same(one, two):
    return [name for name in one[0] if not torch.equal(one[0][name], two[0][name])] == [] and one[2] == two[2]


@pytest.fixture(scope="module")
def plain(scenes, tmp_path_factory):
    return _trained(scenes, tmp_path_factory.mktemp("plain") / "run")


def test_float32_with_as_many_views_as_epochs_changes_nothing(scenes, tmp_path, plain):
    cache = dict(folder=str(tmp_path / "cache"), views=2)
    filling = _trained(scenes, tmp_path / "filling", cache)
    reading = _trained(scenes, tmp_path / "reading", cache)
    assert plain[1] == (16, 8)
    assert _same(plain, filling) and filling[1] == (16, 4)  # the second validation reads what the first one wrote
    assert _same(plain, reading) and reading[1] == (0, 0)


def test_views_repeat_and_what_does_not_fit_is_computed(scenes, tmp_path):
    whole = _trained(scenes, tmp_path / "whole", dict(folder=str(tmp_path / "cache"), views=1))
    assert whole[1] == (8, 4)
    half = _trained(scenes, tmp_path / "half", dict(folder=str(tmp_path / "small"), views=1, limit=300_000))
    assert _same(whole, half) and 8 < half[1][0] < 16


def test_bfloat16_gives_one_training_read_or_computed_and_validates_unrounded(scenes, tmp_path):
    options = dict(folder=str(tmp_path / "cache"), dtype="bfloat16", views=1)
    computed = _trained(scenes, tmp_path / "computed", dict(options, limit=1))
    read = _trained(scenes, tmp_path / "read", options)
    assert _same(computed, read) and (computed[1], read[1]) == ((16, 8), (8, 8))


@pytest.mark.parametrize(
    "options, said",
    [
        ({"model__detector__backbone__adapters": dict(type="parallel")}, "got adapters"),
        ({"model__detector__backbone__freeze": False}, "got trainable parameters"),
    ],
)
def test_a_backbone_that_changes_is_refused_before_the_first_step(scenes, tmp_path, options, said):
    with pytest.raises(InputError, match=f"expected a wholly frozen backbone .* for a feature cache, {said}"):
        _trained(scenes, tmp_path / "run", dict(folder=str(tmp_path / "cache")), **options)


@pytest.fixture
def backbone(tmp_path):
    body = FrozenBackbone(dict(type="timm", name="resnet10t"), weights="random", strides=(8, 16)).eval()
    read_features_from(body, FeatureStore(tmp_path))
    return body


@pytest.mark.parametrize("change", ["unfreeze", "load"])
def test_a_backbone_that_changes_leaves_its_cache(backbone, change):
    images = torch.randn(1, 3, 64, 64)
    before = backbone(images)
    state = {name: 2 * value for name, value in backbone.state_dict().items()}
    backbone.unfreeze() if change == "unfreeze" else backbone.load_state_dict(state)
    assert backbone.stored is None
    assert torch.equal(before[0], backbone(images)[0]) == (change == "unfreeze")


@pytest.mark.parametrize("change", ["weights", "strides", "options"])
def test_other_backbones_share_no_features(backbone, tmp_path, change):
    images, body = torch.randn(1, 3, 64, 64), dict(type="timm", name="resnet10t")
    other = FrozenBackbone(
        body,
        weights="random",
        strides=(8, 16) if change != "strides" else (16, 32),
        forward=dict(memory_format="channels_last") if change == "options" else None,
    )
    if change != "weights":
        held = {**other.state_dict(), **backbone.state_dict()}
        other.load_state_dict({name: held[name] for name in other.state_dict()})
    wanted = other(images)
    backbone(images)
    read_features_from(other, FeatureStore(tmp_path))
    assert all(torch.equal(one, two) for one, two in zip(wanted, other(images)))
    assert other.stored.store.num_read == 0


def test_equal_backbones_share_features(backbone, tmp_path):
    images = torch.randn(2, 3, 64, 64)
    found = backbone(images)
    other = FrozenBackbone(dict(type="timm", name="resnet10t"), weights="random", strides=(8, 16))
    other.load_state_dict(backbone.state_dict())
    read_features_from(other, FeatureStore(tmp_path))
    assert all(torch.equal(one, two) for one, two in zip(found, other(images)))
    assert other.stored.store.num_read == 2
