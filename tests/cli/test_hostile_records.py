"""Configs that come within checkpoints and would run, fetch or write something: no mark, exit code 2, one line."""

import copy
import json

import pytest
import torch
from mmengine.config import Config

from frozen_det import load_detector
from frozen_det.cli import main
from frozen_det.errors import InputError
from tests.training_runs import tiny_scenes, untrained


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return tiny_scenes(tmp_path_factory.mktemp("scenes") / "toy")


@pytest.fixture(scope="module")
def honest(scenes, tmp_path_factory):
    """What a training's checkpoint holds, and its config."""
    cfg, state, names = untrained(scenes, tmp_path_factory.mktemp("run"))
    cfg.model.pop("classes_from", None)
    cfg.model.num_classes = len(names)
    meta = {"dataset_meta": {"classes": names}, "label_classes": names}
    return dict(state_dict=state, meta=meta), cfg.to_dict()


@pytest.fixture
def marked(tmp_path, monkeypatch):
    """A file that hostile code makes; `stranger` is a module that makes it when it is imported."""
    mark = tmp_path / "mark"
    (tmp_path / "stranger").mkdir()
    for name in ("__init__", "registry", "mc"):
        (tmp_path / "stranger" / f"{name}.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    (tmp_path / "teacher.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    monkeypatch.syspath_prepend(tmp_path)
    return mark


def record(honest, path, change) -> str:
    """The honest checkpoint with a changed config, or with another text in its place."""
    content, cfg = honest
    cfg = copy.deepcopy(cfg)
    text = change(cfg)
    text = Config(cfg, format_python_code=False).pretty_text if text is None else text
    torch.save({**content, "meta": {**content["meta"], "cfg": text}}, path)
    return str(path)


def refused(command: str, capsys, mark) -> str:
    code = main(command.split())
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("frozen-det ")]
    assert not mark.exists()
    assert code == 2 and len(said) == 1, said
    return said[0]


def popen(mark, **more) -> dict:
    return dict(type="subprocess.Popen", args=["touch", str(mark)], **more)


def at(cfg, way: str, value) -> None:
    *above, last = (int(one) if one.isdigit() else one for one in way.split("."))
    for one in above:
        cfg = cfg[one]
    cfg[last] = value


def first_step(cfg, step) -> None:
    cfg["test_dataloader"]["dataset"]["pipeline"].insert(0, step)


BACKBONE = "model.detector.backbone"
FPN = "model.detector.neck"
RCNN = "model.detector.test_cfg.rcnn"
# What is hostile -> the change of the config, given the mark; and a part of the line.
GADGETS = {
    "pipeline": (
        lambda c, m: first_step(c, popen(m)),
        "'subprocess.Popen', at test_dataloader.dataset.pipeline.0.type",
    ),
    "pipeline, nested": (
        lambda c, m: first_step(c, dict(type="RandomApply", transforms=[popen(m)])),
        "pipeline.0.transforms.0.type",
    ),
    "data set": (
        lambda c, m: at(c, "test_dataloader.dataset", popen(m, pipeline=[dict(type="Resize")])),
        "dataset.type",
    ),
    "data set within": (
        lambda c, m: at(
            c, "test_dataloader.dataset", dict(type="RepeatDataset", dataset=popen(m), pipeline=[popen(m)])
        ),
        "test_dataloader.dataset.dataset.type",
    ),
    "detector": (lambda c, m: at(c, "model", popen(m)), "at model.type"),
    "backbone": (lambda c, m: at(c, BACKBONE, popen(m)), "backbone.type"),
    "body": (lambda c, m: at(c, f"{BACKBONE}.body", popen(m)), "backbone.body.type"),
    "act_cfg": (lambda c, m: at(c, f"{FPN}.act_cfg", popen(m)), "neck.act_cfg.type"),
    "init_cfg": (lambda c, m: at(c, f"{FPN}.init_cfg", [popen(m)]), "neck.init_cfg.0.type"),
    "hook": (lambda c, m: at(c, "custom_hooks", [popen(m)]), "at custom_hooks.0.type"),
    "visualizer": (lambda c, m: at(c, "visualizer", popen(m, vis_backends=[])), "at visualizer.type"),
    "vis_backend": (lambda c, m: at(c, "visualizer.vis_backends", [popen(m)]), "at visualizer.vis_backends.0.type"),
    "blanks": (lambda c, m: first_step(c, popen(m) | dict(type=" subprocess.Popen ")), "' subprocess.Popen '"),
    "a module": (lambda c, m: first_step(c, dict(type="stranger")), "'stranger'"),
    "a scope": (lambda c, m: first_step(c, dict(type="stranger.Step")), "'stranger.Step'"),
    "_scope_": (lambda c, m: first_step(c, dict(type="Resize", _scope_="stranger")), "pipeline.0._scope_"),
    "default_scope": (lambda c, m: at(c, "default_scope", "stranger"), "at default_scope"),
    "of the host, unregistered": (
        lambda c, m: first_step(c, dict(type="mmengine.load", file=str(m))),
        "'mmengine.load'",
    ),
    "of ours, unregistered": (lambda c, m: first_step(c, dict(type="frozen_det.load_detector")), "load_detector'"),
    "a scope twice": (lambda c, m: first_step(c, dict(type="mmdet.mmdet.Resize")), "'mmdet.mmdet.Resize'"),
    "nms, which mmcv evaluates": (
        lambda c, m: at(c, f"{RCNN}.nms", dict(type=f"open({str(m)!r}, 'w')", iou_threshold=0.5)),
        "rcnn.nms.type",
    ),
    "roi_layer": (
        lambda c, m: at(c, "model.detector.roi_head.bbox_roi_extractor.roi_layer.type", "nms"),
        "roi_layer.type",
    ),
    "registered, evaluates": (
        lambda c, m: at(
            c,
            "model.detector.train_cfg.rcnn.assigner",
            dict(type="CameraMotionCompensation", warp_mode=f"open({str(m)!r}, 'w')"),
        ),
        "evaluates its arguments as code",
    ),
    "registered, executes a config": (
        lambda c, m: at(
            c,
            "model.detector",
            dict(type="mmdet.KnowledgeDistillationSingleStageDetector", teacher_config=str(m.with_name("teacher.py"))),
        ),
        "executes the config file",
    ),
    "registered, fetches": (lambda c, m: at(c, "model.detector.neck", dict(type="BertModel", name="a/b")), "BertModel"),
    "backend_args": (
        lambda c, m: at(
            c,
            "test_dataloader.dataset.pipeline.0.backend_args",
            dict(backend="memcached", server_list_cfg="", client_cfg="", sys_path=str(m.with_name("stranger"))),
        ),
        "pipeline.0.backend_args",
    ),
    "weights of a body": (lambda c, m: at(c, f"{BACKBONE}.body.checkpoint_path", "/x.pth"), "body.checkpoint_path"),
    "a wrong argument": (lambda c, m: at(c, FPN + ".no_such_thing", 3), "no_such_thing"),
    "a step within a tuple": (
        lambda c, m: at(c, "model.detector.train_cfg.x", ((popen(m),),)),
        "train_cfg.x.0.0.type",
    ),
    "no model": (lambda c, m: c.pop("model") and None, "expected a model"),
    "a list for a model": (lambda c, m: at(c, "model", [1]), "for model, got [1]"),
    "a list for a data set": (lambda c, m: at(c, "test_dataloader.dataset", [1]), "test_dataloader.dataset"),
    "a step without a type": (lambda c, m: at(c, "test_dataloader.dataset.pipeline", [dict(scale=3)]), "pipeline"),
}


@pytest.mark.parametrize("gadget", GADGETS)
def test_predict_runs_nothing_that_a_recorded_config_asks_for(honest, scenes, marked, tmp_path, capsys, gadget):
    change, said = GADGETS[gadget]
    bad = record(honest, tmp_path / "bad.pth", lambda cfg: change(cfg, marked))
    image = next((scenes / "images").glob("*"))
    assert said in refused(f"predict {image} --checkpoint {bad} -o {tmp_path}/out", capsys, marked)


METAS = {
    "a list": ([1, 2], "expected a dict as `meta`"),
    "a text": ("epoch 3", "expected a dict as `meta`"),
    "no config": ({}, "got none; name the config"),
    "an empty text": ({"cfg": ""}, "got an empty text; name the config"),
    "blanks": ({"cfg": " \n"}, "got an empty text; name the config"),
    "bytes": ({"cfg": b"a = 1"}, "got bytes; name the config"),
    "no model": ({"cfg": "a = 1"}, "expected a model, a dict with a type"),
}


@pytest.mark.parametrize("meta", METAS)
@pytest.mark.parametrize("command", ["predict", "extend"])
def test_a_meta_without_a_config_is_one_line(honest, scenes, marked, tmp_path, capsys, meta, command):
    given, said = METAS[meta]
    torch.save({**honest[0], "meta": given}, tmp_path / "bad.pth")
    words = {"predict": f"{scenes}/images --checkpoint BAD -o OUT", "extend": f"BAD --data {scenes} --work-dir OUT"}
    line = words[command].replace("BAD", f"{tmp_path}/bad.pth").replace("OUT", f"{tmp_path}/out")
    assert said in refused(f"{command} {line}", capsys, marked)


@pytest.mark.parametrize(
    "line",
    [
        "x = open(MARK, 'w')",
        "x = f\"{open(MARK, 'w')}\"",
        "x = [open(one, 'w') for one in [MARK]]",
        "x = __import__('stranger')",
        "x = dict(a=(lambda: open(MARK, 'w'))())",
        "x = 'a'.join([])",
        "import stranger",
        "from stranger import registry",
        "_base_ = 'teacher.py'",
        "_base_ = ['teacher.py']",
        "x, y = 1, 2",
        "x = {**dict(a=1)}",
        "x: int = 1",
        "if True:\n    x = 1",
    ],
)
def test_the_text_of_a_recorded_config_is_assignments_of_literals(honest, scenes, marked, tmp_path, capsys, line):
    text = Config(honest[1], format_python_code=False).pretty_text + "\n" + line.replace("MARK", repr(str(marked)))
    bad = record(honest, tmp_path / "bad.pth", lambda cfg: text)
    image = next((scenes / "images").glob("*"))
    assert "Nothing was run" in refused(f"predict {image} --checkpoint {bad} -o {tmp_path}/out", capsys, marked)


def test_what_hosts_put_in_place_of_braces_stays_text(monkeypatch):
    from frozen_det.weights.reading.recorded_config import parse_recorded

    monkeypatch.setenv("SECRET", "value")
    text = "a = '{{$SECRET:}}'\nb = '{{ fileBasename }}'\nc = '{{_base_.x}}'\n"
    assert parse_recorded(text, "x.py").to_dict() == dict(a="{{$SECRET:}}", b="{{ fileBasename }}", c="{{_base_.x}}")


OF_A_RUN = {
    "hook": (lambda c, m: at(c, "custom_hooks", [popen(m)]), "custom_hooks.0.type"),
    "hook without dots": (lambda c, m: at(c, "custom_hooks", [dict(type="stranger")]), "custom_hooks.0.type"),
    "hook that evaluates": (
        lambda c, m: at(c, "custom_hooks", [dict(type="RFSearchHook", config=dict(search=dict(skip_layer=None)))]),
        "evaluates its arguments",
    ),
    "ema_type": (
        lambda c, m: at(c, "custom_hooks", [dict(type="EMAHook", ema_type="subprocess.Popen")]),
        "custom_hooks.0.ema_type",
    ),
    "constructor": (lambda c, m: at(c, "optim_wrapper.constructor", "subprocess.Popen"), "optim_wrapper.constructor"),
    "runner_type": (lambda c, m: at(c, "runner_type", "subprocess.Popen"), "runner_type"),
    "optimizer": (lambda c, m: at(c, "optim_wrapper.optimizer", popen(m)), "optim_wrapper.optimizer.type"),
    "train pipeline": (
        lambda c, m: c["train_dataloader"]["dataset"]["pipeline"].insert(0, dict(type="stranger")),
        "train_dataloader.dataset.pipeline.0.type",
    ),
    "a shell": (
        lambda c, m: at(c, "visualizer.vis_backends", [dict(type="DVCLiveVisBackend")]),
        "runs a command in a shell",
    ),
    "a place": (
        lambda c, m: at(c, "default_hooks.checkpoint.out_dir", str(m.parent / "elsewhere")),
        "default_hooks.checkpoint.out_dir",
    ),
    "a way out": (lambda c, m: at(c, "default_hooks.checkpoint.filename_tmpl", "../../a_{}.pth"), "filename_tmpl"),
    "custom_imports": (lambda c, m: at(c, "custom_imports", dict(imports=["stranger"])), "custom_imports"),
    "a key that would be code where the host writes it": (
        lambda c, m: at(c, "randomness", {"seed": 1, "a': open(1), 'b-": 2}),
        "Nothing was run",
    ),
}


@pytest.mark.parametrize("gadget", OF_A_RUN)
def test_extend_runs_nothing_that_a_recorded_config_asks_for(honest, scenes, marked, tmp_path, capsys, gadget):
    change, said = OF_A_RUN[gadget]
    bad = record(honest, tmp_path / "bad.pth", lambda cfg: change(cfg, marked))
    data = tmp_path / "data"
    data.mkdir()
    (data / "images").symlink_to(scenes / "images")
    (data / "annotations").mkdir()
    for split in ("train", "val"):
        content = json.loads((scenes / "annotations" / f"{split}.json").read_text())
        content["categories"] = [dict(one, name=f"new {one['name']}") for one in content["categories"]]
        (data / "annotations" / f"{split}.json").write_text(json.dumps(content))
    assert said in refused(f"extend {bad} --data {data} --work-dir {tmp_path}/out", capsys, marked)
    assert not (tmp_path / "elsewhere").exists()


def test_a_hook_of_ones_own_keeps_nobody_from_detecting(honest, scenes, marked, tmp_path):
    def change(cfg):
        cfg["custom_hooks"] = [dict(type="MyHook")]
        cfg["custom_imports"] = dict(imports=["stranger"])

    bad = record(honest, tmp_path / "bad.pth", change)
    assert len(load_detector(bad)(next((scenes / "images").glob("*")))) == 1
    assert not marked.exists()


@pytest.fixture
def asked(monkeypatch):
    """The addresses that are opened."""
    import urllib.request

    found = []

    def opened(where, *args, **options):
        found.append(getattr(where, "full_url", where))
        raise OSError("no network in this test")

    monkeypatch.setattr(urllib.request, "urlopen", opened)
    monkeypatch.setattr("mmengine.fileio.backends.http_backend.urlopen", opened)
    monkeypatch.setattr("torch.hub.urlopen", opened)
    return found


WEB = "http://127.0.0.1:9/a.pth"


def test_nothing_is_fetched_that_a_recorded_config_names(honest, scenes, tmp_path, asked):
    def change(cfg):
        at(cfg, f"{FPN}.init_cfg", dict(type="Pretrained", checkpoint=WEB))
        at(cfg, "test_dataloader.dataset.metainfo", dict(classes=WEB))
        at(cfg, f"{BACKBONE}.weights", WEB)

    bad = record(honest, tmp_path / "bad.pth", change)
    assert len(load_detector(bad)(next((scenes / "images").glob("*")))) == 1
    assert asked == []


def test_the_base_of_a_lean_checkpoint_is_fetched_where_the_user_says_so(honest, tmp_path, asked):
    from frozen_det.weights.digest import BASE_DIGEST

    content, cfg = honest
    lean = {key: value for key, value in content["state_dict"].items() if not key.startswith("backbone.body.")}
    lean[f"backbone.{BASE_DIGEST}"] = torch.zeros(32, dtype=torch.uint8)
    bad = record(
        (content | dict(state_dict=lean), cfg), tmp_path / "a.pth", lambda cfg: at(cfg, f"{BACKBONE}.weights", WEB)
    )
    with pytest.raises(InputError, match="it asks for http://127.0.0.1:9/a.pth. Nothing was fetched"):
        load_detector(bad)
    assert asked == []
    with pytest.raises(InputError, match="could not be fetched|cannot be|127"):
        load_detector(None, bad, options={"model.detector.backbone.weights": WEB})
    assert [str(one) for one in asked] == [WEB]


def test_what_the_user_sets_is_the_users(honest, scenes, marked, tmp_path):
    """An entry that an override replaces is not looked at."""

    def change(cfg):
        cfg["visualizer"] = dict(type="Visualizer", vis_backends=[dict(type="WandbVisBackend")])
        first_step(cfg, popen(marked))

    bad, image = record(honest, tmp_path / "bad.pth", change), next((scenes / "images").glob("*"))
    steps = copy.deepcopy(honest[1]["test_dataloader"]["dataset"]["pipeline"])
    options = {"test_dataloader.dataset.pipeline": steps, "val_dataloader.dataset.pipeline": steps}
    assert len(load_detector(None, bad, options=options)(image)) == 1
    assert not marked.exists()
