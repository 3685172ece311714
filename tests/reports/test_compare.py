"""Two detectors on the same images: what one finds and the other does not, from runs, checkpoints and results."""

import json
from dataclasses import replace

import pytest

from frozen_det.cli import main
from frozen_det.errors import InputError
from frozen_det.evaluation.diagnosis import Diagnosis
from frozen_det.reports.diagnosis.compare_page import Compared, console_lines, write_comparison
from frozen_det.reports.diagnosis.compared_inputs import Side, read_side, read_sides
from frozen_det.reports.diagnosis.comparison import changes
from tests.evaluation.passes import CAT, DOG, HERE, THERE, evaluated, truth_dict

OBJECTS = [("a", CAT, HERE, 0), ("a", DOG, THERE, 0), ("b", CAT, HERE, 0)]
BEFORE = [("a", CAT, HERE, 0.9), ("b", DOG, THERE, 0.9), ("b", DOG, HERE, 0.8)]
AFTER = [
    ("a", DOG, THERE, 0.9),
    ("b", CAT, HERE, 0.9),
    ("b", DOG, [51, 51, 20, 20], 0.7),
    ("a", CAT, [70, 0, 9, 9], 0.6),
]


def test_changes_are_objects_gained_and_lost_and_false_detections_without_a_counterpart():
    a, b = (Diagnosis(evaluated(OBJECTS, found)) for found in (BEFORE, AFTER))
    found = {one.image_id: one for one in changes(a, b, 0.5, 0.5)}
    assert (found["a"].gained, found["a"].lost, found["a"].new_false, found["a"].gone_false) == ([2], [1], [3], [])
    assert (found["b"].gained, found["b"].lost, found["b"].new_false, found["b"].gone_false) == ([3], [], [], [2])
    assert list(found) == ["a", "b"]  # three things and two
    assert changes(a, b, 0.95, 0.95) == [] and changes(a, a, 0.5, 0.5) == []


def test_the_console_says_what_changed_in_a_few_lines():
    sides = [Side(name, evaluated(OBJECTS, found)) for name, found in (("before", BEFORE), ("after", AFTER))]
    assert console_lines(Compared(*sides, 0.5)) == [
        "A  before, from score 0.5 on",
        "B  after, from score 0.5 on",
        "              A        B    B − A",
        "box AP     25.2     75.2    +50.0",
        "AP50       25.2     75.2    +50.0",
        "AP75       25.2     75.2    +50.0",
        "dog         0.0    100.0   +100.0",
        "2 of 2 images changed: 2 objects found by B alone, 1 by A alone; 1 false detection new in B, 1 of A gone",
    ]


@pytest.fixture
def results(tmp_path):
    (tmp_path / "val.json").write_text(json.dumps(truth_dict(OBJECTS)))
    for name, found in (("a", BEFORE), ("b", AFTER)):
        entries = [dict(image_id=i, category_id=c, bbox=box, score=score) for i, c, box, score in found]
        (tmp_path / f"{name}.bbox.json").write_text(json.dumps(entries))
    return tmp_path


def test_the_command_compares_results_and_writes_a_page(results, capsys):
    words = f"compare {results}/a.bbox.json {results}/b.bbox.json --annotations {results}/val.json --score 0.5"
    assert main([*words.split(), "-o", str(results / "compare.html")]) == 0
    said = capsys.readouterr().out
    assert "dog         0.0    100.0   +100.0" in said and f"page  {results}/compare.html" in said
    text = (results / "compare.html").read_text()
    assert "Pictures need the images: --images FOLDER." in text and "<h2>Classes</h2>" in text
    assert (results / "compare.md").is_file()


def test_predictions_find_their_images_by_name_and_their_classes_by_name(results):
    content = {
        "images": [dict(id=1, file_name="elsewhere/b.jpg"), dict(id=2, file_name="elsewhere/a.jpg")],
        "categories": [dict(id=1, name="dog"), dict(id=2, name="cat")],
        "annotations": [dict(id=1, image_id=2, category_id=2, bbox=HERE, area=400, score=0.9)],
    }
    path = results / "predictions.json"
    path.write_text(json.dumps(content))
    found = read_side(path, results / "val.json").found.detections
    assert (found.image_ids.tolist(), found.category_ids.tolist()) == (["a"], [CAT])
    for changed, words in (
        ({"images": [dict(id=2, file_name="c.jpg")]}, "got 1 others in .*predictions.json, the first 'c.jpg'"),
        ({"categories": [dict(id=2, name="cow")]}, "got others: cow"),
        ({"annotations": [dict(image_id=9)]}, "an entry that is none"),
        ({"annotations": None}, "got another object"),
    ):
        path.write_text(json.dumps({**content, **changed}))
        with pytest.raises(InputError, match=words):
            read_side(path, results / "val.json")


def test_a_run_and_its_checkpoint_are_what_the_validation_of_that_checkpoint_saw(tmp_path):
    run = tmp_path / "run"
    evaluated(OBJECTS, BEFORE).write(run / "detections" / "best.npz", checkpoint="run/best_2.pth")
    evaluated(OBJECTS, AFTER).write(run / "detections" / "last.npz", checkpoint="run/epoch_3.pth")
    for name in ("best_2.pth", "epoch_3.pth", "epoch_1.pth"):
        (run / name).write_bytes(b"")
    first, second = read_sides(run / "best_2.pth", run / "epoch_3.pth")
    assert (len(first.found.detections), len(second.found.detections)) == (len(BEFORE), len(AFTER))
    assert len(read_side(run).found.detections) == len(BEFORE)
    with pytest.raises(InputError, match=r"a validation of .*epoch_1.pth saw, .* --detections PREFIX"):
        read_side(run / "epoch_1.pth")


def test_detectors_on_other_data_cannot_be_compared_and_parts_are_compared_on_what_they_share(tmp_path):
    def written(name, given):
        given.write(tmp_path / f"{name}.npz")
        return tmp_path / f"{name}.npz"

    a = written("a", evaluated(OBJECTS, BEFORE))
    other = written("other", evaluated(OBJECTS[:1], BEFORE))
    with pytest.raises(InputError, match="on the same annotations"):
        read_sides(a, other)
    part = written("part", evaluated(OBJECTS, AFTER, image_ids=["b"]))
    assert [one.found.image_ids for one in read_sides(a, part)] == [["b"], ["b"]]
    none = written("none", replace(evaluated(OBJECTS, AFTER), category_ids=[None, None]))
    with pytest.raises(InputError, match="share no class"):
        read_sides(a, none)


@pytest.mark.parametrize("objects, found", [([], []), (OBJECTS, []), ([], AFTER)])
def test_nothing_to_find_or_nothing_found_gives_a_page(objects, found, tmp_path):
    for name in "ab":
        evaluated(objects, found).write(tmp_path / f"{name}.npz")
    lines, page = write_comparison(tmp_path / "a.npz", tmp_path / "b.npz", tmp_path / "page.html")
    assert lines[-1].startswith("0 of 2 images changed") and "No image changed." in page.read_text()


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["nowhere", "nowhere"], "nowhere does not exist"),
        (["a.bbox.json", "b.bbox.json"], "--annotations FILE"),
        (["a.bbox.json", "b.bbox.json", "--score", "2"], "--score from 0 to 1"),
        (["a.bbox.json", "b.bbox.json", "-o", "page.txt"], "an HTML file"),
    ],
)
def test_what_cannot_be_compared_is_one_line(results, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(results)
    assert main(["compare", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said and "Traceback" not in said
