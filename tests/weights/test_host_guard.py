"""What the host reads from files is read as data, by whatever road, from `import frozen_det` on."""

import functools
import http.server
import os
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest
import torch

from frozen_det.errors import InputError
from frozen_det.host.startup import environment
from tests.gadgets import FORMS, gadgets, in_zip


@pytest.fixture
def evil(tmp_path):
    """A folder with a harmless and a hostile checkpoint, and the mark that the second would leave."""
    folder, mark = tmp_path / "files", tmp_path / "mark"
    folder.mkdir()
    in_zip(gadgets(mark)["exec"], folder / "bad.pth")
    torch.save({"state_dict": {"backbone.w": torch.ones(2)}}, folder / "good.pth")
    return folder, mark


@pytest.fixture
def server(evil, monkeypatch, tmp_path):
    """The folder over http, with torch's and mmengine's caches in a place of their own; gives the address."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("MMENGINE_HOME", str(tmp_path / "mmengine"))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(evil[0])))
    threading.Thread(target=served.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    served.server_close()


def paths(which: str, folder: Path, server: str, monkeypatch) -> dict[str, str]:
    """A path of every scheme to the same file: prefix -> path."""
    from mmengine.runner import checkpoint

    file = f"{which}.pth"
    monkeypatch.setattr(checkpoint, "get_torchvision_models", lambda: {"net": f"{server}/{file}"})
    monkeypatch.setattr(
        checkpoint, "get_external_models", lambda: {"net": f"{server}/{file}", "here": str(folder / file)}
    )
    monkeypatch.setattr(checkpoint, "get_mmcls_models", lambda: {"net": f"{server}/{file}"})
    backend = types.SimpleNamespace(get=lambda name: (folder / file).read_bytes())
    monkeypatch.setattr(checkpoint, "get_file_backend", lambda *_, **__: backend)
    model = types.SimpleNamespace(name=file, download=lambda to: Path(to).write_bytes((folder / file).read_bytes()))
    cloud = types.ModuleType("pavi")
    cloud.modelcloud = types.SimpleNamespace(get=lambda name: model)
    monkeypatch.setitem(sys.modules, "pavi", cloud)
    monkeypatch.setattr(checkpoint.CheckpointLoader, "_schemes", dict(checkpoint.CheckpointLoader._schemes))

    @checkpoint.CheckpointLoader.register_scheme(prefixes="mine://")
    def load_from_mine(filename, map_location=None):
        return torch.load(folder / file, map_location=map_location, weights_only=False)

    return {
        "local": str(folder / file),
        "http": f"{server}/{file}",
        "torchvision": "torchvision://net",
        "modelzoo": "modelzoo://net",
        "openmmlab": "openmmlab://net",
        "open-mmlab": "open-mmlab://net",
        "openmmlab, local": "open-mmlab://here",
        "mmcls": "mmcls://net",
        "s3": f"s3://bucket/{file}",
        "petrel": f"petrel://bucket/{file}",
        "pavi": f"pavi://{file}",
        "registered later": f"mine://{file}",
    }


SCHEMES = (
    "local",
    "http",
    "torchvision",
    "modelzoo",
    "openmmlab",
    "open-mmlab",
    "openmmlab, local",
    "mmcls",
    "s3",
    "petrel",
    "pavi",
    "registered later",
)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_checkpoint_of_every_scheme_is_read_without_code(evil, server, monkeypatch, scheme):
    from mmengine.runner.checkpoint import CheckpointLoader, load_checkpoint

    with monkeypatch.context() as harmless:
        good = paths("good", evil[0], server, harmless)[scheme]
        state = CheckpointLoader.load_checkpoint(good, map_location="cpu")["state_dict"]
    assert [value.tolist() for value in state.values()] == [[1, 1]]
    bad = paths("bad", evil[0], server, monkeypatch)[scheme]
    with pytest.raises(InputError, match="asks for `builtins.exec` while it is read, .* Nothing was run"):
        load_checkpoint(torch.nn.Linear(1, 1), bad, map_location="cpu")
    assert not evil[1].exists()


def test_every_scheme_of_the_host_is_among_those(monkeypatch, evil, server):
    from mmengine.runner.checkpoint import CheckpointLoader

    tried = paths("good", evil[0], server, monkeypatch).values()
    found = {CheckpointLoader._get_checkpoint_loader(path).__wrapped__.__name__ for path in tried}
    assert found == {loader.__name__ for loader in CheckpointLoader._schemes.values()}


@pytest.mark.parametrize("form", FORMS)
def test_no_form_of_file_gets_through_the_hosts_loader(tmp_path, form):
    from mmengine.runner.checkpoint import load_from_local

    path = FORMS[form](gadgets(tmp_path / "mark")["os.system"], tmp_path / "bad.pth")
    with pytest.raises(InputError):
        load_from_local(str(path), "cpu")
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("path", ["http://127.0.0.1:9/a.pth", "torchvision://no_such_net", "no/such/file.pth"])
def test_what_cannot_be_fetched_is_one_clear_error(evil, server, monkeypatch, path):
    from mmengine.runner.checkpoint import CheckpointLoader

    paths("good", evil[0], server, monkeypatch)
    with pytest.raises(InputError) as raised:
        CheckpointLoader.load_checkpoint(path)
    assert path in str(raised.value) and "\n" not in str(raised.value)


def test_torchs_own_reader_is_unchanged_for_other_callers(evil):
    from mmengine.runner.checkpoint import CheckpointLoader

    CheckpointLoader.load_checkpoint(str(evil[0] / "good.pth"))
    assert not hasattr(torch.load, "__wrapped__") or torch.load.__wrapped__.__module__ == "torch.serialization"
    torch.load(evil[0] / "bad.pth", weights_only=False)  # a user's own word
    assert evil[1].exists()


def test_a_process_under_run_is_guarded_without_naming_the_package(evil):
    """Nor is the host imported when it starts."""
    code = (
        "import sys\nassert 'frozen_det' in sys.modules and not {'torch', 'mmengine', 'yaml'} & set(sys.modules)\n"
        "from mmengine.runner.checkpoint import load_checkpoint\nimport torch\n"
        f"load_checkpoint(torch.nn.Linear(1, 1), {str(evil[0] / 'bad.pth')!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment(os.environ))
    assert done.returncode == 1 and "Nothing was run" in done.stderr and not evil[1].exists()


def test_a_module_that_was_imported_before_is_guarded_at_once(monkeypatch):
    import json

    from frozen_det.weights import host_guard

    seen = []
    monkeypatch.setattr(host_guard, "_GUARDS", {"json": seen.append, "not_imported": seen.append})
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if finder is not host_guard._Finder])
    host_guard.install()
    host_guard.install()
    assert seen == [json] and sys.meta_path.count(host_guard._Finder) == 1 and sys.meta_path[0] is host_guard._Finder


# ---- other files ----------------------------------------------------------------------------------------------------


def test_pickles_that_the_host_reads_are_plain_data(tmp_path):
    import mmengine

    value = [{"bboxes": torch.ones(2, 4), "name": "a"}]
    mmengine.dump(value, tmp_path / "good.pkl")
    assert torch.equal(mmengine.load(tmp_path / "good.pkl")[0]["bboxes"], torch.ones(2, 4))
    (tmp_path / "bad.pkl").write_bytes(gadgets(tmp_path / "mark")["exec"])
    with pytest.raises(InputError, match=r"bad.pkl.*asks for `builtins.exec`"):
        mmengine.load(tmp_path / "bad.pkl")
    assert not (tmp_path / "mark").exists()


def test_yaml_that_the_host_reads_makes_plain_values_and_its_own_tuples(tmp_path):
    import mmengine
    from mmengine.config import Config

    Config(dict(a=(1, dict(b=(2,))), c=[1.5, "x"])).dump(str(tmp_path / "good.yaml"))
    assert mmengine.load(tmp_path / "good.yaml") == {"a": (1, {"b": (2,)}), "c": [1.5, "x"]}
    for tag in (
        "python/object/apply:os.system",
        "python/object/new:os.system",
        "python/name:os.system",
        "python/module:os",
        "python/object:os.x",
    ):
        (tmp_path / "bad.yaml").write_text(f"a: !!{tag} ['touch {tmp_path / 'mark'}']\n", encoding="utf-8")
        with pytest.raises(InputError, match=f"line 1 asks for 'tag:yaml.org,2002:{tag}', which could run code"):
            mmengine.load(tmp_path / "bad.yaml")
    assert not (tmp_path / "mark").exists()


def test_the_hierarchy_of_open_images_is_an_array_of_numbers(tmp_path):
    import numpy as np
    from mmdet.datasets.openimages import OpenImagesChallengeDataset

    read = functools.partial(OpenImagesChallengeDataset._get_relation_matrix, types.SimpleNamespace(backend_args=None))
    np.save(tmp_path / "good.npy", np.arange(9).reshape(3, 3))
    assert read(str(tmp_path / "good.npy")).tolist() == [[4, 5], [7, 8]]

    class Runs:
        def __reduce__(self):
            return exec, (f"open({str(tmp_path / 'mark')!r}, 'w').close()",)

    np.save(tmp_path / "bad.npy", np.array([Runs()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="expected an array of numbers in .*bad.npy"):
        read(str(tmp_path / "bad.npy"))
    assert not (tmp_path / "mark").exists()


def test_timm_reads_checkpoints_by_our_loader(tmp_path, monkeypatch):
    import timm

    path = in_zip(gadgets(tmp_path / "mark")["exec"], tmp_path / "bad.pth")
    monkeypatch.setattr(torch.serialization, "_load", None)  # torch's own reader is not asked
    with pytest.raises(InputError, match="asks for `builtins.exec`"):
        timm.create_model("test_resnet", checkpoint_path=str(path))
    assert not (tmp_path / "mark").exists()


def test_an_inferencer_reads_the_config_in_its_weights_as_data(tmp_path):
    """`DetInferencer(weights=...)` alone: the text in the file comes from the file's author."""
    from mmdet.apis import DetInferencer
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import DefaultScope

    from tests.small_hosts import STOCK

    text = STOCK.replace("ROOT", "'nowhere'").replace("CLASSES", "('a', 'b', 'c')")
    with DefaultScope.overwrite_default_scope("mmdet"):
        state = MODELS.build(Config.fromstring(text, ".py").model).state_dict()

    def weights(text):
        torch.save(
            {
                "state_dict": state,
                "meta": {"dataset_meta": {"classes": ("a", "b", "c")}},
                "message_hub": {"runtime_info": {"cfg": text}, "log_scalars": {}, "resumed_keys": {}},
            },
            tmp_path / "a.pth",
        )
        return str(tmp_path / "a.pth")

    recorded = Config.fromstring(text, ".py").pretty_text
    options = dict(device="cpu", show_progress=False, palette="random")
    assert DetInferencer(weights=weights(recorded), **options).cfg.model.type == "RetinaNet"
    mark = repr(str(tmp_path / "mark"))
    with pytest.raises(InputError, match=r"a.pth, assignments of plain values.*Nothing was run"):
        DetInferencer(weights=weights(f"{recorded}\nopen({mark}, 'w').close()"), **options)
    hostile = recorded.replace("dict(type='LoadImageFromFile')", f"dict(type='builtins.open', file={mark}, mode='w')")
    assert hostile != recorded
    with pytest.raises((KeyError, RuntimeError, ValueError, TypeError)):
        DetInferencer(weights=weights(hostile), **options)
    assert not (tmp_path / "mark").exists()


# ---- types in configs that came with a folder ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        "os.system",
        "subprocess.check_output",
        "builtins.exec",
        "mmengine.load",
        "shutil.rmtree",
        "module_of_a_stranger.Thing",
        "module_of_a_stranger",
    ],
)
def test_an_unregistered_type_is_not_a_python_object(tmp_path, monkeypatch, kind):
    from mmdet.registry import DATASETS, MODELS, TASK_UTILS
    from mmengine.fileio import get_text

    from frozen_det.weights.host_guard import registered_types_alone

    (tmp_path / "module_of_a_stranger.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with registered_types_alone():
        for cfg in (
            dict(type=kind, command=f"touch {tmp_path / 'mark'}"),
            dict(type="X", _scope_="module_of_a_stranger"),
        ):
            for registry in (DATASETS, MODELS):
                with pytest.raises((KeyError, RuntimeError)):
                    registry.build(dict(cfg))
        assert DATASETS.get("CocoDataset") is DATASETS.get("mmdet.datasets.coco.CocoDataset") is not None
        assert MODELS.get("frozen_det.FrozenBackbone") is not None and MODELS.get("mmengine.ImgDataPreprocessor")
        with pytest.raises(InputError, match="CameraMotionCompensation, which evaluates its arguments as code"):
            TASK_UTILS.build(dict(type="CameraMotionCompensation", warp_mode=f"open({str(tmp_path / 'mark')!r}, 'w')"))
        memcached = dict(backend="memcached", server_list_cfg="", client_cfg="", sys_path=str(tmp_path))
        for name, options in (("a.txt", memcached), ("http://127.0.0.1:9/a.txt", None)):
            with pytest.raises(InputError, match="Nothing was fetched"):
                get_text(name, backend_args=options)
        assert str(tmp_path) not in sys.path[1:]
    assert not (tmp_path / "mark").exists() and "module_of_a_stranger" not in sys.modules
    assert DATASETS.get("os.system") is not None, "elsewhere the host does as it does"
