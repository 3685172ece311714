"""Fine-tuning on an image folder: it learns, the same budget gives the same weights, an interrupted one goes on."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from frozen_det.errors import InputError
from frozen_det.robustness import finetune as study_finetune
from frozen_det.robustness.candidates import Candidate, open_classifier
from frozen_det.robustness.finetune import finetune
from frozen_det.robustness.transfer import study_transfer
from frozen_det.upstream.image_records import read_folder

from .study_networks import flat, images_of


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A candidate of three classes, and a folder of two others: stripes along or across, of sizes of their own."""
    from frozen_det.models.backbone_sources.cifar_resnet import CifarResNet

    root = tmp_path_factory.mktemp("finetune")
    torch.manual_seed(0)
    torch.save(CifarResNet(8, 3).state_dict(), root / "weights.pth")
    rng = np.random.default_rng(0)
    for split, number in (("train", 24), ("test", 8)):
        for label, name in enumerate(("across", "along")):
            for index in range(number):
                path = root / "data" / split / name / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.zeros((20, 24 + index % 3, 3), np.uint8)
                (pixels if label else pixels.transpose(1, 0, 2))[::4] = 255
                Image.fromarray(np.maximum(pixels, rng.integers(0, 60, pixels.shape, dtype=np.uint8))).save(path)
    (root / "c.py").write_text("")
    cfg = Config(
        dict(
            model=dict(
                type="frozen_det.ImageClassifier", backbone=dict(type="frozen_det.CifarResNet", depth=8), num_classes=3
            )
        ),
        filename=str(root / "c.py"),
    )
    return Candidate("one", "c", cfg, root / "weights.pth"), root / "data"


@pytest.fixture(autouse=True)
def unformatted(monkeypatch):
    """Configs as plain text in logs and checkpoints: formatting them takes longer than these trainings."""
    monkeypatch.setattr(
        Config,
        "pretty_text",
        property(lambda cfg: "".join(f"{name} = {value!r}\n" for name, value in cfg.to_dict().items())),
    )


def seen():
    images = images_of(flat([0.2], 16), [0])
    images.fit = lambda image: torch.from_numpy(
        np.asarray(image.resize((16, 16), Image.Resampling.BILINEAR)).transpose(2, 0, 1).copy()
    )
    return images


def weights(classifier):
    return torch.cat([value.double().flatten() for value in classifier.network.state_dict().values()])


def test_a_new_head_and_all_of_the_backbone_learn_and_the_result_is_read_back(given, tmp_path, monkeypatch):
    monkeypatch.setattr(study_finetune, "BATCH_SIZE", 8)
    monkeypatch.setattr(study_finetune, "LEARNING_RATE", 0.05)
    candidate, root = given
    known, lines = open_classifier(candidate), []
    words = dict(folders=[f"stripes={root}"], finetune=True, work_dir=tmp_path, epochs=6)
    found = study_transfer(known, seen(), candidate, log=lines.append, **words)
    assert found.numbers["stripes, fine-tuned"].value == 100
    assert found.notes["stripes, epochs of fine-tuning"] == 6 and known.logits(seen().pixels).shape == (1, 3)
    folder = tmp_path / "classifiers" / "stripes"
    record = json.loads((folder / "finetune.json").read_text())["stages"]["fine-tuning"]
    trained = torch.load(folder / record["outputs"].popitem()[0], weights_only=False)["state_dict"]
    first = known.network.state_dict()["conv1.weight"]
    assert trained["network.linear.weight"].shape[0] == 2 and not torch.equal(trained["network.conv1.weight"], first)
    lines.clear()
    again = study_transfer(known, seen(), candidate, log=lines.append, **words)
    assert again == found and any("reused" in line for line in lines)


def test_an_interrupted_fine_tuning_ends_as_an_uninterrupted_one(given, tmp_path, monkeypatch):
    from frozen_det.engine.hooks.lean_checkpoint import LeanCheckpointHook

    candidate, root = given
    records = read_folder(root, "train")
    whole = finetune(candidate, seen(), records, tmp_path / "whole", 3, log=lambda line: None)
    other = finetune(candidate, seen(), records, tmp_path / "other", 3, seed=1, log=lambda line: None)
    assert not torch.equal(weights(whole), weights(other))
    saved, after = [], LeanCheckpointHook.after_train_epoch

    def stop(self, runner):
        after(self, runner)
        saved.append(runner.epoch)
        if len(saved) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LeanCheckpointHook, "after_train_epoch", stop)
        with pytest.raises(KeyboardInterrupt):
            finetune(candidate, seen(), records, tmp_path / "cut", 3, log=lambda line: None)
    lines = []
    resumed = finetune(candidate, seen(), records, tmp_path / "cut", 3, log=lines.append)
    assert any("resuming" in line for line in lines) and torch.equal(weights(resumed), weights(whole))


def test_no_epoch_is_refused(given, tmp_path):
    with pytest.raises(InputError, match="--finetune-epochs"):
        finetune(given[0], seen(), read_folder(given[1], "train"), tmp_path, 0)
