"""Sets foretold from others: choices, regrets, orders and their intervals, on grids whose answers are known."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from frozen_det.advisor.expected import Cell, Expectations, logit, probability
from frozen_det.advisor.study import leave_one_out
from frozen_det.advisor.study.grid import Grid
from frozen_det.advisor.study.leave_one_out import (
    ADVISOR,
    BY_TOP1,
    GENTLY,
    MEAN_RANK,
    PROBE,
    WITH_PROBE,
    claims,
    covered,
    enough,
    foretold,
    mean_regrets,
    mean_tau,
    orders_of_scores,
    regrets,
    taus,
)

from .made import score_record

SETS = {"a": 0.1, "b": 0.2, "c": 0.3, "d": 0.4, "e": 0.25}
GAINS = {"frozen": 0.0, "fine-tuned": -0.5, "last stage tuned": 0.4}


def made(bodies=(("Lite0", 0.0), ("Lite2", 0.2)), turned=()) -> Grid:
    """The model itself; of the sets in `turned` the gains have the other sign. The larger body has the larger probe."""
    grid = Grid()
    for one, level in SETS.items():
        for body, more in bodies:
            z = logit(level) + more
            sign = -1 if one in turned else 1
            AP = {way: probability(0.3 + z + sign * gain) for way, gain in GAINS.items()}
            grid.cells.append(Cell(one, body, probability(z), AP))
            grid.scores[one, body] = score_record(one, body, probability(z), **{"box LogME": -more, "LogME": more})
    return grid


def test_sets_like_the_others_are_foretold_and_cost_nothing():
    grid = made()
    assert taus(grid) == pytest.approx(dict.fromkeys(SETS, 1.0))
    guess = foretold(grid.cells, "a")
    assert guess["Lite2", "fine-tuned"] == pytest.approx(probability(0.3 + logit(0.1) + 0.2 - 0.5))
    found = regrets(grid)
    assert found[ADVISOR] == dict.fromkeys(SETS, (("Lite2", "last stage tuned"), 0.0))
    tau = mean_tau(taus(grid))
    assert (tau.value, tau.low, tau.high) == pytest.approx((1, 1, 1))


def test_a_set_far_from_the_others_is_outside_of_its_intervals_and_widens_theirs():
    grid, draw = made(), np.random.default_rng(1)
    for place, cell in enumerate(grid.cells):
        far = 3.0 if cell.set == "a" else 0.01 * draw.normal()
        AP = {way: probability(logit(value) + far + 0.01 * draw.normal()) for way, value in cell.AP.items()}
        grid.cells[place] = Cell(cell.set, cell.backbone, cell.probe, AP)
    assert covered(grid) == (24, 30)


def test_rules_choose_what_their_names_say_and_regret_it():
    grid = made()
    for cell in grid.cells:
        cell.AP[GENTLY] = probability(logit(cell.AP["frozen"]) + 0.2)
    found = regrets(grid)
    best = {one: grid.cells[2 * place + 1].AP["last stage tuned"] for place, one in enumerate(SETS)}
    cells = {(cell.set, cell.backbone): cell.AP for cell in grid.cells}
    for rule, choice in (
        ("largest top-1, frozen", ("Lite2", "frozen")),
        ("largest top-1, fine-tuned", ("Lite2", "fine-tuned")),
        (f"largest top-1, {GENTLY}", ("Lite2", GENTLY)),
        ("smallest, frozen", ("Lite0", "frozen")),
    ):
        for one in SETS:
            got, regret = found[rule][one]
            assert got == choice
            assert regret == pytest.approx(best[one] - cells[one, choice[0]][choice[1]])
    assert {choice for choice, _ in found["the best on the other sets"].values()} == {("Lite2", "last stage tuned")}
    regret, more = mean_regrets(grid)["smallest, frozen"]
    assert regret.value == pytest.approx(np.mean([value for _, value in found["smallest, frozen"].values()]))
    assert more.value == pytest.approx(regret.value) and more.low <= more.value <= more.high
    assert mean_regrets(grid)[ADVISOR][1] is None


def test_a_set_unlike_the_others_is_a_regret_and_no_number_of_its_own_is_used():
    grid = made(turned=("a",))
    found = regrets(grid)
    assert found[ADVISOR]["a"][0] == ("Lite2", "last stage tuned") and taus(grid)["a"] < 0
    AP = {cell.backbone: cell.AP for cell in grid.cells if cell.set == "a"}["Lite2"]
    assert found[ADVISOR]["a"][1] == pytest.approx(AP["fine-tuned"] - AP["last stage tuned"])
    other = [Cell(one.set, one.backbone, one.probe, dict.fromkeys(one.AP, 0.5)) for one in grid.cells if one.set == "a"]
    rest = [cell for cell in grid.cells if cell.set != "a"]
    assert foretold([*other, *rest], "a") == foretold(grid.cells, "a")
    told, right, pairs = claims(grid)
    assert pairs == 5 * 15 and 0 < right < told <= pairs


def test_intervals_of_means_over_sets_are_students_from_five_on():
    grid = made(turned=("a", "b"))
    found = mean_regrets(grid)
    for rule in (ADVISOR, "smallest, frozen"):
        values = [value for _, value in regrets(grid)[rule].values()]
        wanted = ttest_1samp(values, 0).confidence_interval(0.95)
        regret = found[rule][0]
        assert (regret.value, regret.low, regret.high) == pytest.approx(
            (np.mean(values), max(0, wanted.low), wanted.high)
        )
    more = found["smallest, frozen"][1]
    gaps = [regrets(grid)["smallest, frozen"][one][1] - regrets(grid)[ADVISOR][one][1] for one in SETS]
    assert (more.value, more.low) == pytest.approx((np.mean(gaps), ttest_1samp(gaps, 0).confidence_interval(0.95).low))
    tau = mean_tau({"a": 1.0, "b": 1.0, "c": 0.5, "d": 1.0, "e": 1.0})
    assert tau.value == pytest.approx(0.9) and tau.high == 1 and 0 < tau.low < 0.9
    few = mean_tau({"a": 1.0, "b": 0.0})
    assert few.value == 0.5 and np.isnan(few.low) and np.isnan(few.high)


def test_a_rule_whose_choice_was_measured_on_four_sets_has_no_interval():
    grid = made()
    del next(cell for cell in grid.cells if (cell.set, cell.backbone) == ("a", "Lite2")).AP["fine-tuned"]
    for name, (regret, more) in mean_regrets(grid).items():
        bounds = [regret.low, regret.high] + ([] if more is None else [more.low, more.high])
        assert all(np.isnan(bounds)) if name == "largest top-1, fine-tuned" else not any(np.isnan(bounds)), name


def test_of_one_backbone_the_smallest_is_the_largest_and_told_once():
    found = regrets(made(bodies=(("Lite0", 0.0),)))
    assert "smallest, frozen" not in found and "largest top-1, frozen" in found


def test_a_constant_guess_is_no_order():
    grid = made()
    for cell in grid.cells:
        cell.gains.update(dict.fromkeys(GAINS, 0.0))
    single = [cell for cell in grid.cells if cell.backbone == "Lite0"]
    assert set(taus(Grid(cells=single, scores=grid.scores)).values()) == {0.0}


def test_scores_order_backbones_pair_by_pair():
    found = orders_of_scores(made())
    assert [found[name][0].value for name in ("LogME", "box LogME", PROBE)] == pytest.approx([1, -1, 1])
    assert found["LogME"][1:] == (5, 5, 5) and found["box LogME"][1:] == (0, 5, 5)
    # One score for and one against are no order; the probe turns it.
    assert found[MEAN_RANK][0].value == 0 and found[WITH_PROBE][0].value == pytest.approx(1)
    assert "H-score" not in found


def test_a_score_that_one_backbone_lacks_says_nothing_on_that_set():
    grid = made()
    del grid.scores["a", "Lite0"]["scores"]["LogME"]
    assert orders_of_scores(grid)["LogME"][1:] == (4, 4, 4)
    single = made(bodies=(("Lite0", 0.0),))
    assert orders_of_scores(single) == {}


def test_top1_order_is_size_order():
    import timm

    names = ("tf_efficientnet_lite2", "tf_efficientnet_lite1", "tf_efficientnet_lite0", "mobilenetv2_100")
    import torch

    with torch.device("meta"):
        counts = [sum(one.numel() for one in timm.create_model(name).parameters()) for name in names]
    assert counts == sorted(counts, reverse=True) and len(BY_TOP1) == len(names)


def test_four_sets_are_needed():
    grid = made()
    grid.cells = [cell for cell in grid.cells if cell.set in "abc"]
    assert not enough(grid)
    assert enough(made()) and isinstance(Expectations(made().cells), Expectations)
    assert leave_one_out.sets_of(grid.cells) == ["a", "b", "c"]
