"""The report of classifiers: final checkpoints with their noise, differences marked, ranks checked, recipes crossed."""

import json
import re
from types import SimpleNamespace

import pytest

from frozen_det.errors import InputError
from frozen_det.reports import groups as run_groups
from frozen_det.reports import recipes as report_recipes
from frozen_det.reports import seed_noise as report_noise
from frozen_det.reports.classifier_runs import along_epochs, best_minus_final, rank_agreement, recipe, settings_tried
from frozen_det.reports.groups import group_runs
from frozen_det.reports.run_record import read_run
from frozen_det.reports.write import write_report

from .conftest import write_run, write_work_dir

# Top-1 of seeds 0..3 at the end; every run was 1 better an epoch before.
PLAIN, BETTER, NEAR = (70.0, 70.2, 70.4, 70.6), (75.0, 75.1, 75.5, 75.4), (70.3, 70.1, 70.8, 70.4)


@pytest.fixture(autouse=True)
def _quickly(monkeypatch, request):
    """Models described without being built; figures drawn in one test alone, they take most of the time."""
    monkeypatch.setattr(
        run_groups, "describe", lambda group: setattr(group, "description", SimpleNamespace(total_params=272474))
    )
    if "drawn" not in request.node.name:
        for module, name in (
            (report_noise, "draw_svg"),
            (report_noise, "draw_dots_svg"),
            (report_recipes, "draw_bars_svg"),
        ):
            monkeypatch.setattr(module, name, lambda *what: "<svg ></svg>")


def config(depth=20, mixing="None", epochs=2) -> str:
    return (
        f"model = dict(type='frozen_det.ImageClassifier', backbone=dict(type='frozen_det.CifarResNet', "
        f"depth={depth}), num_classes=10, mixing={mixing})\ntrain_cfg = dict(max_epochs={epochs})\n"
        "train_dataloader = dict(batch_size=128, dataset=dict(type='frozen_det.ImageFolder'))\n"
        "val_dataloader = dict(dataset=dict(split='test'))\ntest_dataloader = dict(dataset=dict(split='test'))\n"
    )


def write_classifier(folder, name, seed, top1, text, tested=True, classes=None, second=None):
    """A work directory as training and testing a classifier leave it: two epochs, the first one better by 1."""

    def val(epoch, value):
        return {
            "top1": value,
            "top5": 95.0,
            "loss": 1.0,
            "ece": 0.05,
            "mean_class": value,
            "num_images": 100.0,
            "data_time": 0.0,
            "time": 0.1,
            "step": epoch,
        }

    lines = [
        {"lr": 0.1, "loss": 2.0, "top1": 30.0, "time": 0.5, "epoch": 1, "iter": 10, "step": 10},
        val(1, top1 + 1),
        {"lr": 0.1, "loss": 1.5, "top1": 40.0, "time": 0.5, "epoch": 2, "iter": 20, "step": 20},
        val(2, top1),
    ]
    write_run(folder, "20260101_000000", lines, seed, text)
    (folder / f"{name}.py").write_text("")
    (folder / "host_memory.json").write_text('{"peak_mib": 2048}')
    if tested:
        (folder / "test.json").write_text(json.dumps({**val(0, top1), "class/cat": 50.0}))
        (folder / "test.classes.json").write_text(json.dumps({"class": classes or {"cat": top1, "dog": None}}))
    if second is not None:
        (folder / "second_test.json").write_text(json.dumps({"top1": second, "time": 1.0}))
    return folder


def write_group(root, name, tops, text, **more):
    return [
        write_classifier(
            root / name / "fraction-1" / f"seed-{seed}",
            name,
            seed,
            top1,
            text,
            **{key: values[seed] for key, values in more.items()},
        )
        for seed, top1 in enumerate(tops)
    ]


def three_groups(root):
    return [
        *write_group(root, "r20_cutmix_c10", BETTER, config(mixing="dict(a=1)"), second=(60.0, 60, 60, 60)),
        *write_group(root, "r20_near_c10", NEAR, config(mixing="dict(a=2)"), second=(63.0, 63, 63, 63)),
        *write_group(root, "r20_plain_c10", PLAIN, config(), second=(61.0, 61, 61, 61)),
    ]


def page(folders, tmp_path, **options) -> str:
    html, markdown = write_report(folders, tmp_path / "page.html", **options)
    assert "https://" not in re.sub(r"https?://www\.w3\.org\S*", "", html.read_text())
    return markdown.read_text()


def test_the_page_of_groups_has_every_number_with_mean_std_least_and_most(tmp_path):
    twin = page(three_groups(tmp_path), tmp_path)
    assert "| top-1, % | cutmix | 4 | **75.25** | 0.24 | 75.00 | 75.50 |" in twin
    assert "| top-1, % | plain | 4 | 70.30 | 0.26 | 70.00 | 70.60 |" in twin
    assert "| ECE | near | 4 | **0.0500** | 0.0000 | 0.0500 | 0.0500 |" in twin
    assert "mean of classes" not in twin  # equal to top-1 here
    assert "| plain | 4 | 70.30 | 71.30 | 1.00 | 1.00 | 1, 1, 1, 1 |" in twin  # best minus final
    assert "| plain | 0.27 | 0.500 | 10.0 s | – | 2.00 |" in twin
    assert "3 configurations were tried, in 12 runs and 2 min 0 s of training steps" in twin
    assert "| cat | 70.3 ± 0.3 | 75.2 ± 0.2 | 70.4 ± 0.3 |" in twin and "| dog" not in twin


def test_the_figures_are_drawn_with_a_dot_for_each_seed_and_a_band_for_each_group(tmp_path):
    twin = page(three_groups(tmp_path), tmp_path)
    links = set(re.findall(r"\]\(page_files/(\S+)\.svg\)", twin))
    assert {"final-dots", "band", "deviation", "loss", "top1", "classes-1"} <= links
    dots = (tmp_path / "page_files" / "final-dots.svg").read_text()
    assert len(re.findall(r"<use [^>]*fill-opacity|<use [^>]*fill", dots)) >= 12
    assert "fill-opacity: 0.18" in (tmp_path / "page_files" / "band.svg").read_text()


def test_differences_below_two_standard_deviations_of_the_baseline_are_marked(tmp_path):
    folders = three_groups(tmp_path)
    twin = page(folders, tmp_path)
    assert "| cutmix − plain | 4 | +4.95 | above 0.52 |" in twin and "| higher |" in twin
    assert "| near − plain | 4 | +0.10 | ✗ below 0.52 |" in twin
    assert "of the size of noise: near." in twin
    assert "cutmix is higher than plain (n = 4)" in twin
    other = page(folders, tmp_path, baseline="r20_near_c10")
    assert "| plain − near | 4 | −0.10 | ✗ below 0.59 |" in other
    with pytest.raises(InputError, match="--baseline as one of"):
        page(folders, tmp_path, baseline="r20_other")


def test_two_seeds_claim_nothing_and_one_has_no_deviation(tmp_path):
    folders = three_groups(tmp_path)
    two = page([one for one in folders if one.name in ("seed-0", "seed-1")], tmp_path)
    assert "Not distinguishable: with 2 common seeds" in two and "is higher" not in two
    one = page([one for one in folders if one.name == "seed-0"], tmp_path)
    assert "| top-1, % | plain | 1 | 70.00 | – | 70.00 | 70.00 |" in one and "Spread along" not in one


def test_the_second_test_set_checks_the_ranks(tmp_path):
    twin = page(three_groups(tmp_path), tmp_path)
    assert "| cutmix | 75.25 ± 0.24 | 1 | 60.00 ± 0.00 | 3 | 15.25 | 1 → 3 |" in twin
    assert "τ = -0.33" in twin and "cutmix and near" in twin
    assert rank_agreement([1, 2, 3], [10, 20, 30]) == 1 and rank_agreement([1, 2], [2, 1]) == -1
    assert rank_agreement([1], [1]) is None and rank_agreement([1, 2], [5, 5]) is None
    # By pairs: 5 in order, 0 against it, 1 tie in the second list: 5 / sqrt(6 * 5).
    assert rank_agreement([1, 2, 3, 4], [1, 2, 2, 3]) == pytest.approx(5 / 30**0.5)
    assert "On a second test set" not in page(three_groups(tmp_path / "b"), tmp_path, second_test="none.json")


def test_two_architectures_under_two_recipes_are_one_table_with_a_warning(tmp_path):
    tops = {("r20", "x"): (70.0, 71), ("r20", "y"): (72.0, 73), ("r56", "x"): (74.0, 75), ("r56", "y"): (60.0, 61)}
    folders = [
        folder
        for (arch, how), values in tops.items()
        for folder in write_group(tmp_path, f"{arch}_{how}_c10", values, config(int(arch[1:]), f"dict(how='{how}')"))
    ]
    twin = page(folders, tmp_path)
    assert "| CifarResNet depth=20 | 70.50 ± 0.71 | **72.50 ± 0.71** |" in twin
    assert "| CifarResNet depth=56 | **74.50 ± 0.71** | 60.50 ± 0.71 |" in twin
    assert "ahead are CifarResNet depth=56 under x, CifarResNet depth=20 under y. No order" in twin
    one = page([folder for folder in folders if "_x_" in str(folder)], tmp_path)
    assert "is not their order" in one and "share 1 recipe" in one


def test_detectors_and_classifiers_in_one_report_are_refused(tmp_path):
    folders = write_group(tmp_path, "r20_plain_c10", (70.0,), config())
    write_work_dir(tmp_path / "detector")
    with pytest.raises(InputError, match="got both: .*seed-0 trained a classifier, .*detector did not"):
        write_report([*folders, tmp_path / "detector"], tmp_path / "page.html")
    with pytest.raises(InputError, match="--baseline with classification runs alone"):
        write_report([tmp_path / "detector"], tmp_path / "page.html", baseline="arm")


def test_a_test_of_another_checkpoint_and_an_unfinished_run_are_named(tmp_path):
    folders = write_group(tmp_path, "r20_plain_c10", (70.0, 71.0), config())
    (folders[0] / "test.json").write_text('{"top1": 71.0, "top5": 95.0}')
    assert "not the final checkpoint was tested: r20_plain_c10, seed 0 (test 71.00, last validation 70.00)" in page(
        folders, tmp_path
    )
    young = write_group(tmp_path / "b", "r20_plain_c10", (70.0,), config(epochs=9))
    assert "intermediate results of r20_plain_c10, seed 0 (epoch 2 of 9)" in page(young, tmp_path)


def test_untested_runs_show_the_last_validation_and_no_class(tmp_path):
    folders = write_group(tmp_path, "r20_plain_c10", (70.0, 71.0), config(), tested=(True, False))
    twin = page(folders, tmp_path)
    assert "at the last validation" in twin and "| top-1, % | r20_plain_c10 | 2 | 70.50 |" in twin
    assert "## By class" not in twin


def test_the_spread_is_taken_at_epochs_that_all_seeds_have(tmp_path):
    runs = [read_run(folder) for folder in write_group(tmp_path, "r20_plain_c10", (70.0, 72.0), config())]
    assert [best_minus_final(run) for run in runs] == [(71.0, 1.0, 1), (73.0, 1.0, 1)]
    runs[1].validations.pop()
    group = group_runs(runs)[0]
    assert along_epochs(group) == [(1, 72.0, pytest.approx(2**0.5))]
    assert recipe(group) == "plain"


def test_settings_that_a_sweep_moved_aside_count_as_tried(tmp_path):
    folders = write_group(tmp_path, "r20_plain_c10", (70.0, 71.0), config())
    for seed, folder in enumerate(folders):
        settings = json.dumps({"lr": 1, "randomness": {"seed": seed}})
        (folder / "sweep.json").write_text(json.dumps({"settings": settings}))
    aside = folders[0].with_name("seed-0.previous-20260101-000000")
    aside.mkdir()
    (aside / "sweep.json").write_text(json.dumps({"settings": json.dumps({"lr": 2})}))
    assert settings_tried([read_run(folder) for folder in folders]) == 2
    assert "2 configurations were tried (on this page: 1 group of runs), in 2 runs and" in page(folders, tmp_path)
