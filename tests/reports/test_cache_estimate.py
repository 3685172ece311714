"""What a cache can save: counted passes against the formula, sizes against a backbone's maps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import ConfigDict

from frozen_det.reports import describe
from frozen_det.reports.cache_estimate import cache_estimate


def _training(epochs, views=None):
    hooks = {"feature_cache": dict(type="frozen_det.FeatureCacheHook", views=views)} if views else {}
    return ConfigDict(train_cfg=dict(max_epochs=epochs), default_hooks=hooks)


@given(st.integers(1, 300), st.integers(1, 400), st.integers(1, 100), st.integers(1, 100))
def test_the_speedup_is_that_of_counted_passes(epochs, views, backbone, rest):
    found = cache_estimate(_training(epochs, views), backbone, backbone + rest, 1)
    cost = sum(rest + (backbone if epoch < views else 0) for epoch in range(epochs))
    assert found.speedup == pytest.approx(epochs * (backbone + rest) / cost)
    assert found.views == views


@pytest.mark.parametrize("epochs, views", [(1, 1), (8, 2), (24, 8), (72, 8), (None, 8)])
def test_without_a_cache_in_the_config_a_third_of_the_epochs_is_assumed(epochs, views):
    assert cache_estimate(_training(epochs), 1, 2, 1).views == views


def test_words_advise_against_what_does_not_pay():
    paying = cache_estimate(_training(24, 8), 67, 100, 2_000_000)
    assert "67 % of a training step" in paying.words() and "at most 1.81 times as fast\n" in paying.words()
    assert "4.0 MB a view of an image in bfloat16, 32 GB for 1,000 images" in paying.words()
    assert "at most 1.15 times as fast: not worth it\n" in cache_estimate(_training(24, 8), 20, 100, 1).words()


def test_a_described_config_says_it_of_a_wholly_frozen_backbone_only():
    found = describe.describe("quickstart")
    assert found.cache.bytes_per_view == 2 * (56 * 56 * 24 + 28 * 28 * 40 + 14 * 14 * 112 + 7 * 7 * 320)
    body = sum(part.flops for part in found.parts if part.name.startswith("backbone.body"))
    assert found.cache.backbone_share == body / found.training_step_flops
    tuned = describe.describe("quickstart", options={"model.detector.backbone.freeze": False})
    assert tuned.cache is None
