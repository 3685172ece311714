"""The parametric adaptation: fit and mapping against scipy's extreme value distribution, and the command with it."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import genextreme

from frozen_det.cli import main
from frozen_det.config import load_config
from frozen_det.errors import InputError
from frozen_det.upstream.fixres.adaptations import PooledActivations
from frozen_det.upstream.fixres.classifier import head_module
from frozen_det.upstream.fixres.config import FixResSettings, fixres_config
from frozen_det.upstream.fixres.equalisation import Frechet, equalisation, fit, standard_quantiles
from frozen_det.upstream.fixres.resolution import SizedImages, _pooled_numbers, halves, measure
from frozen_det.upstream.fixres.resolution_sweep import adapt_halves, load_model
from tests.upstream.fixres_runs import checkpoint_of, classifier_config, pictures


def papers_curve(x, mu, sigma, xi=0.3):
    """P(x, mu, sigma) as the paper writes it."""
    return np.exp(-((1 + xi / sigma * (x - mu)) ** (-1 / xi)))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("equalisation")
    cfg = classifier_config(pictures(folder / "trees"))
    cfg.dump(str(folder / "small.py"))
    cfg = load_config(folder / "small.py")
    return folder, cfg, checkpoint_of(cfg, folder / "parent.pth")


def test_scipys_distribution_is_the_papers_with_the_sign_of_the_shape_turned():
    x = np.linspace(0.2, 6, 50)
    np.testing.assert_allclose(genextreme.cdf(x, -0.3, loc=0.7, scale=0.4), papers_curve(x, 0.7, 0.4), rtol=1e-12)


def test_the_standard_quantiles_are_scipys():
    p = np.linspace(0.01, 0.99, 99)
    found = standard_quantiles(torch.from_numpy(p))
    np.testing.assert_allclose(found, genextreme.ppf(p, -0.3), rtol=1e-10, atol=1e-12)


def test_the_fit_is_numpys_line_through_scipys_quantiles_and_leaves_zeros_out():
    values = np.random.default_rng(0).gamma(0.7, 0.5, 20_000)
    p = np.arange(1, 100) / 100
    sigma, mu = np.polyfit(genextreme.ppf(p, -0.3), np.quantile(values, p), 1)
    with_zeros = torch.cat([torch.zeros(5000, dtype=torch.float64), torch.from_numpy(values)])
    assert fit(with_zeros) == pytest.approx((mu, sigma), rel=1e-8)
    assert fit(torch.zeros(7)) == (0.0, 0.0)


def test_the_fit_finds_the_distribution_that_scipy_drew_from():
    drawn = genextreme.rvs(-0.3, loc=0.8, scale=0.25, size=200_000, random_state=1)
    assert fit(torch.from_numpy(drawn)) == pytest.approx((0.8, 0.25), rel=0.01)


def test_of_many_activations_every_channel_is_seen():
    even, odd = torch.full((1000, 640), 1.0), torch.full((1000, 640), 3.0)
    found = _pooled_numbers(torch.stack([even, odd], 2).flatten(1))
    assert found["quantiles"] == [1.0, 1.0, found["quantiles"][2], 3.0, 3.0]


positive = st.floats(0.05, 5)


@settings(max_examples=100, deadline=None)
@given(st.floats(-2, 2), positive, st.floats(-2, 2), positive)
def test_the_mapping_takes_every_quantile_to_the_same_quantile_of_the_old_distribution(mu, sigma, old_mu, old_sigma):
    x = genextreme.ppf(np.linspace(0.02, 0.98, 25), -0.3, loc=mu, scale=sigma)
    x = x[np.abs(x) > 1e-9]
    wanted = genextreme.ppf(genextreme.cdf(x, -0.3, loc=mu, scale=sigma), -0.3, loc=old_mu, scale=old_sigma)
    found = equalisation(Frechet(mu, sigma), Frechet(old_mu, old_sigma))(torch.from_numpy(x))
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


def test_a_zero_stays_zero_and_activations_without_spread_are_refused():
    mapping = equalisation(Frechet(1.0, 2.0), Frechet(3.0, 1.0))
    assert mapping(torch.tensor([0.0, 1.0, 3.0])).tolist() == [0.0, 3.0, 4.0]
    with pytest.raises(InputError, match="expected pooled activations that vary"):
        equalisation(Frechet(0.0, 0.0), Frechet(3.0, 1.0))


def test_each_half_is_classified_from_its_activations_mapped_by_the_other_half(small):
    _, cfg, checkpoint = small
    model, images = load_model(cfg, checkpoint), SizedImages(cfg)
    _, adapted = adapt_halves(model, images, [(16, 0.875)], PooledActivations(12, 0.875), 1, log=lambda line: None)
    first, second = halves(9, seed=1)

    def pooled(size, part):
        seen = []
        with head_module(model)[1].register_forward_pre_hook(lambda _, given: seen.append(given[0])), torch.no_grad():
            labels = [model.test_step(batch) for batch in images.batches(size, 0.875, part)]
        return torch.cat(seen).double(), [one["label"] for batch in labels for one in batch]

    def loss(learns, measured):
        new, old = (fit(pooled(size, learns)[0]) for size in (16, 12))
        values, labels = pooled(16, measured)
        values = np.where(values == 0, 0, old.mu + (values - new.mu) / new.sigma * old.sigma)
        head = head_module(model)[1]
        logits = values @ head.weight.detach().double().numpy().T + head.bias.detach().double().numpy()
        return torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.tensor(labels)).item()

    assert adapted["loss"] == pytest.approx((5 * loss(first, second) + 4 * loss(second, first)) / 9, rel=1e-5)
    before = measure(load_model(cfg, checkpoint), images.batches(16, 0.875)).numbers["loss"]
    assert measure(model, images.batches(16, 0.875)).numbers["loss"] == before, "left as it was"


def test_at_the_training_size_nothing_changes(small):
    _, cfg, checkpoint = small
    model, images = load_model(cfg, checkpoint), SizedImages(cfg)
    before, adapted = adapt_halves(model, images, [(12, 0.875)], PooledActivations(12, 0.875), log=lambda line: None)
    assert adapted["equalise"] == [[1.0, 0.0], [1.0, 0.0]] and adapted["loss"] == pytest.approx(before["loss"])


def test_the_reported_mapping_tests_as_it_was_measured(small):
    folder, _, checkpoint = small
    work, config = folder / "work", str(folder / "small.py")
    assert main(["fixres", config, str(checkpoint), "--parametric", "--test-size", "16", "--work-dir", str(work)]) == 0
    row = json.loads((work / "fixres.json").read_text())["rows"][1]
    options = [
        "model.type=frozen_det.EqualisedClassifier",
        f"model.equalise={row['equalise'][0]}".replace(" ", ""),
        "test_dataloader.dataset.transform.size=16",
    ]
    out = folder / "numbers.json"
    words = ["test", config, str(checkpoint), "--work-dir", str(folder / "tested"), "--out", str(out)]
    assert main([*words, "--cfg-options", *options]) == 0
    assert json.loads(out.read_text())["loss"] == pytest.approx(row["loss"], rel=1e-6)


def test_the_recipe_is_measured_and_never_tuned():
    cfg = load_config("fixres/resnet50_fixres-parametric-384px_imagenet1k")
    assert (cfg.fixres.train_size, cfg.train_dataloader.dataset.transform.size) == (224, 224)
    assert cfg.test_dataloader.dataset.transform.size == cfg.val_dataloader.dataset.transform.size == 384
    with pytest.raises(InputError, match="tunes nothing"):
        fixres_config(cfg, "weights.pth", FixResSettings())


@pytest.mark.parametrize("equalise", [None, [1.0], [1.0, float("nan")], ["1", "0"], [True, 0.0]])
def test_a_mapping_of_anything_but_two_numbers_is_refused(small, equalise):
    from mmdet.registry import MODELS

    model = {**small[1].model, "type": "frozen_det.EqualisedClassifier", "equalise": equalise}
    with pytest.raises(InputError, match=r"model.equalise as \[scale, shift\]"):
        MODELS.build(model)


def test_both_adaptations_at_once_are_refused(small, capsys):
    folder, _, checkpoint = small
    assert main(["fixres", str(folder / "small.py"), str(checkpoint), "--parametric", "--statistics-only"]) == 2
    assert "got both" in capsys.readouterr().err
