"""What is read from a work directory, and what resuming does to it."""

import json

import pytest

from frozen_det.errors import InputError
from frozen_det.reports.run_record import joined_scalars, read_run

from .conftest import train_line, val_line, write_run


def test_a_resumed_run_replaces_the_steps_it_repeats(work_dir):
    run = read_run(work_dir)
    assert [(one["iter"], one["loss"]) for one in run.train] == [(10, 4.0), (20, 3.0), (30, 2.0), (40, 1.0)]
    assert [(one["iter"], one["epoch"], one["coco/bbox_mAP"]) for one in run.validations] == [
        (20, 1, 0.2),
        (40, 2, 0.4),
    ]
    assert [(one["iter"], one["numbers"]["bbox"]["mAP"]) for one in run.evaluations] == [(20, 0.2), (40, 0.4)]
    assert run.last("coco/bbox_mAP") == 0.4 and run.best("coco/bbox_mAP")["epoch"] == 2
    assert run.step_seconds() == 0.5 and run.training_seconds() == 20.0
    assert run.peak_memory_mib() is None


def test_a_run_started_anew_replaces_everything():
    train, validations = joined_scalars([[train_line(10, 4.0), val_line(1, 0.9)], [train_line(10, 3.0)]])
    assert [one["loss"] for one in train] == [3.0] and validations == []


def test_a_run_that_only_validated_keeps_what_was_trained():
    train, validations = joined_scalars([[train_line(10, 4.0), val_line(1, 0.9)], [val_line(1, 0.8)]])
    assert len(train) == 1 and [one["coco/bbox_mAP"] for one in validations] == [0.9, 0.8]


def test_facts_come_from_log_config_proof_and_the_newest_pictures(work_dir):
    run = read_run(work_dir)
    assert run.environment == {"sys.platform": "linux", "Python": "3.11.7", "CUDA available": "False", "seed": "0"}
    assert run.seed == 0 and run.name == "arm" and run.main_metric() == "coco/bbox_mAP"
    assert run.main_metric("segm") is None
    assert run.pictures["epoch"] == 2 and run.pictures["folder"].name == "epoch_002"
    assert run.proof["modules"][0]["num_params"] == 2958848


def test_what_is_not_there_is_named_and_a_cut_line_is_left_out(tmp_path):
    hooks = '[dict(type="frozen_det.FrozenProofHook"), dict(type="frozen_det.ValidationPicturesHook")]'
    config = f'custom_hooks = {hooks}\nval_evaluator = dict(type="frozen_det.CocoMetric")\n'
    write_run(tmp_path / "bare", "20260101_000000", [train_line(10, 4.0)], config=config)
    with (tmp_path / "bare" / "20260101_000000" / "vis_data" / "scalars.json").open("a") as file:
        file.write('{"loss": 3.0, "it')
    run = read_run(tmp_path / "bare")
    assert len(run.train) == 1
    assert {text.split(" (")[0] for text in run.missing} == {
        "validations",
        "the frozen proof",
        "pictures",
    }
    assert run.main_metric() is None and run.best("coco/bbox_mAP") is None


def test_what_a_run_was_not_to_write_is_not_missed(tmp_path):
    write_run(tmp_path / "bare", "20260101_000000", [train_line(10, 4.0)])
    assert read_run(tmp_path / "bare").missing == []


def test_a_broken_config_is_named_instead_of_stopping(tmp_path):
    write_run(tmp_path / "run", "20260101_000000", [train_line(10, 4.0)], config="model = (\n")
    run = read_run(tmp_path / "run")
    assert run.config is None and any("the config" in text for text in run.missing)


def test_folders_without_a_run_are_refused(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        read_run(tmp_path / "nothing")
    with pytest.raises(InputError, match="vis_data"):
        read_run(tmp_path)


def test_pictures_of_all_processes_are_joined(work_dir):
    folder = work_dir / "pictures" / "epoch_002"
    index = json.loads((folder / "index.json").read_text())
    index["pictures"][0].update(file="01_b.jpg")
    (folder / "index_1.json").write_text(json.dumps(index))
    assert [one["file"] for one in read_run(work_dir).pictures["pictures"]] == ["00_a.jpg", "01_b.jpg"]
