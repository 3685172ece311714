import json
import shutil
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import torch
from PIL import Image

from frozen_det.engine.runner import stages
from frozen_det.errors import InputError
from frozen_det.upstream.noisy_student import loop as noisy_student
from frozen_det.upstream.noisy_student.loop import run_noisy_student

from ..image_sets import write_folder

COUNTS = dict(ash=4, birch=4, cedar=4)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """12 labelled images, 6 to test on, and a pool of 24, of which one is a test image and one no image."""
    root = tmp_path_factory.mktemp("quick")
    write_folder(root, COUNTS, size=12)
    write_folder(root, dict(ash=2, birch=2, cedar=2), split="test", size=14)
    write_folder(root, dict(ash=8, birch=8, cedar=6), split="pool", size=13)
    shutil.copy(root / "test" / "ash" / "00.png", root / "pool" / "ash" / "copy.png")
    (root / "pool" / "birch" / "broken.png").write_bytes(b"no image")
    return root


def loop(data, work_dir, log=None, **options):
    from frozen_det.config import load_config

    cfg = load_config(
        "noisy_student/quick",
        {"data_root": str(data), **{key.replace("__", "."): value for key, value in options.items()}},
    )
    said = [] if log is None else log
    return run_noisy_student(cfg, work_dir, log=said.append), said


def weights(path):
    return torch.load(path, map_location="cpu", weights_only=False)["state_dict"]


def assert_same_end(found, expected):
    assert [model.name for model in found.models] == [model.name for model in expected.models]
    for one, other in zip(found.models, expected.models):
        own, theirs = weights(one.checkpoint), weights(other.checkpoint)
        assert own.keys() == theirs.keys()
        # In processes of their own the two ends are the same bit for bit. Within one process sums differ in their last
        # bits with where their memory happens to lie, and batches of 12 images make more of it from model to model.
        gaps = {name: (own[name].double() - theirs[name].double()).abs().max().item() for name in own}
        assert max(gaps.values()) < 2e-2, (one.name, max(gaps, key=gaps.get), max(gaps.values()))
    for one, other in zip(found.manifests, expected.manifests):
        rows = [parquet.read_table(path).to_pylist() for path in (one, other)]
        assert [(row["path"], row["label"], row["copies"]) for row in rows[0]] == [
            (row["path"], row["label"], row["copies"]) for row in rows[1]
        ]
    for name, numbers in expected.metrics.items():
        assert found.metrics[name] == pytest.approx(numbers, abs=0.1)


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    return loop(data, tmp_path_factory.mktemp("whole"))


@pytest.mark.slow
def test_two_rounds_and_the_fix_resolution_step_run_to_a_page(whole):
    result, said = whole
    assert [model.name for model in result.models] == ["teacher", "student-1", "student-2", "fixres"]
    assert set(result.metrics) == {"teacher", "student-1", "student-2", "fixres"}
    page = result.report.read_text(encoding="utf-8")
    for words in ("Round 2", "agrees with its teacher", "data:image/jpeg", "confidence of the teacher", "birch"):
        assert words in page
    summary = json.loads(result.manifests[0].with_suffix(".json").read_text())
    assert summary["guards"] == dict(excluded=1, undecodable=1)  # the copied test image, the broken one
    assert sum(row["labelled"] for row in summary["per_class"]) == 22
    assert "left out of the pool: 1 images" in "\n".join(said)
    listed = (result.manifests[0].parent.parent / "labels" / "undecodable.txt").read_text()
    assert "broken.png" in listed


def test_a_second_run_does_nothing_but_the_page_and_reads_no_labels(whole, data, monkeypatch):
    result, _ = whole
    read, digest = [], stages.file_digest
    monkeypatch.setattr(stages, "file_digest", lambda path: read.append(Path(path).name) or digest(path))
    again, said = loop(data, result.report.parent)
    assert "labels.json" in read and not [name for name in read if name.startswith(("part-", "listing-"))]
    assert [line for line in said if "..." in line] == ["[report] ..."]
    assert_same_end(again, result)


def test_the_checkpoint_is_the_average_and_the_next_teacher_labels_with_it(whole):
    from frozen_det.upstream.noisy_student.labelling import load_teacher

    teacher = whole[0].models[0]
    stored = torch.load(teacher.checkpoint, map_location="cpu", weights_only=False)
    raw = {key.removeprefix("module."): value for key, value in stored["ema_state_dict"].items()}
    changed = [key for key in stored["state_dict"] if not torch.equal(stored["state_dict"][key], raw[key])]
    assert "network.linear.weight" in changed and any("running_mean" in key for key in changed)
    model, transform = load_teacher(teacher.cfg, teacher.checkpoint)
    assert torch.equal(model.network.linear.weight, stored["state_dict"]["network.linear.weight"])
    assert not model.training and not any(p.requires_grad for p in model.parameters()) and transform.size == 12


def test_a_fresh_student_starts_again_and_a_warm_one_from_its_teacher(whole):
    fresh, warm = whole[0].models[1].cfg, whole[0].models[2].cfg
    assert fresh.model.weights is None and warm.model.weights == str(whole[0].models[1].checkpoint)
    assert fresh.model.pseudo.labels == "soft" and warm.model.pseudo.labels == "hard"


def test_the_rate_follows_the_labelled_batch_whatever_the_ratio(whole):
    cfg = whole[0].models[1].cfg
    assert cfg.train_dataloader.batch_size == 12 and cfg.train_dataloader.sampler.batch_size == 4
    assert cfg.train_dataloader.batch_size / cfg.auto_scale_lr.base_batch_size == 1


def test_the_last_step_tunes_head_and_last_norm_alone(whole):
    student, tuned = (weights(model.checkpoint) for model in whole[0].models[-2:])
    moved = {name for name in student if not torch.equal(student[name], tuned[name])}
    assert {"network.linear.weight", "network.linear.bias"} <= moved
    assert all(name.startswith(("network.linear.", "network.layer3.0.bn2.")) for name in moved)
    assert whole[0].models[-1].cfg.train_dataloader.dataset.transform.type == "frozen_det.EvalTransform"


class Killed(BaseException):
    """What nothing on the way may catch."""


def dies_in_training(monkeypatch, work_dir_name, at):
    from mmengine.runner import Runner

    given = Runner.call_hook

    def call_hook(self, name, **kwargs):
        if name == "after_train_iter" and self.work_dir.endswith(work_dir_name) and self.iter == at:
            raise Killed
        return given(self, name, **kwargs)

    monkeypatch.setattr(Runner, "call_hook", call_hook)


def dies_at_call(monkeypatch, owner, name, number=1, after=False):
    given, calls = getattr(owner, name), []

    def replaced(*args, **kwargs):
        calls.append(1)
        if len(calls) == number and not after:
            raise Killed
        found = given(*args, **kwargs)
        if len(calls) == number:
            raise Killed
        return found

    monkeypatch.setattr(owner, name, replaced)


def kills():
    from frozen_det.upstream.noisy_student import label_stages as noisy_student_labels
    from frozen_det.upstream.noisy_student import labelling, selection

    # name -> how the loop dies; 3 batches an epoch
    return {
        "teacher": lambda m: dies_in_training(m, "teacher", 4),
        "labels": lambda m: dies_at_call(m, labelling, "_labelled", 3),
        "guards": lambda m: dies_at_call(m, noisy_student_labels, "pool_hashes"),
        "selection": lambda m: dies_at_call(m, selection, "_kept"),
        "selection at its end": lambda m: dies_at_call(m, noisy_student_labels, "select", after=True),
        "student": lambda m: dies_in_training(m, "round-1/student", 4),
        "agreement": lambda m: dies_at_call(m, noisy_student_labels, "agreement"),
        "labels of round 2": lambda m: dies_at_call(m, noisy_student_labels, "label_pool", after=True),
        "warm student": lambda m: dies_in_training(m, "round-2/student", 3),
        "fixres": lambda m: dies_in_training(m, "fixres", 1),
        "test": lambda m: dies_at_call(m, noisy_student, "_test_config", 2),
        "report": lambda m: dies_at_call(m, noisy_student._Loop, "report"),
    }


@pytest.mark.slow
def test_killed_in_each_stage_it_goes_on_and_ends_as_an_uninterrupted_loop(whole, data, tmp_path):
    """One loop that dies twelve times, each time a stage further."""
    said = []
    for name, die in kills().items():
        with pytest.MonkeyPatch.context() as patched:
            die(patched)
            with pytest.raises(Killed):
                loop(data, tmp_path, log=said)
        said.append(f"-- died in {name}")
    result, _ = loop(data, tmp_path, log=said)
    assert_same_end(result, whole[0])
    done = [line.split("]")[0][1:] for line in said if line.endswith(" s")]
    assert done.count("teacher") == done.count("round 1 student") == done.count("round 2 student") == 1
    assert sum("goes on" in line for line in said) >= 8


@pytest.mark.slow
@pytest.mark.parametrize(
    "options, redone",
    [
        (
            dict(rounds__1__temperature=2.0),
            {"round 2 student", "round 2 agreement", "test student-2", "fixres", "test fixres"},
        ),
        (dict(fixres__epochs=2), {"fixres", "test fixres"}),
        (dict(labelling__batch_size=5), set()),
        (
            dict(rounds__1__per_class=4),
            {"round 2 selection", "round 2 student", "round 2 agreement", "test student-2", "fixres", "test fixres"},
        ),
    ],
)
def test_a_changed_config_redoes_what_depends_on_it_and_says_what_changed(whole, data, tmp_path, options, redone):
    work_dir = tmp_path / "loop"
    shutil.copytree(whole[0].report.parent, work_dir)
    _, said = loop(data, work_dir, **options)
    assert {line[1:].split("]")[0] for line in said if line.endswith("...")} - {"report"} == redone
    changes = [line for line in said if "changed since it was done" in line]
    assert len(changes) == len(redone)
    if redone:
        assert any(next(iter(options)).rsplit("__")[-1] in line or "epochs" in line for line in changes)


@pytest.mark.slow
def test_a_new_image_in_the_pool_is_labelled_and_no_other(whole, data, tmp_path):
    work_dir, more = tmp_path / "loop", tmp_path / "more"
    shutil.copytree(whole[0].report.parent, work_dir)
    more.mkdir()
    Image.new("RGB", (12, 12), (0, 0, 250)).save(more / "new.png")
    sources = [dict(folder=str(data / "pool")), dict(folder=str(more))]
    _, said = loop(data, work_dir, pool__sources=sources, test=False, fixres=None)
    redone = [line[1:].split("]")[0] for line in said if line.endswith("...")]
    assert "teacher" not in redone and "round 1 labels" in redone
    assert "[round 1 labels] 1 images in 1 parts, 0 of them not readable; 3 parts were there" in said
    assert [line for line in said if line.startswith("[pool]")] == [f"[pool] 1 files of {more} listed"]


@pytest.mark.parametrize(
    "options, said",
    [
        (dict(rounds=[]), "at least one"),
        (dict(rounds=[dict(config="noisy_student/quick", per_class=3, ratios=2)]), "ratio"),
        (dict(rounds=[dict(config="noisy_student/resnet8_noisy_folder")]), "per_class"),
        (dict(rounds=[dict(config="noisy_student/quick", per_class=3, shards=dict(images=3))]), r"rounds\.0\.shards"),
        (dict(pool=None), "either pool"),
        (dict(teacher=None), "teacher.config"),
        (dict(pool=dict(folder="pool")), r"expected pool=dict\(sources="),
        (dict(labelling=dict(noise="no")), "true or false for labelling.noise"),
        (
            dict(rounds=[dict(config="noisy_student/resnet8_noisy_folder", per_class=3, min_confidence=1)]),
            "below 1 for rounds.0.min_confidence",
        ),
    ],
)
def test_what_is_no_loop_is_refused_before_anything_runs(data, tmp_path, options, said):
    from frozen_det.config import load_config

    cfg = load_config("noisy_student/quick", {"data_root": str(data)})
    for key, value in options.items():
        cfg[key] = value
    with pytest.raises(InputError, match=said):
        run_noisy_student(cfg, tmp_path)
    assert list(Path(tmp_path).iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (dict(guards=["val2017"]), "guards, and .*got 'val2017'"),
        (dict(guards=[dict(folder="absent")]), "guards, and .*'absent', which is none"),
        (dict(guards=[dict(type="frozen_det.Cifar")]), "type='Cifar'"),
        (dict(pool=dict(sources="pool")), "each source as dict.*got 'pool'"),
        (dict(pool=dict(sources=[3])), "each source as dict.*got 3"),
        (dict(pool=dict(sources=[dict(folder=None)])), "each source as dict"),
        (dict(labelling__top_k=4), "labelling.top_k up to 3.*got 4"),
    ],
)
def test_what_is_no_pool_or_guard_is_refused_before_a_teacher_trains(data, tmp_path, options, said):
    with pytest.raises(InputError, match=said):
        loop(data, tmp_path, **options)
    assert not (tmp_path / "teacher").exists()


def test_the_last_student_goes_frozen_into_a_detector_by_its_path_alone(whole):
    from mmdet.registry import MODELS
    from mmengine.registry import DefaultScope

    from frozen_det.config import load_config

    student = whole[0].models[2]
    folder = str(Path(student.checkpoint).parent)
    cfg = load_config(
        "detection/faster-rcnn_frozen-cifarresnet20_fpn_plain-3e_toyscenes",
        {"model.detector.backbone.body.depth": 8, "model.detector.backbone.weights": folder},
    )
    with DefaultScope.overwrite_default_scope("mmdet"):
        detector = MODELS.build(cfg.model)
    detector.init_weights()
    backbone = detector.detector.backbone.eval() if hasattr(detector, "detector") else detector.backbone.eval()
    stored = weights(student.checkpoint)
    for name, value in backbone.body.state_dict().items():
        assert torch.equal(value, stored[f"network.{name}"]), name  # the averaged weights
    assert not any(parameter.requires_grad for parameter in backbone.body.parameters())
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.isfinite(backbone(images)[0]).all()


@pytest.mark.slow
def test_a_student_learns_from_the_top_classes_of_its_teacher(data, tmp_path):
    one = dict(config="noisy_student/resnet8_noisy_folder", options=dict(data_root=str(data)), ratio=2, per_class=8)
    result, _ = loop(
        data, tmp_path, labelling__top_k=2, rounds=[{**one, "min_confidence": 0.0}], fixres=None, test=False
    )
    assert [model.name for model in result.models] == ["teacher", "student-1"]
    assert json.loads((tmp_path / "round-1/labels/labels.json").read_text())["top_k"] == 2
    assert not list((tmp_path / "round-1/labels").glob("*.logits"))
    rows = parquet.read_table(result.manifests[0]).to_pylist()
    assert rows and all(len(row["soft_classes"]) == 2 and row["label"] in row["soft_classes"] for row in rows)
    assert all(tensor.isfinite().all() for tensor in weights(result.models[1].checkpoint).values())
