"""Files that are no weights are named for what they are; weights are read whatever their name ends in."""

import json

import pytest
import torch
from safetensors.torch import save_file

from frozen_det.errors import InputError
from frozen_det.models.backbone_sources.weights import weights_file
from frozen_det.weights.card import read_card
from frozen_det.weights.loading import read, state_dict_of
from tests.small_nets import Net, state_of

KINDS = [
    (b"", "is empty"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "git lfs pull"),
    (b"<!DOCTYPE html><html>404</html>", "is a web page"),
    (b"\n<html><head>", "is a web page"),
    (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is a web page"),
    (json.dumps({"weight_map": {"a": "1.bin", "b": "2.bin"}}).encode(), "is the index of weights in 2 parts"),
    (b'{"message": "Not found"}', "is a JSON text"),
    (b"\0" * 5000, "is nothing but zero bytes"),
    (b"\x89HDF\r\n\x1a\n", "Keras"),
    (b"GGUF\3\0\0\0", "GGUF"),
    (b"\x1f\x8b\x08", "unpack it first"),
    (b"\x93NUMPY\1\0", "a numpy array"),
]


@pytest.mark.parametrize(("content", "message"), KINDS)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".bin"])
@pytest.mark.parametrize("reader", [read, read_card])
def test_a_file_that_is_no_weights_is_named_for_what_it_is(tmp_path, content, message, suffix, reader):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        reader(path)
    assert message in str(raised.value) and str(path) in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".bin", ""])
@pytest.mark.parametrize("form", ["torch", "safetensors"])
def test_the_content_decides_how_weights_are_read(tmp_path, suffix, form):
    state = state_of(Net())
    path = tmp_path / f"model{suffix}"
    torch.save(state, path) if form == "torch" else save_file(state, str(path))
    found = state_dict_of(read(path), str(path))
    assert found.keys() == state.keys() and all(torch.equal(found[name], state[name]) for name in state)
    assert read_card(path) is None


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ({"optimizer": {"state": {}, "param_groups": []}, "epoch": 1}, "state of an optimiser"),
        ({"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}, "state of an optimiser"),
        ({"params_ema": {"a": torch.ones(2)}}, "key='params_ema'"),
    ],
)
def test_a_file_without_a_model_says_what_it_holds(content, hint):
    with pytest.raises(InputError, match=hint):
        state_dict_of(content, "file")


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (["model.safetensors"], "It holds model.safetensors: give that file"),
        (["adapter_config.json", "adapter_model.safetensors"], "merge_and_unload"),
        ([], "Train first"),
    ],
)
def test_a_folder_without_a_checkpoint_says_what_it_holds(tmp_path, names, hint):
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match=hint):
        weights_file(str(tmp_path))
