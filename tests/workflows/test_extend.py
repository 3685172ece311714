"""New classes beside a trained detector, which stays bit for bit what it was: its file, its decoder, what it finds."""

import copy
import hashlib
import json

import numpy as np
import pytest
import torch
from PIL import Image

from frozen_det.cli import main
from frozen_det.errors import InputError
from frozen_det.inference.detector import Detections, load_detector
from frozen_det.inference.family import DetectorFamily
from frozen_det.inference.joining import join
from frozen_det.weights.kept_checkpoints import latest_checkpoint
from frozen_det.weights.loading import read
from frozen_det.workflows.extend import extend, extension_config
from frozen_det.workflows.extension_page import average_precisions
from tests.training_runs import tiny_config, tiny_scenes, train

OLD = ("zero", "one", "two", "three", "four")
NEW = ("five", "six", "seven", "eight", "nine")


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return tiny_scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def old(scenes, tmp_path_factory):
    """A detector of five digits."""
    folder = tmp_path_factory.mktemp("old")
    cfg = tiny_config(scenes, folder, train_cfg__max_epochs=1, model__num_classes=len(OLD))
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.metainfo = dict(classes=OLD)
    train(cfg)
    return latest_checkpoint(folder)


@pytest.fixture(scope="module")
def extended(scenes, old, tmp_path_factory):
    """Its extension by the other five, measured beside itself: folder, and the digest of the old file before."""
    folder, before = tmp_path_factory.mktemp("new"), _digest(old)
    command = ["extend", str(old), "--data", str(scenes), "--classes", *NEW, "--work-dir", str(folder), "--seed", "3"]
    assert main([*command, "--joint", str(old), "--cfg-options", "train_dataloader.batch_size=4"]) == 0
    return folder, before


@pytest.fixture(scope="module")
def new(extended):
    return latest_checkpoint(extended[0] / "detector")


@pytest.fixture(scope="module")
def loaded(old, new):
    return {"old": load_detector(None, old), "new": load_detector(None, new)}


def _digest(path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _equal(one, other) -> bool:
    return all(np.array_equal(getattr(one, key), getattr(other, key)) for key in ("boxes_xyxy", "scores", "labels"))


def test_the_new_member_has_the_new_classes_and_the_old_file_is_the_same(old, extended, new):
    loaded = read(new)
    assert tuple(loaded["meta"]["dataset_meta"]["classes"]) == NEW
    assert loaded["meta"]["extends"]["classes"] == list(OLD)
    assert "seed=3" in loaded["meta"]["cfg"] and "batch_size=4" in loaded["meta"]["cfg"]
    assert loaded["meta"]["lean"]["modules"]["backbone"] == read(old)["meta"]["lean"]["modules"]["backbone"]
    assert _digest(old) == extended[1]


def test_what_the_old_detector_finds_beside_the_new_one_is_bit_for_bit_what_it_found_alone(loaded, scenes):
    images = sorted((scenes / "images").glob("*"))[:2]
    alone = {name: one(images) for name, one in loaded.items()}
    family = DetectorFamily(members=loaded)
    found = family(images)
    for name in loaded:
        assert all(len(one.scores) and _equal(one, both[name]) for one, both in zip(alone[name], found, strict=True))
        family.remove(name)


def test_the_page_tells_each_class_alone_beside_joined_and_of_a_joint_detector(extended, new):
    page = (extended[0] / "extension.md").read_text()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| ")
    ]
    assert [row[:3] for row in rows[2:]] == [[name, "old", "4"] for name in OLD] + [[name, "new", "4"] for name in NEW]
    assert all(row[3] == row[4] for row in rows[2:]) and all(row[6] == row[3] for row in rows[2:7])
    assert {row[6] for row in rows[7:]} <= {"0.000", "-"}  # it knows none of them
    assert "In 8 of 8 images a member gives beside the other bit for bit what it gives alone" in page
    assert f"decoder sha256 {read(new)['meta']['extends']['decoder']['digest'][:12]}" in page


def test_the_same_again_trains_nothing_and_measures_anew(scenes, old, extended, new, monkeypatch):
    asked, before, log = [], _digest(new), []
    monkeypatch.setattr("frozen_det.workflows.extend.write_page", lambda *arguments: asked.append(arguments))
    options = {"train_dataloader.batch_size": 4}
    trained, page = extend(old, scenes, extended[0], NEW, seed=3, options=options, joint="all.pth", log=log.append)
    assert log[0].startswith("[train] reused") and _digest(new) == before
    assert asked == [(page, old, trained, "all.pth")]


def test_predict_joins_what_both_find_into_one_json(old, new, loaded, tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    command = ["predict", str(tmp_path / "a.png"), "--checkpoint", str(old), str(new), "-o", str(tmp_path / "out")]
    assert main([*command, "--join"]) == 0
    written = json.loads((tmp_path / "out" / "predictions.json").read_text())
    wanted = join({name: one([tmp_path / "a.png"])[0] for name, one in loaded.items()})
    assert [one["name"] for one in written["categories"]] == [*OLD, *NEW]
    assert [one["score"] for one in written["annotations"]] == pytest.approx(wanted.scores.tolist())
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.jpg", "predictions.json"]


@pytest.mark.parametrize("iou", ["0", "1.1", "nan"])
def test_predict_refuses_an_iou_out_of_range_before_it_reads_anything(iou, capsys):
    assert main(["predict", "gone.jpg", "--checkpoint", "gone.pth", "--join", iou]) == 2
    assert "expected an IoU in (0, 1] after --join" in capsys.readouterr().err


@pytest.mark.parametrize("order", [("old", "new"), ("new", "old")])
def test_another_detector_of_the_old_classes_is_refused_at_use(loaded, order):
    changed = copy.deepcopy(loaded["old"])
    with torch.no_grad():
        changed.model.rpn_head.rpn_cls.bias += 1
    members = {"old": changed, "new": loaded["new"]}
    with pytest.raises(InputError, match="expected old, .* that new extends, .* rpn_head.rpn_cls.bias differs"):
        DetectorFamily(members={name: members[name] for name in order})


@pytest.mark.parametrize(
    "classes, message",
    [
        (None, r"got 'zero', 'one', 'two', 'three', 'four', which .* knows already .* --classes 'five', 'six'"),
        (("one",), "got 'one', which .* Nothing is new here"),
        (("five", "ten"), "among the categories of .*train.json, got 'ten'"),
    ],
)
def test_a_class_that_is_known_already_or_nowhere_is_refused_before_anything_runs(scenes, old, classes, message):
    with pytest.raises(InputError, match=message):
        extension_config(old, scenes, classes, None)


def test_a_checkpoint_without_its_config_is_refused(scenes, old, tmp_path):
    loaded = read(old)
    del loaded["meta"]["cfg"]
    torch.save(loaded, tmp_path / "bare.pth")
    with pytest.raises(InputError, match="expected the config of its training in the meta of .*bare.pth"):
        extension_config(tmp_path / "bare.pth", scenes, NEW, None)


def test_wrappers_pipelines_and_filters_stay_and_what_belonged_to_the_old_data_goes(scenes, old, tmp_path):
    from mmengine.config import Config

    loaded = read(old)
    cfg = Config.fromstring(loaded["meta"]["cfg"], ".py")
    inner = {**cfg.train_dataloader.dataset, "fraction": 0.5, "filter_cfg": dict(min_size=8)}
    joined = dict(type="ConcatDataset", datasets=[inner, inner])
    cfg.train_dataloader.dataset = dict(type="RepeatDataset", times=3, dataset=joined)
    cfg.val_evaluator = dict(type="CocoMetric", ann_file="gone.json", metric=["bbox", "proposal"])
    cfg.load_from = "gone.pth"
    loaded["meta"]["cfg"] = cfg.pretty_text
    torch.save(loaded, tmp_path / "wrapped.pth")
    found = extension_config(tmp_path / "wrapped.pth", scenes, NEW, {"train_cfg.max_epochs": 2})
    leaf = found.train_dataloader.dataset.dataset
    assert (found.train_dataloader.dataset.type, found.train_dataloader.dataset.times) == ("RepeatDataset", 3)
    assert leaf.pipeline == inner["pipeline"] and leaf.filter_cfg == dict(min_size=8)
    assert set(leaf) == {"type", "data_root", "split", "metainfo", "pipeline", "filter_cfg", "test_mode"}
    truth = dict(ann_file=str(scenes / "annotations" / "val.json"), metric=["bbox", "proposal"], classwise=True)
    assert found.val_evaluator == dict(type="frozen_det.CocoMetric", **truth)
    assert found.load_from is None and found.train_cfg.max_epochs == 2 and found.model.num_classes == 5


def test_average_precision_counts_the_classes_of_the_data_alone(scenes):
    from mmdet.registry import DATASETS

    data = DATASETS.build(
        dict(
            type="frozen_det.CocoDataset",
            data_root=str(scenes),
            split="val",
            test_mode=True,
            metainfo=dict(classes=NEW),
        )
    )
    classes = ("other", *NEW)

    def perfect(info, without):
        own = [one for one in info["instances"] if NEW[one["bbox_label"]] != without]
        boxes = np.array([one["bbox"] for one in own], np.float32).reshape(-1, 4)
        labels = np.array([one["bbox_label"] + 1 for one in own], np.int64)
        more = np.concatenate([boxes, [[0, 0, 5, 5]]]), np.append(np.ones(len(own)), 0.99), np.append(labels, 0)
        return Detections(*more, classes)

    present = {NEW[one["bbox_label"]] for i in range(len(data)) for one in data.get_data_info(i)["instances"]}
    first = sorted(present)[0]
    whole, lacking = average_precisions(
        data, [[perfect(data.get_data_info(i), name) for i in range(len(data))] for name in (None, first)]
    )
    assert whole == {name: pytest.approx(1.0) if name in present else -1 for name in NEW}
    assert lacking == {**whole, first: 0}
