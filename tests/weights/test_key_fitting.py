"""Two networks in one file: refused with both named, unless they are equal or the user says which one."""

import pytest
import torch
from safetensors.torch import save_file

from frozen_det.errors import InputError
from frozen_det.models import FrozenBackbone
from frozen_det.weights.key_fitting import under_prefix
from frozen_det.weights.key_maps import rename
from frozen_det.weights.loading import load_strictly, read, state_dict_of
from tests.small_nets import Net, assert_equal, behind, state_of

PAIRS = [
    ("encoder_q.", "encoder_k."),
    ("model.", "ema."),
    ("student.backbone.", "teacher.backbone."),
    ("", "ema_model."),
    ("module.online.", "module.target."),
    ("a.b.c.d.", "e.f.g.h."),
]


@pytest.mark.parametrize("pair", PAIRS)
def test_two_networks_that_differ_are_refused_with_both_prefixes(pair):
    state = {**behind(pair[0], state_of(Net())), **behind(pair[1], state_of(Net()))}
    target = Net()
    before = state_of(target)
    with pytest.raises(InputError) as raised:
        load_strictly(target, state, "file.pth")
    assert all(
        f"weights=dict(path='file.pth', prefix={p!r})" in str(raised.value) or f"or prefix={p!r}" in str(raised.value)
        for p in pair
    )
    assert_equal(target, before)


def test_the_same_tensors_under_two_prefixes_are_one_network():
    state = state_of(Net())
    target = Net()
    report = load_strictly(target, {**behind("model.", state), **behind("shadow.", state)}, "file")
    assert_equal(target, state)
    assert len(report.unused) == 9


def test_a_second_network_that_does_not_fill_the_backbone_is_counted_and_left_out():
    state, other = state_of(Net()), state_of(Net(width=6))
    target = Net()
    assert len(load_strictly(target, {**behind("net.", state), **behind("small.", other)}, "file").unused) == 9
    assert_equal(target, state)


def test_two_networks_under_another_librarys_names_are_refused_too():
    timm = pytest.importorskip("timm")
    body = timm.create_model("convnext_atto", num_classes=0, depths=(1, 1, 1, 1), dims=(8, 16, 24, 32))
    foreign = rename(state_of(body), "timm", "mmpretrain", "convnext")[0]
    assert not set(foreign) & set(body.state_dict())
    load_strictly(body, behind("student.", foreign), "file")
    with pytest.raises(InputError, match=r"under the prefixes 'student\.(backbone\.)?' and 'teacher\.(backbone\.)?'"):
        load_strictly(
            body, {**behind("student.", foreign), **behind("teacher.", {k: v + 1 for k, v in foreign.items()})}, "file"
        )


@pytest.mark.parametrize(
    "entries",
    [
        ("model", "model_ema"),
        ("student", "model"),
        ("state_dict", "ema_state_dict"),
        ("net", "net_average"),
        ("teacher", "student"),
    ],
)
def test_two_entries_that_differ_are_refused_with_both_keys(entries):
    with pytest.raises(InputError) as raised:
        state_dict_of({name: {"state_dict": state_of(Net())} for name in entries}, "file.pth")
    assert all(f"key={name!r}" in str(raised.value) for name in entries)


def test_two_equal_entries_are_one_network_and_small_entries_are_none():
    state = state_of(Net())
    found = state_dict_of({"model": state, "ema": behind("module.", state), "loss": {"centre": torch.ones(4)}}, "file")
    assert set(found) == set(state)


def test_mmengines_averaged_weights_are_those_that_were_evaluated():
    state = state_of(Net())
    found = state_dict_of(
        {
            "meta": {"mmengine_version": "0.10"},
            "state_dict": state,
            "ema_state_dict": behind("module.", state_of(Net())),
        },
        "file",
    )
    assert torch.equal(found["stem.weight"], state["stem.weight"])


@pytest.mark.parametrize("meta", [None, {}, {"epoch": 3}, {"lean": {}}])
def test_the_same_entries_of_another_project_are_refused(meta):
    """There `ema_state_dict` is the average."""
    with pytest.raises(InputError, match="key='state_dict'.* or key='ema_state_dict'"):
        state_dict_of({"meta": meta, "state_dict": state_of(Net()), "ema_state_dict": state_of(Net())}, "file")


@pytest.mark.parametrize("prefix", ["ema.", "ema"])
def test_a_prefix_takes_the_names_behind_it(prefix):
    plain, average = state_of(Net()), state_of(Net())
    found = under_prefix({**plain, **behind("ema.", average)}, prefix, "file")
    assert set(found) == set(average) and found["stem.bias"] is average["stem.bias"]


def test_the_empty_prefix_takes_the_names_that_stand_without_one():
    plain = state_of(Net())
    found = under_prefix({**behind("ema.", state_of(Net())), **plain}, "", "file")
    assert set(found) == set(plain) and found["stem.bias"] is plain["stem.bias"]


def test_names_of_a_block_that_the_stem_has_too_are_no_copy():
    timm = pytest.importorskip("timm")
    plain = timm.create_model("test_resnet").state_dict()
    assert {"bn1.weight", "layer1.0.bn1.weight"} <= set(plain)
    for state in (plain, {**behind("q.", plain), **plain, **behind("k.", plain), **behind("m.", plain)}):
        assert set(under_prefix(state, "", "file")) == set(plain)


def test_a_prefix_that_no_name_has_is_refused_with_the_nearest():
    with pytest.raises(InputError, match=r"start with 'encoder_p\.' .*did you mean 'encoder_q\.'"):
        under_prefix(behind("encoder_q.", state_of(Net())), "encoder_p", "file")


@pytest.fixture(scope="module")
def momentum_contrast(tmp_path_factory):
    """A file as momentum contrast writes it, and its query network."""
    timm = pytest.importorskip("timm")
    path = tmp_path_factory.mktemp("weights") / "both.safetensors"
    query = {k: v.contiguous() for k, v in timm.create_model("test_resnet", num_classes=5).state_dict().items()}
    save_file({**behind("encoder_q.", query), **behind("encoder_k.", {k: v + 1 for k, v in query.items()})}, str(path))
    return path, query


def test_a_backbone_takes_the_network_that_the_prefix_names(momentum_contrast):
    path, query = momentum_contrast
    body = dict(type="timm", name="test_resnet")
    with pytest.raises(InputError, match=r"'encoder_k\.' and 'encoder_q\.'|'encoder_q\.' and 'encoder_k\.'"):
        FrozenBackbone(body, str(path)).init_weights()
    backbone = FrozenBackbone(body, dict(path=str(path), prefix="encoder_q"))
    backbone.init_weights()
    assert all(torch.equal(value, query[name]) for name, value in backbone.body.state_dict().items())
    assert backbone.describe_weights().source == "both.safetensors"


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (dict(path="a.pth", prefx="b"), "did you mean 'prefix'"),
        (dict(key="a"), "path must be there"),
        (dict(path="a.pth", key=3), "with texts"),
        (3, "expected model.backbone.weights as one of"),
        (dict(path="timm", prefix="a"), "expected a file in model.backbone.weights.path"),
    ],
)
def test_what_weights_do_not_take_is_one_error(weights, message):
    with pytest.raises(InputError, match=message):
        FrozenBackbone(dict(type="timm", name="test_resnet"), weights).init_weights()


@pytest.mark.parametrize(("key", "found"), [("models.ema", "b"), ("a.b", "a"), ("models", None)])
def test_a_key_may_be_a_path_of_keys(key, found):
    states = {"a": state_of(Net()), "b": state_of(Net())}
    checkpoint = {"models": {"ema": states["b"]}, "a.b": states["a"]}
    if found is None:
        with pytest.raises(InputError, match="key='ema'"):
            state_dict_of(checkpoint, "file", key)
    else:
        assert torch.equal(state_dict_of(checkpoint, "file", key)["stem.weight"], states[found]["stem.weight"])


def test_a_key_of_something_else_than_tensors_is_refused():
    with pytest.raises(InputError, match="expected tensors under the entry 'epoch'"):
        state_dict_of({"model": state_of(Net()), "epoch": 3}, "file", "epoch")


def test_the_file_as_it_was_read_is_not_changed(momentum_contrast):
    assert len(state_dict_of(read(momentum_contrast[0]), "file")) == 2 * len(momentum_contrast[1])
