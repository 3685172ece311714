"""Every command that reads a file, given one whose code would leave a mark: no mark, exit code 2, one line."""

import functools
import http.server
import itertools
import json
import threading

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import DefaultScope

from frozen_det import load_detector
from frozen_det.cli import main
from frozen_det.config import find_config
from frozen_det.errors import InputError
from frozen_det.models import FrozenBackbone
from tests.gadgets import KINDS, gadgets, in_zip
from tests.reports.conftest import write_work_dir
from tests.small_hosts import STOCK
from tests.training_runs import tiny_config, tiny_scenes
from tests.upstream.fixres_runs import classifier_config, pictures
from tests.upstream.image_sets import write_folder


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with what the commands need beside the hostile file: data, configs, pictures."""
    folder = tmp_path_factory.mktemp("inputs")
    scenes = tiny_scenes(folder / "toy")
    tiny_config(scenes, folder / "unused").dump(str(folder / "ours.py"))
    names = [one["name"] for one in json.loads((scenes / "annotations" / "val.json").read_text())["categories"]]
    stock = STOCK.replace("ROOT", repr(str(scenes))).replace("CLASSES", repr(tuple(names)))
    (folder / "stock.py").write_text(stock, encoding="utf-8")
    trees = pictures(folder / "trees")
    classifier_config(trees).dump(str(folder / "classifier.py"))
    write_folder(folder / "quick", dict(ash=2, birch=2, cedar=2), size=12)
    for split in ("test", "pool"):
        write_folder(folder / "quick", dict(ash=1, birch=1, cedar=1), split=split, size=12)
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """(folder, its address over http)."""
    folder = tmp_path_factory.mktemp("served")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    served.server_close()


@pytest.fixture(autouse=True)
def _caches_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))


# Entry -> its command line; BAD is the file, HTTP its address, OUT a place to write, IN the folder of inputs.
COMMANDS = {
    "train, load_from": "train IN/ours.py --work-dir OUT --cfg-options load_from=BAD",
    "train, weights": "train IN/ours.py --work-dir OUT --cfg-options model.detector.backbone.weights=BAD",
    "train --resume": "train IN/ours.py --work-dir OUT --resume BAD",
    "train stock, load_from": "train IN/stock.py --work-dir OUT --cfg-options load_from=BAD",
    "train stock, load_from over http": "train IN/stock.py --work-dir OUT --cfg-options load_from=HTTP",
    "train stock --resume": "train IN/stock.py --work-dir OUT --resume BAD",
    "test": "test IN/ours.py BAD --work-dir OUT",
    "test stock": "test IN/stock.py BAD --work-dir OUT",
    "test a classifier": "test IN/classifier.py BAD --work-dir OUT",
    "predict": "predict IN/toy/images --config IN/ours.py --checkpoint BAD -o OUT",
    "predict stock": "predict IN/toy/images --config IN/stock.py --checkpoint BAD -o OUT",
    "export": "export IN/ours.py BAD -o OUT.safetensors",
    "convert": "convert BAD -o OUT.pth --config IN/ours.py",
    "chain": "chain OUT.chain.py --work-dir OUT",
    "fixres": "fixres IN/classifier.py BAD --test-size 16 --epochs 1 --work-dir OUT",
    "analyze": "analyze fgsm IN/classifier.py BAD --num-images 2 -o OUT",
    "label": "label IN/classifier.py BAD --pool IN/quick/pool --out OUT",
    "noisy_student": "noisy_student OUT.loop.py --work-dir OUT --cfg-options data_root=IN/quick",
}
SOME = dict(zip(COMMANDS, itertools.cycle(KINDS)))  # a kind for each: all kinds meet the reader in test_safe_pickle.py


@pytest.mark.parametrize("entry", COMMANDS)
def test_no_command_runs_code_from_a_checkpoint(inputs, server, tmp_path, capsys, entry):
    mark, bad = tmp_path / "mark", server[0] / f"{tmp_path.name}.pth"
    in_zip(gadgets(mark)[SOME[entry]], bad)
    (tmp_path / "out.chain.py").write_text(
        f"upstream = dict(type='given', weights={str(bad)!r})\nfixres = None\n"
        f"detector = dict(config={str(inputs / 'ours.py')!r})\n",
        encoding="utf-8",
    )
    (tmp_path / "out.loop.py").write_text(
        f"_base_ = {str(find_config('noisy_student/quick'))!r}\nteacher = dict(weights={str(bad)!r})\n",
        encoding="utf-8",
    )
    words = {"BAD": str(bad), "HTTP": f"{server[1]}/{bad.name}", "OUT": str(tmp_path / "out"), "IN": str(inputs)}
    line = COMMANDS[entry]
    for word, value in words.items():
        line = line.replace(word, value)
    code = main(line.split())
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("frozen-det ")]
    assert not mark.exists()
    assert code == 2 and len(said) == 1 and "Nothing was run" in said[0]


def test_load_detector_runs_no_code(inputs, tmp_path):
    bad = in_zip(gadgets(tmp_path / "mark")["os.system"], tmp_path / "bad.pth")
    for config in ("ours.py", "stock.py"):
        with pytest.raises(InputError, match="asks for `os.system` while it is read, .* Nothing was run"):
            load_detector(inputs / config, bad)
    assert not (tmp_path / "mark").exists()


def test_text_in_a_checkpoint_that_the_host_would_execute_on_resuming_is_left_out(inputs, tmp_path):
    """A finished run's checkpoint, whole but for the code in its texts: resumed, nothing is left to do."""
    mark = tmp_path / "mark"
    code = f"open({str(mark)!r}, 'w').close()"
    cfg = Config.fromfile(str(inputs / "stock.py"))
    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(cfg.model)
    classes = {"classes": cfg.train_dataloader.dataset.metainfo.classes}
    torch.save(
        {
            "state_dict": model.state_dict(),
            "optimizer": torch.optim.SGD(model.parameters(), lr=0.01).state_dict(),
            "message_hub": {"log_scalars": {}, "runtime_info": {"cfg": code}, "resumed_keys": {}},
            "meta": {"epoch": 1, "iter": 4, "config": code, "cfg": code, "dataset_meta": classes},
        },
        tmp_path / "bad.pth",
    )
    assert main(f"train {inputs}/stock.py --work-dir {tmp_path}/b --resume {tmp_path}/bad.pth".split()) == 0
    assert not mark.exists()


def test_weights_over_http_run_no_code(server, tmp_path):
    in_zip(gadgets(tmp_path / "mark")["runpy"], server[0] / "weights.pth")
    backbone = FrozenBackbone(dict(type="timm", name="test_resnet"), f"{server[1]}/weights.pth", strides=(4, 8))
    with pytest.raises(InputError, match="asks for `runpy._run_code` while it is read, .* Nothing was run"):
        backbone.init_weights()
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("key", ["ann_file", "proposal_file"])
def test_a_pickle_of_annotations_or_proposals_runs_no_code(inputs, tmp_path, capsys, key):
    mark, bad = tmp_path / "mark", tmp_path / "bad.pkl"
    bad.write_bytes(gadgets(mark)["exec"])
    kind = "BaseDetDataset" if key == "ann_file" else "CocoDataset"
    text = (inputs / "stock.py").read_text().replace("    type='CocoDataset'", f"    type='{kind}', {key}_=1", 1)
    text = text.replace(f"{key}_=1, ", f"{key}={str(bad)!r}, " if key != "ann_file" else "")
    if key == "ann_file":
        text = text.replace("ann_file='annotations/val.json'", f"ann_file={str(bad)!r}", 1)
    (tmp_path / "stock.py").write_text(text, encoding="utf-8")
    assert main(f"train {tmp_path}/stock.py --work-dir {tmp_path}/out".split()) == 2
    assert "asks for `builtins.exec`" in capsys.readouterr().err and not mark.exists()


@pytest.mark.parametrize("what", ["data.yaml", "a config"])
def test_tags_in_yaml_run_no_code(tmp_path, capsys, what):
    mark = tmp_path / "mark"
    tags = f"names: !!python/object/apply:os.system ['touch {mark}']\ntrain: images/train\nval: images/val\n"
    (tmp_path / "data.yaml").write_text(tags, encoding="utf-8")
    (tmp_path / "images").mkdir()
    line = (
        f"browse custom_coco --cfg-options data_root={tmp_path}"
        if what == "data.yaml"
        else (f"train {tmp_path}/data.yaml")
    )
    assert main(line.split()) == 2
    assert not mark.exists() and len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize("command", ["report", "analyze fgsm", "fixres"])
def test_a_run_folder_is_read_without_executing_its_config(inputs, tmp_path, capsys, command):
    mark, run = tmp_path / "mark", tmp_path / "run"
    write_work_dir(run, config=f"open({str(mark)!r}, 'w').close()\n")
    (run / "arm.py").write_text((inputs / "classifier.py").read_text() + f"\nopen({str(mark)!r}, 'w').close()\n")
    (run / "last_checkpoint").write_text(str(run / "epoch_1.pth"))
    words = {
        "report": f"report {run}",
        "analyze fgsm": f"analyze fgsm {run} -o {tmp_path}/out",
        "fixres": f"fixres {inputs}/classifier.py --sweep 12 --also other={run} --work-dir {tmp_path}/out",
    }
    assert main(words[command].split()) == (0 if command == "report" else 2)
    assert not mark.exists()
