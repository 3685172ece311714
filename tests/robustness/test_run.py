"""Candidates from words, results that are read back, the page with its ranking and directions."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from frozen_det.errors import InputError
from frozen_det.robustness import candidates as study_candidates
from frozen_det.robustness import run as study_run
from frozen_det.robustness.adversarial import FGSM
from frozen_det.robustness.bootstrap import Bootstrap, Estimate, Measured
from frozen_det.robustness.candidates import Candidate, _labels
from frozen_det.robustness.occlusion import Occlusion
from frozen_det.robustness.ood import CalibrationStudy, OutOfDistribution
from frozen_det.robustness.page import direction, recipe, short_names, study_page, write_page
from frozen_det.robustness.ranking import chance_correlation, ranking_section, ranks, spearman
from frozen_det.robustness.run import StudyResults, run_studies
from frozen_det.robustness.study import StudyOptions, chosen_studies
from frozen_det.robustness.transfer import Transfer
from frozen_det.robustness.wsol import WSOL

from .study_networks import Brightness, classifier, flat, images_of


def estimates(*sides):
    return [Estimate((low + high) / 2, low, high, [low, high]) for low, high in sides]


def test_labels_name_config_and_seed_and_are_unique(tmp_path):
    from pathlib import Path

    paths = [Path("a/seed-0/epoch_1.pth"), Path("b/seed-0/epoch_1.pth"), Path("x/weights.pth"), None]
    assert _labels([("c", path) for path in paths]) == ["c seed-0", "c seed-0 #2", "weights", "c"]
    assert Candidate("c seed-0 #2", "c", None, None).file_name == "c_seed-0_2"


def test_a_batch_of_large_images_is_small():
    sizes = [study_candidates.fitting_batch(size_hw) for size_hw in ((32, 32), (224, 224), (4000, 4000))]
    assert sizes == [100, 16, 1]


def test_a_checkpoint_needs_a_config(tmp_path):
    file = tmp_path / "a.pth"
    file.touch()
    with pytest.raises(InputError, match="config before the checkpoint"):
        study_candidates.read_candidates([str(file)])
    with pytest.raises(InputError, match="one config that training wrote"):
        study_candidates.read_candidates([str(tmp_path)])
    with pytest.raises(InputError, match="at least one"):
        study_candidates.read_candidates([])


def test_a_config_counts_for_the_checkpoints_behind_it(tmp_path, monkeypatch):
    for name in ("a.pth", "b.th", "c.pth"):
        (tmp_path / name).touch()
    monkeypatch.setattr(study_candidates, "_config", lambda name, options: (name, SimpleNamespace()))
    found = study_candidates.read_candidates(
        ["one", str(tmp_path / "a.pth"), str(tmp_path / "b.th"), "two", f"three:{tmp_path / 'c.pth'}"]
    )
    assert [(one.arm, one.checkpoint and one.checkpoint.name) for one in found] == [
        ("one", "a.pth"),
        ("one", "b.th"),
        ("two", None),
        ("three", "c.pth"),
    ]


def test_all_takes_in_what_has_data():
    assert "wsol" not in chosen_studies("all") and "transfer" not in chosen_studies("all")
    given = dict(wsol=WSOL.Options(wsol_data="toy"), transfer=Transfer.Options(detector="x"))
    assert chosen_studies("all", StudyOptions(own=given))[-2:] == ("wsol", "transfer")
    assert chosen_studies("ood") == ("ood",) and chosen_studies("ood,fgsm,ood") == ("ood", "fgsm")
    with pytest.raises(InputError, match="STUDY"):
        chosen_studies("odd")


@pytest.fixture
def one_candidate(monkeypatch, tmp_path):
    """A candidate with known images; counts how often its network is opened."""
    file = tmp_path / "w.pth"
    file.write_bytes(b"weights")
    cfg = SimpleNamespace(filename="c.py", model=SimpleNamespace(to_dict=dict, get=lambda key: None))
    images, opened = images_of(flat([0.2, 0.4, 0.6, 0.8]), [0, 0, 1, 1]), []

    def open_it(candidate, batch_size, store):
        assert batch_size == 100
        opened.append(candidate.label)
        return classifier(Brightness())

    monkeypatch.setattr(study_run, "read_images", lambda cfg, num, seed: images)
    monkeypatch.setattr(study_run, "open_classifier", open_it)
    return Candidate("one", "c", cfg, file), opened, images


def test_a_study_that_is_done_is_read_back_until_something_changes(one_candidate, tmp_path):
    candidate, opened, images = one_candidate
    options, lines = StudyOptions(own=dict(fgsm=FGSM.Options(pgd_images=2))), []
    first = run_studies(("fgsm", "calibration"), [candidate], options, tmp_path / "out", lines.append)
    assert first.num_reused == 0 and any("fgsm done" in line for line in lines)
    again = run_studies(("fgsm", "calibration"), [candidate], options, tmp_path / "out", lines.append)
    assert again.num_reused == 2 and opened == ["one"]
    assert again.found == first.found
    other = run_studies(
        ("fgsm", "calibration"),
        [candidate],
        StudyOptions(own=dict(fgsm=FGSM.Options(pgd_images=2, pgd_steps=1))),
        tmp_path / "out",
        lines.append,
    )
    assert other.num_reused == 1  # calibration does not depend on PGD
    candidate.checkpoint.write_bytes(b"other weights")
    assert run_studies(("calibration",), [candidate], options, tmp_path / "out", lines.append).num_reused == 0


def test_candidates_on_other_images_are_refused(one_candidate, tmp_path, monkeypatch):
    candidate, _, images = one_candidate
    digests = iter("ab")

    def read(cfg, num, seed):
        images.digest = next(digests)
        return images

    monkeypatch.setattr(study_run, "read_images", read)
    with pytest.raises(InputError, match="same test images"):
        run_studies(("calibration",), [candidate, candidate], StudyOptions(), tmp_path, lambda line: None)


def test_wsol_without_boxes_is_refused(one_candidate, tmp_path):
    with pytest.raises(InputError, match="--wsol-data"):
        run_studies(("wsol",), [one_candidate[0]], StudyOptions(), tmp_path, lambda line: None)


def test_the_page_has_a_table_and_a_picture_of_each_study(one_candidate, tmp_path):
    results = run_studies(
        ("fgsm", "occlusion", "in-between", "ood", "calibration"),
        [one_candidate[0]],
        StudyOptions(own=dict(fgsm=FGSM.Options(pgd_images=2))),
        tmp_path,
        lambda line: None,
    )
    html, markdown = write_page(results, tmp_path)
    text = markdown.read_text()
    assert "| FGSM 8/255 |" in text and "reliability" in html.read_text() and html.read_text().count("<svg") == 7
    assert json.loads((tmp_path / "fgsm" / "one.json").read_text())["arm"] == "c"


@pytest.mark.parametrize(
    "sides, expected, words",
    [
        ([(1, 2), (3, 4)], 5.0, "same"),
        ([(1, 2), (3, 4)], -5.0, "opposite"),
        ([(-2, -1), (-4, -3)], -1, "same"),
        ([(-1, 2), (3, 4)], 5.0, "not distinguishable"),
        ([(1, 2), (-4, -3)], 1, "not distinguishable"),
        ([(3, 4)], 1, "not distinguishable"),
    ],
)
def test_a_direction_needs_two_seeds_on_one_side(sides, expected, words):
    assert direction(estimates(*sides), expected) == words


def test_directions_are_of_paired_seeds():
    rng, boot = np.random.default_rng(0), Bootstrap(400)
    plain = [rng.random(400) < 0.3 for _ in range(2)]
    labels = [f"net_{arm}_data seed-{seed}" for arm in ("plain", "cutmix") for seed in (0, 1)]
    values = [*plain, *[one | (rng.random(400) < 0.2) for one in plain]]
    found = {
        "fgsm": {label: Measured({"FGSM 8/255": boot.mean(100.0 * value)}) for label, value in zip(labels, values)}
    }
    candidates = [Candidate(label, label.split(" ")[0], None, None) for label in labels]
    page = study_page(StudyResults(candidates, found))
    compared = next(section for section in page.sections if section.title == "Beside the paper")
    assert compared.blocks[1].rows[0][1:3] == ["cutmix", "+22.8"] and compared.blocks[1].rows[0][-1] == "same"
    assert recipe("resnet20_feature-cutmix_cifar10") == "feature-cutmix" and recipe("net") == ""


def test_ranks_share_places_and_follow_the_sense():
    assert ranks([3, 1, 3, 2]) == [1.5, 4, 1.5, 3] and ranks([3, 1], more_is_better=False) == [2, 1]


def test_a_correlation_needs_three_candidates_that_differ():
    assert spearman([1, 2, 3, 4], [1, 3, 2, 4]) == pytest.approx(0.8)
    assert spearman([1, 2], [1, 2]) is None and spearman([1, 1, 1], [1, 2, 3]) is None


def test_the_ranking_correlates_with_the_detection_probe():
    labels = ["a", "b", "c"]
    found = {"calibration": {}, "transfer": {}}
    for label, accuracy, ap in zip(labels, (90, 80, 70), (30, 20, 10)):
        found["calibration"][label] = Measured({"accuracy": Estimate(accuracy, 0, 0), "ECE": Estimate(accuracy, 0, 0)})
        found["transfer"][label] = Measured({"detection, frozen, AP": Estimate(ap, ap, ap)})
    section = ranking_section(found, labels)
    rows = {row[0]: row[1:] for row in section.blocks[1].rows}
    assert rows["Calibration: accuracy"] == ["1", "2", "3"] and rows["Calibration: ECE"] == ["3", "2", "1"]
    assert rows["mean rank"] == ["1.7", "2.0", "2.3"]
    assert section.blocks[3].rows == [["Calibration: accuracy", "more", "+1.00"], ["Calibration: ECE", "less", "+1.00"]]
    assert ranking_section(found, ["a"]) is None
    for label, ap in zip(labels, (1, 3, 2)):
        found["transfer"][label].numbers["detection, fine-tuned, AP"] = Estimate(ap, ap, ap)
        found["transfer"][label].numbers["detection, fine-tuned, AP50"] = Estimate(ap, ap, ap)
    section = ranking_section(found, labels, ["x", "y", "z"])
    assert section.blocks[1].header == ["number", "x", "y", "z"]
    assert section.blocks[3].header[2:] == ["Spearman with the frozen probe", "Spearman with the fine-tuned probe"]
    rows = {row[0]: row[2:] for row in section.blocks[3].rows}
    assert rows["Calibration: accuracy"] == ["+1.00", "-0.50"]
    assert rows["Transfer: detection, fine-tuned, AP"] == ["-0.50", ""] and not any("AP50" in row for row in rows)
    assert "4 numbers are looked at" in section.blocks[2].text
    assert "so few can show nothing" in section.blocks[2].text


def test_without_a_probe_nothing_is_said_about_it():
    found = {"ood": {label: Measured({"mean, energy, auroc": Estimate(1, 1, 1)}) for label in "ab"}}
    section = ranking_section(found, ["a", "b"])
    assert "No detection probe" in section.blocks[0].text and len(section.blocks) == 2
    assert section.blocks[1].rows[0] == ["Out of distribution: mean, energy, AUROC", "1.5", "1.5"]


def test_chance_alone_reaches_the_tables_of_spearmans_correlation():
    # Two-sided 5 %: Zar, Biostatistical Analysis, Table B.20.
    assert chance_correlation(4) is None
    assert [round(chance_correlation(num), 3) for num in (5, 6, 8, 10)] == [1.0, 0.886, 0.738, 0.648]


def test_names_on_the_page_are_what_differs():
    names = ["resnet20_plain_cifar10", "resnet20_cutmix_cifar10 seed-1"]
    assert short_names(names) == ["plain", "cutmix seed-1"]
    assert short_names([f"resnet20_plain_cifar10 seed-{seed}" for seed in (0, 1)]) == ["plain seed-0", "plain seed-1"]
    assert short_names(["resnet20_plain_cifar10", "a"]) == ["resnet20_plain_cifar10", "a"]
    assert short_names(names[:1]) == names[:1]


def test_a_study_that_only_some_candidates_have_is_shown_with_gaps():
    labels = [f"net_{arm}_data seed-{seed}" for arm in ("plain", "cutmix") for seed in (0, 1)]
    one = Measured({"FGSM 8/255": Estimate(3.0, 2.0, 4.0, [2.0, 4.0])})
    page = study_page(
        StudyResults(
            [Candidate(label, label.split(" ")[0], None, None) for label in labels],
            {"fgsm": {labels[0]: one, labels[3]: one}},
        )
    )
    table = next(section for section in page.sections if section.title == "Under attack").blocks[1]
    assert table.header == ["", "plain", "cutmix"] and table.rows == [["FGSM 8/255", "3.0 ± 1.0", "3.0 ± 1.0"]]
    page = study_page(
        StudyResults(
            [Candidate(label, label.split(" ")[0], None, None) for label in labels], {"fgsm": {labels[0]: one}}
        )
    )
    table = next(section for section in page.sections if section.title == "Under attack").blocks[1]
    assert table.rows == [["FGSM 8/255", "3.0 ± 1.0", ""]]


def test_notes_that_differ_name_their_candidate():
    found = {
        label: Measured({"top-1": Estimate(1, 1, 1)}, notes=dict(num_images=5, map=kind))
        for label, kind in (("a", "CAM"), ("b", "Grad-CAM++ at norm"))
    }
    page = study_page(StudyResults([Candidate(label, label, None, None) for label in "ab"], {"wsol": found}))
    table = next(section for section in page.sections if section.title.startswith("Localisation")).blocks[1]
    assert table.caption == "images: 5; map: CAM (a), Grad-CAM++ at norm (b)."


def test_a_run_that_is_stopped_goes_on_at_the_study_it_stopped_in(one_candidate, tmp_path, monkeypatch):
    candidate, opened, _ = one_candidate
    begun = []
    for study in (Occlusion, CalibrationStudy, OutOfDistribution):

        def stop_at_calibration(self, *others, run=study.run):
            begun.append(self.name)
            if begun.count("calibration") == 1 and self.name == "calibration":
                raise KeyboardInterrupt
            return run(self, *others)

        monkeypatch.setattr(study, "run", stop_at_calibration)
    words = (("occlusion", "calibration", "ood"), [candidate], StudyOptions(), tmp_path, lambda line: None)
    with pytest.raises(KeyboardInterrupt):
        run_studies(*words)
    assert not (tmp_path / "calibration").exists() or not list((tmp_path / "calibration").iterdir())
    results = run_studies(*words)
    assert results.num_reused == 1 and begun == ["occlusion", "calibration", "calibration", "ood"]
    assert set(results.found) == {"occlusion", "calibration", "ood"}


def test_probes_read_frozen_features(tmp_path):
    from frozen_det.robustness.transfer import study_transfer

    class Pooled(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.head = torch.nn.Linear(3, 2)

        def forward(self, images):
            return self.head(images.mean((2, 3)))

    for split, number in (("train", 6), ("val", 3)):
        for name, colour in (("blue", (0, 0, 200)), ("red", (200, 0, 0))):
            for index in range(number):
                path = tmp_path / split / name / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 8), tuple(c + index for c in colour)).save(path)
    images = images_of(flat([0.2]), [0])
    images.fit = lambda image: torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())
    candidate = Candidate("one", "c", None, None)
    found = study_transfer(classifier(Pooled()), images, candidate, [f"cells={tmp_path}"], log=lambda line: None)
    assert found.numbers["cells, linear probe"].value == 100 and found.numbers["cells, 20-NN"].value == 100
    assert found.notes["cells, train images"] == 12
    with pytest.raises(InputError, match="something to transfer"):
        study_transfer(classifier(Pooled()), images, candidate)
