"""load_detector: a checkpoint of the config's model and data or one error; it decides as `test` does on every pair."""

import json
import shutil
from collections import OrderedDict

import numpy as np
import pytest
import torch

from frozen_det.engine.runs import new_runner
from frozen_det.errors import InputError
from frozen_det.inference.detector import load_detector
from frozen_det.weights.class_names import names_of
from tests.training_runs import tiny_config, tiny_scenes, untrained


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return tiny_scenes(tmp_path_factory.mktemp("scenes") / "toy")


@pytest.fixture(scope="module")
def trained(scenes, tmp_path_factory):
    """Config, state dict and classes of a detector; its weights are as good as trained here."""
    return untrained(scenes, tmp_path_factory.mktemp("run"))


def written(path, state, classes, entry="state_dict") -> str:
    meta = {} if classes is None else {"dataset_meta": {"classes": classes}, "label_classes": list(classes)}
    torch.save({entry: state, "meta": meta}, path)
    return str(path)


def data_with(scenes, root, change):
    """The scenes with other categories in the validation json."""
    shutil.copytree(scenes, root)
    content = json.loads((root / "annotations/val.json").read_text())
    change(content["categories"])
    (root / "annotations/val.json").write_text(json.dumps(content))
    return root


def renamed(categories):
    categories[0]["name"] = "unicorn"


PAIRS = {
    "same": (lambda c: None, lambda c: c, lambda s: s, None),
    "under the entry model": (lambda c: None, lambda c: c, lambda s: s, None),
    "other order": (lambda c: c.reverse(), lambda c: c, lambda s: s, None),
    "other names": (renamed, lambda c: c, lambda s: s, "'unicorn'"),
    "another number": (lambda c: None, lambda c: c[:-1], lambda s: s, "knows 9"),
    "no names": (lambda c: None, lambda c: None, lambda s: s, "--classes-from"),
    "missing head": (
        lambda c: None,
        lambda c: c,
        lambda s: {k: v for k, v in s.items() if "fc_cls" not in k},
        "2 missing (roi_head.bbox_head.fc_cls.weight, roi_head.bbox_head.fc_cls.bias)",
    ),
    "renamed head": (
        lambda c: None,
        lambda c: c,
        lambda s: {k.replace("fc_reg", "reg"): v for k, v in s.items()},
        "2 missing (roi_head.bbox_head.fc_reg.weight, roi_head.bbox_head.fc_reg.bias), 2 unexpected",
    ),
    "zeros in the body": (
        lambda c: None,
        lambda c: c,
        lambda s: {k: v * 0 if k == "backbone.body.conv_stem.weight" else v for k, v in s.items()},
        "nothing but zeros",
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_prediction_and_test_decide_alike_on_every_pair(trained, scenes, tmp_path, name):
    cfg, state, classes = trained
    of_data, of_checkpoint, of_state, refused = PAIRS[name]
    root = data_with(scenes, tmp_path / "data", of_data)
    path = written(
        tmp_path / "a.pth",
        OrderedDict(of_state(state)),
        of_checkpoint(classes),
        entry="model" if "entry" in name else "state_dict",
    )
    cfg = tiny_config(root, tmp_path / "work")
    cfg.dump(str(tmp_path / "config.py"))
    cfg.load_from = path
    runner = new_runner(cfg)
    if refused is None:
        detector = load_detector(tmp_path / "config.py", path)
        assert detector.classes == tuple(classes)
        assert runner.test().keys() >= {"coco/bbox_mAP"}
        image = next((root / "images").glob("val*"))
        assert set(detector([str(image)])[0].labels.tolist()) <= set(range(len(classes)))
        return
    for decide in (runner.test, lambda: load_detector(tmp_path / "config.py", path)):
        with pytest.raises(InputError) as raised:
            decide()
        assert refused in str(raised.value) and "\n" not in str(raised.value)


def test_detecting_needs_no_annotations(trained, scenes, tmp_path):
    _, state, classes = trained
    root = shutil.copytree(scenes, tmp_path / "data")
    cfg = tiny_config(root, tmp_path / "work")
    cfg.dump(str(tmp_path / "config.py"))
    shutil.rmtree(root)
    detector = load_detector(tmp_path / "config.py", written(tmp_path / "a.pth", state, classes))
    assert detector.classes == names_of(classes, "")


def test_a_detector_brings_the_thresholds_of_its_checkpoint(trained, tmp_path):
    cfg, state, classes = trained
    cfg.dump(str(tmp_path / "config.py"))
    path = written(tmp_path / "best.pth", state, classes)
    assert load_detector(tmp_path / "config.py", path, "cpu").threshold is None
    held = torch.load(path, weights_only=True)
    numbers = {"f1": 0.9, "precision": 0.8, "recall": 1.0, "num_objects": 3, "num_images": 2}
    held["meta"]["thresholds"] = {"overall": 0.41, "by_label": [0.25, *[None] * (len(classes) - 1)], **numbers}
    torch.save(held, path)
    detector = load_detector(tmp_path / "config.py", path, "cpu")
    assert (detector.threshold.overall, detector.threshold.by_class) == (0.41, {classes[0]: 0.25})
    assert detector(np.zeros((96, 96, 3), np.uint8))[0].threshold == 0.41


def test_a_config_without_a_test_pipeline_is_refused(trained, tmp_path):
    cfg, state, classes = trained
    cfg = tiny_config("nowhere", tmp_path / "work")
    for key in ("val_dataloader", "val_evaluator", "val_cfg", "test_dataloader", "test_evaluator", "test_cfg"):
        cfg[key] = None
    cfg.dump(str(tmp_path / "config.py"))
    with pytest.raises(InputError, match="expected a test pipeline in .*config.py, got neither test_dataloader nor"):
        load_detector(tmp_path / "config.py", written(tmp_path / "a.pth", state, classes))


def test_a_classifiers_checkpoint_is_no_detector(tmp_path):
    torch.save({"state_dict": {"network.fc.bias": torch.zeros(3)}}, tmp_path / "classifier.pth")
    with pytest.raises(InputError, match=r"checkpoint of a detector, got .*classifier.pth of a classifier"):
        load_detector("upstream/resnet20_cutmix_cifar10", tmp_path / "classifier.pth")
