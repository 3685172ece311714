"""The detection probe in small: the candidate's own weights, frozen bit for bit, or trained on with nothing frozen."""

import pytest
import torch
from mmengine.config import Config

from frozen_det.config import load_config
from frozen_det.errors import InputError
from frozen_det.robustness.candidates import Candidate
from frozen_det.robustness.transfer import detection_probe
from frozen_det.weights.loading import read
from tests.training_runs import OPTIONS, tiny_scenes


@pytest.fixture(scope="module")
def probe(tmp_path_factory):
    """(candidate, detector's config): the shipped probe with a ResNet-8, one epoch of eight small images."""
    from frozen_det.models.backbone_sources.cifar_resnet import CifarResNet

    root = tmp_path_factory.mktemp("probe")
    torch.manual_seed(0)
    torch.save(CifarResNet(8, 10).state_dict(), root / "weights.pth")
    scenes = tiny_scenes(root / "toy")
    cfg = load_config(
        "detection/faster-rcnn_frozen-cifarresnet20_fpn_plain-3e_toyscenes",
        {**OPTIONS, "train_cfg.max_epochs": 1, "model.detector.backbone.body.depth": 8},
    )
    for loader, split in ((cfg.train_dataloader, "train"), (cfg.val_dataloader, "val")):
        pipeline = [
            dict(step, scale=(96, 96)) if step["type"] == "Resize" else dict(step) for step in loader.dataset.pipeline
        ]
        loader.dataset = dict(
            type="frozen_det.CocoDataset",
            data_root=str(scenes),
            test_mode=split == "val",
            ann_file=f"annotations/{split}.json",
            data_prefix=dict(img="images/"),
            pipeline=pipeline,
        )
    cfg.test_dataloader = cfg.val_dataloader
    cfg.val_evaluator = dict(type="frozen_det.CocoMetric", ann_file=f"{scenes}/annotations/val.json", metric="bbox")
    cfg.test_evaluator = cfg.val_evaluator
    cfg.custom_hooks = [dict(type="frozen_det.StepSeedHook"), dict(type="frozen_det.FrozenProofHook")]
    cfg.visualizer = dict(type="DetLocalVisualizer", vis_backends=[dict(type="LocalVisBackend")], name="visualizer")
    cfg.dump(str(root / "detector.py"))
    return Candidate("one", "c", None, root / "weights.pth"), root / "detector.py"


@pytest.fixture(autouse=True)
def unformatted(monkeypatch):
    """Configs as plain text in logs and checkpoints: formatting them takes longer than these trainings."""
    monkeypatch.setattr(
        Config,
        "pretty_text",
        property(lambda cfg: "".join(f"{name} = {value!r}\n" for name, value in cfg.to_dict().items())),
    )


def body_of(work_dir):
    """The backbone's tensors in the last checkpoint; empty where it is lean."""
    state = read(work_dir / "detector" / "epoch_1.pth")["state_dict"]
    return {name.split("body.")[1]: value for name, value in state.items() if "body." in name}


def test_a_frozen_probe_proves_the_candidates_weights_and_a_fine_tuned_one_moves_them(probe, tmp_path, monkeypatch):
    monkeypatch.setattr("frozen_det.reports.write.write_report", lambda *_: [tmp_path / "report.html"])  # the chain's
    candidate, detector = probe
    given = torch.load(candidate.checkpoint, weights_only=True)
    frozen = detection_probe(candidate, str(detector), [], tmp_path / "frozen", True, log=lambda line: None)
    tuned = detection_probe(candidate, str(detector), [], tmp_path / "tuned", False, log=lambda line: None)
    assert set(frozen) == set(tuned) == {"AP", "AP50"} and 0 <= frozen["AP"] <= frozen["AP50"] <= 100
    held = read(tmp_path / "frozen" / "detector" / "epoch_1.pth")["meta"]["frozen"]["backbone"]["tensors"]
    assert len(held) >= len([name for name in given if name.startswith("layer")])
    body = body_of(tmp_path / "tuned")
    assert not torch.equal(body["conv1.weight"], given["conv1.weight"])
    assert torch.allclose(body["conv1.weight"], given["conv1.weight"], atol=0.05)  # it began there
    lines = []
    assert detection_probe(candidate, str(detector), [], tmp_path / "tuned", False, log=lines.append) == tuned
    assert any("[train] reused" in line for line in lines)


def test_an_option_without_a_value_is_refused(probe, tmp_path):
    with pytest.raises(InputError, match="KEY=VALUE"):
        detection_probe(probe[0], str(probe[1]), ["epochs"], tmp_path)
