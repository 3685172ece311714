"""A whole run on a pretended GPU: data loaders, hooks, validation, averages, lean checkpoints; it ends as on a CPU."""

import json

import torch

from frozen_det.benchmarks.pretended_device.device import pretended_device
from frozen_det.benchmarks.pretended_device.waits import READ_BACK, counted
from tests.training_runs import tiny_config, tiny_scenes, train

_HOOKS = [
    dict(type="frozen_det.NaNGuardHook"),
    dict(type="frozen_det.NormStatisticsHook"),
    dict(type="frozen_det.ValidationPicturesHook", num_images=1),
    dict(type="frozen_det.ValidationLossHook"),
    dict(type="frozen_det.EMAHook", ema_type="ExponentialMovingAverage", momentum=0.1),
]


def _config(scenes, folder):
    body = {"model.detector.backbone.body.name": "resnet10t", "model.detector.backbone.weights": "random"}
    cfg = tiny_config(scenes, folder, **{key.replace(".", "__"): value for key, value in body.items()})
    cfg.custom_hooks += _HOOKS
    cfg.default_hooks.checkpoint = dict(type="frozen_det.LeanCheckpointHook", interval=1)
    cfg.train_cfg.max_epochs = 1
    cfg.train_dataloader.dataset.indices = 4
    cfg.val_dataloader.dataset.indices = 2
    cfg.log_level = "WARNING"
    return cfg


def test_a_run_on_the_device_ends_as_one_on_the_cpu(tmp_path):
    scenes = tiny_scenes(tmp_path / "toy")
    plain = train(_config(scenes, tmp_path / "plain"))
    with pretended_device(), counted() as found:
        runner = train(_config(scenes, tmp_path / "device"))
        assert all(parameter.is_cuda for parameter in runner.model.parameters())
        for one, other in zip(plain.model.state_dict().values(), runner.model.state_dict().values(), strict=True):
            assert torch.allclose(one, other.cpu(), atol=1e-6)
    files = [torch.load(tmp_path / name / "epoch_1.pth", weights_only=False) for name in ("plain", "device")]
    states = [file["state_dict"] for file in files]
    assert list(states[0]) == list(states[1]) and not any(value.is_cuda for value in states[1].values())
    assert all(torch.allclose(value, states[1][name], atol=1e-6) for name, value in states[0].items())
    proofs = [json.loads((tmp_path / name / "frozen_proof.json").read_text()) for name in ("plain", "device")]
    assert proofs[0] == proofs[1] and all(check["unchanged"] for check in proofs[1]["checks"])
    guard = [wait for wait in found if wait.file.endswith("nan_guard.py") and wait.kind == READ_BACK]
    assert [wait.what for wait in guard] == ["event", "tolist"] * 2  # two steps of two images
