"""Under `frozen-det run`, mmdet's own tools/train.py and tools/test.py run our configs; stock configs wrap."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.training_runs import tiny_config, tiny_scenes

WRAPPED = """
_base_ = 'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'
custom_imports = dict(imports=['frozen_det'])
model = dict(_delete_=True, type='frozen_det.Detector', detector={{{{_base_.model}}}}, num_classes=10)
custom_hooks = [dict(type='frozen_det.FrozenProofHook')]
_data = dict(data_root={root!r}, data_prefix=dict(img='images/'), metainfo=dict(classes={classes!r}))
_pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations', with_bbox=True),
             dict(type='Resize', scale=(96, 96), keep_ratio=True), dict(type='PackDetInputs')]
train_dataloader = dict(batch_size=2, num_workers=0, persistent_workers=False, dataset=dict(
    ann_file='annotations/train.json', pipeline=_pipeline, **_data))
val_cfg = val_dataloader = val_evaluator = None
test_cfg = test_dataloader = test_evaluator = None
train_cfg = dict(max_epochs=1)
"""


def _host_tool(name: str) -> Path:
    import mmdet

    tool = Path(mmdet.__path__[0]) / ".mim" / "tools" / name
    if not tool.is_file():
        pytest.skip("this mmdet was installed without its tools")
    return tool


def _run(tool: str, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "frozen_det.cli", "run", "--", "python", str(_host_tool(tool)), *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return tiny_scenes(tmp_path_factory.mktemp("scenes") / "toy")


@pytest.mark.slow
def test_the_hosts_train_and_test_run_our_config_unchanged(scenes, tmp_path):
    cfg = tiny_config(scenes, tmp_path / "work", train_cfg__max_epochs=1)
    cfg.pop("experiment_name")
    cfg.dump(str(tmp_path / "ours.py"))
    _run("train.py", tmp_path / "ours.py")
    assert "unchanged after 4 iterations" in next((tmp_path / "work").glob("*/*.log")).read_text()
    said = _run("test.py", tmp_path / "ours.py", tmp_path / "work" / "epoch_1.pth", "--work-dir", tmp_path / "test")
    assert "bbox_mAP" in said


@pytest.mark.slow
def test_a_stock_config_trains_frozen_after_wrapping_its_model(scenes, tmp_path):
    from mmdet.models import ResNet

    torch.manual_seed(1)
    body = ResNet(depth=18)
    torch.save(body.state_dict(), tmp_path / "resnet18.pth")
    classes = tuple(c["name"] for c in json.loads((scenes / "annotations/train.json").read_text())["categories"])
    (tmp_path / "wrapped.py").write_text(WRAPPED.format(root=str(scenes), classes=classes))
    _run(
        "train.py",
        tmp_path / "wrapped.py",
        "--work-dir",
        tmp_path / "work",
        "--cfg-options",
        f"model.detector.backbone.init_cfg.checkpoint={tmp_path / 'resnet18.pth'}",
    )
    saved = torch.load(tmp_path / "work" / "epoch_1.pth", weights_only=False)["state_dict"]
    assert all(torch.equal(saved[f"backbone.body.{k}"], v) for k, v in body.state_dict().items())
    proof = json.loads((tmp_path / "work" / "frozen_proof.json").read_text())
    assert proof["checks"][-1] == {"when": "end", "iter": 4, "epoch": 1, "unchanged": True}
