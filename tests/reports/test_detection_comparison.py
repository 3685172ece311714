"""Groups side by side: named by what they differ in, compared only where it is fair, unfinished runs said to be so."""

import re
from types import SimpleNamespace

import pytest

from frozen_det.reports import groups as run_groups
from frozen_det.reports.detection_comparison import comparisons, in_order, score, score_name
from frozen_det.reports.groups import GroupFacts, group_runs
from frozen_det.reports.run_record import RunRecord, read_run
from frozen_det.reports.write import write_report

from .conftest import train_line, write_run, write_work_dir

FROZEN, TUNED, SCRATCH = "freeze=True", "freeze=False, weights='timm'", "freeze=False, weights='random'"


def config(backbone=FROZEN, neck="FPN", detector="FasterRCNN", share=1.0, epochs=2, more="") -> str:
    fraction = f", fraction=dict(share={share}, seed=0)" if share != 1 else ""
    return (
        f"model = dict(type='frozen_det.Detector', detector=dict(type='{detector}', backbone=dict("
        f"type='frozen_det.FrozenBackbone', body=dict(type='timm', name='r50'), {backbone}), "
        f"neck=dict(type='frozen_det.{neck}')))\n"
        f"train_dataloader = dict(dataset=dict(type='frozen_det.CocoDataset'{fraction}))\n"
        f"train_cfg = dict(max_epochs={epochs})\n{more}"
    )


def runs_of(tmp_path, *groups, seeds=(0, 1)) -> list[RunRecord]:
    """One run for each (config, AP shift) and seed; the folders end alike, as a sweep's do."""
    runs = []
    for number, (text, shift) in enumerate(groups):
        for seed in seeds:
            folder = tmp_path / f"arm{number}" / f"seed-{seed}"
            folder.parent.mkdir(exist_ok=True, parents=True)
            write_work_dir(folder, seed, shift + 0.01 * seed * (1 + number), "same", text)
            runs.append(read_run(folder))
    return runs


@pytest.fixture
def described(monkeypatch):
    """Every group's model described without being built: what is frozen costs less."""

    def describe(group):
        tuned = group.facts.training == "fine-tuned"
        group.description = SimpleNamespace(
            total_params=10e6,
            trainable_params=10e6 if tuned else 4e6,
            trainable_share=1.0 if tuned else 0.4,
            training_step_flops=3e10 if tuned else 1e10,
        )

    monkeypatch.setattr(run_groups, "describe", describe)


@pytest.mark.parametrize(
    ("backbone", "words"),
    [
        (FROZEN, "frozen"),
        (TUNED, "fine-tuned"),
        (SCRATCH, "scratch"),
        ("freeze=3", "partly frozen"),
        ("freeze=True, adapters=dict(type='parallel')", "frozen with adapters"),
        ("freeze=False, adapters=dict(type='parallel')", "fine-tuned with adapters"),
    ],
)
def test_the_kind_of_training_is_read_from_the_config(tmp_path, backbone, words):
    run = runs_of(tmp_path, (config(backbone, "NASFPN", "CascadeRCNN", 0.1), 0.0), seeds=(0,))[0]
    assert run_groups.group_facts(run) == GroupFacts(words, "r50", "NAS-FPN", "Cascade R-CNN", 0.1, "2 epochs")


def test_labels_name_what_differs_and_groups_stand_in_order(tmp_path):
    runs = runs_of(
        tmp_path,
        (config(FROZEN, share=1), 0),
        (config(TUNED, share=1), 0),
        (config(FROZEN, share=0.1), 0),
        (config(SCRATCH, share=0.1, epochs=20), 0),
        seeds=(0,),
    )
    assert [group.label for group in in_order(group_runs(runs))] == [
        "scratch, 10 % data, 20 epochs",
        "frozen, 10 % data, 2 epochs",
        "fine-tuned, all data, 2 epochs",
        "frozen, all data, 2 epochs",
    ]
    stretched = runs_of(
        tmp_path / "b", (config(FROZEN, "NASFPN"), 0), (config(FROZEN, "FPN", share=0.1, epochs=20), 0), seeds=(0,)
    )
    assert [group.label for group in group_runs(stretched)] == ["NAS-FPN, all data", "FPN, 10 % data"]


def test_a_decoder_is_named_as_in_the_paper(tmp_path):
    runs = runs_of(tmp_path, (config(neck="NASFPN", detector="CascadeRCNN"), 0), (config(neck="FPN"), 0), seeds=(0,))
    assert [group.label for group in group_runs(runs)] == ["NAS-FPN + Cascade", "FPN"]


def test_hooks_that_only_look_on_do_not_make_another_group(tmp_path):
    watched = "custom_hooks = [dict(type='frozen_det.NaNGuardHook'), dict(type='EMAHook')]\n"
    plain = "custom_hooks = [dict(type='EMAHook')]\ndefault_hooks = dict(logger=dict(interval=1))\n"
    runs = runs_of(tmp_path, (config(more=watched), 0), (config(more=plain), 0), (config(), 0), seeds=(0,))
    assert [len(group.runs) for group in group_runs(runs)] == [2, 1]


def test_pairs_differ_in_one_thing_and_read_later_minus_earlier(tmp_path):
    groups = group_runs(
        runs_of(
            tmp_path,
            *(
                (config(how, neck, share=share), 0)
                for share in (0.1, 1.0)
                for neck in ("FPN", "NASFPN")
                for how in (FROZEN, TUNED)
            ),
            seeds=(0,),
        )
    )
    words = [pair.words for pair in comparisons(groups, "val")]
    assert len(words) == 8 and words[0] == "frozen − fine-tuned (FPN, 10 % data)"
    assert "NAS-FPN − FPN (frozen, all data)" in words


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ((0,), "Not distinguishable: with 1 common seed a difference"),
        ((0, 1), "Not distinguishable: with 2 common seeds a difference"),
        ((0, 1, 2, 3), "frozen is higher than fine-tuned (n = 4)."),
    ],
)
def test_the_page_claims_what_its_seeds_carry(tmp_path, described, seeds, words):
    runs = runs_of(tmp_path, (config(TUNED), 0.0), (config(FROZEN), 0.2), seeds=seeds)
    html, markdown = write_report([run.work_dir for run in runs], tmp_path / "page.html")
    twin = markdown.read_text()
    assert words in twin and words in html.read_text()
    assert f"| frozen − fine-tuned | {len(seeds)} | +2" in twin
    if len(seeds) < 3:
        assert "is higher" not in twin and f"not distinguishable with n = {len(seeds)} |" in twin


def test_a_comparison_has_all_its_pictures_and_tables(tmp_path, described):
    runs = runs_of(
        tmp_path,
        *((config(how, share=share), shift) for share, shift in ((0.1, -0.2), (1.0, 0.0)) for how in (TUNED, FROZEN)),
    )
    html, markdown = write_report([run.work_dir for run in runs], tmp_path / "page.html")
    twin = markdown.read_text()
    links = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", twin)
    assert {
        f"page_files/{name}.svg"
        for name in ("trade-flops", "trade-share", "trade-fraction", "loss", "ap", "classes-bbox-0", "classes-bbox-1")
    } <= set(links)
    pictures = [link for link in links if link.endswith(".jpg")]
    assert len(set(pictures)) == 4  # one of each group: the same image of several runs keeps several files
    assert all((tmp_path / link).is_file() for link in links)
    assert "| fine-tuned, all data | 10.00 | 10.00 | 100 | 30.0 | 0.50 | – |" in twin
    assert "| frozen, 10 % data | 10.00 | 4.00 | 40 | 10.0 |" in twin
    assert "the same for all: backbone r50, neck FPN, detector Faster R-CNN, schedule 2 epochs" in twin
    assert "arm0/seed-0" in twin  # runs whose folders share a name are told apart
    assert "https://" not in re.sub(r"https?://www\.w3\.org\S*", "", html.read_text())


def test_an_unfinished_run_is_named_before_its_numbers(tmp_path, described):
    runs = runs_of(tmp_path, (config(TUNED, epochs=2), 0), (config(FROZEN, epochs=12), 0), seeds=(0,))
    assert [run.unfinished for run in runs] == [None, "epoch 2 of 12"]
    twin = write_report([run.work_dir for run in runs], tmp_path / "page.html")[1].read_text()
    assert "intermediate results of frozen, 12 epochs, seed 0 (epoch 2 of 12)." in twin


def test_missing_numbers_are_dashes(tmp_path):
    runs = runs_of(tmp_path, (config(TUNED), 0), (config(FROZEN), 0), seeds=(0,))
    folder = tmp_path / "young"
    write_run(folder, "20260101_000000", [train_line(10, 4.0)], config=config(SCRATCH))
    twin = write_report([*(run.work_dir for run in runs), folder], tmp_path / "page.html")[1].read_text()
    assert "| scratch | 0 | – | – | – | – | – |" in twin
    assert "| frozen − scratch | 0 | – | – | – | – | no common seed |" in twin


def test_runs_that_are_no_detectors_show_the_numbers_they_have(tmp_path):
    for seed, top1 in ((0, 71.5), (1, 72.5)):
        write_run(
            tmp_path / f"c{seed}",
            "20260101_000000",
            [train_line(10, 4.0), {"accuracy/top1": top1, "accuracy/top5": 90.0, "step": 1}],
            seed=seed,
        )
    runs = [read_run(tmp_path / f"c{seed}") for seed in (0, 1)]
    for run in runs:
        run.name = "classifier"
    groups = group_runs(runs)
    assert len(groups) == 1 and score(runs[0], "val") == 71.5 and score_name(groups, "val") == "top1"
    (tmp_path / "c0" / "classifier.py").write_text("")
    (tmp_path / "c1" / "classifier.py").write_text("")
    twin = write_report([run.work_dir for run in runs], tmp_path / "page.html")[1].read_text()
    assert "| classifier | 0, 1 | 72 ± 0.71 | 90 ± 0 |" in twin


def test_numbers_of_the_test_count_only_where_every_run_was_tested(tmp_path, described):
    runs = runs_of(tmp_path, (config(TUNED), 0), (config(FROZEN), 0), seeds=(0,))
    (runs[0].work_dir / "test.json").write_text('{"coco/bbox_mAP": 0.9, "time": 1.0}')
    twin = write_report([run.work_dir for run in runs], tmp_path / "page.html")[1].read_text()
    assert "| fine-tuned | 0 | **40.0** |" in twin and "at the last validation" in twin
    (runs[1].work_dir / "test.json").write_text('{"coco/bbox_mAP": 0.5}')
    twin = write_report([run.work_dir for run in runs], tmp_path / "page.html")[1].read_text()
    assert "| fine-tuned | 0 | **90.0** |" in twin and "| frozen | 0 | 50.0 |" in twin and "of the test" in twin
