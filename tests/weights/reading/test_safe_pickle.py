"""Pickles as plain data: gadgets of every kind are refused by name; no operation reaches beyond plain containers."""

import io
import pickle
from collections import Counter, OrderedDict, defaultdict, deque

import pytest

from frozen_det.errors import InputError
from frozen_det.weights.reading.tensor_files import load, unpickle
from tests.gadgets import FORMS, KINDS, call, gadgets, name, text, whole


def read(data: bytes):
    return unpickle(io.BytesIO(data), "the file")


# ---- code ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_gadget_runs_under_an_ordinary_unpickler(tmp_path, kind, capsys):
    try:
        pickle.loads(gadgets(tmp_path / "mark")[kind])
    except RuntimeError:
        assert kind == "torch.storage"  # torch complains after it has run what was inside
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_gadget_runs_in_any_form_of_file_and_the_refusal_is_one_line(tmp_path, kind, form):
    path = FORMS[form](gadgets(tmp_path / "mark")[kind], tmp_path / "bad.pth")
    with pytest.raises(InputError) as raised:
        load(path)
    assert not (tmp_path / "mark").exists()
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)
    assert "Nothing was run" in str(raised.value) or form == "two pickles"


def test_getattr_gives_an_inert_value_that_cannot_be_called():
    got = read(whole(call("builtins", "getattr", name("builtins", "dict"), text("fromkeys"))))
    assert repr(got) == "<inert builtins.getattr>"
    with pytest.raises(InputError, match="a call of something that is no name"):
        read(whole(call("builtins", "getattr", name("builtins", "dict"), text("fromkeys")) + b")R"))


def test_classes_of_the_host_are_inert_and_its_functions_are_refused():
    buffer = read(whole(call("mmengine.logging.history_buffer", "HistoryBuffer") + b"}" + text("a") + b"K\x01sb"))
    assert buffer.origin == "mmengine.logging.history_buffer.HistoryBuffer" and buffer.state == {"a": 1}
    with pytest.raises(InputError, match="asks for `mmengine.fileio.load`"):
        read(whole(call("mmengine.fileio", "load", text("x.pkl"))))
    with pytest.raises(InputError, match="asks for `mmengine.config.Config.fromfile`"):
        read(whole(call("mmengine.config", "Config.fromfile", text("x.py")), protocol=4))


def test_a_name_with_line_ends_stays_on_the_one_line():
    data = b"\x80\x04" + text("os\nfrozen-det: all is well\x1b[2K") + text("system") + b"\x93."
    with pytest.raises(InputError) as raised:
        read(data)
    assert r"os\nfrozen-det: all is well\x1b[2K.system" in str(raised.value) and "\n" not in str(raised.value)


# ---- operations on what is no plain container ------------------------------------------------------------------------

TENSOR = call("torch._utils", "_rebuild_tensor_v2", b"N", b"K\x00", b")", b")", b"\x89", b"N")


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        (
            name("collections", "Counter") + b"N}" + text("update") + b"K\x01s\x86b",
            "a state for an object of type Name",
        ),
        (name("torch", "Tensor") + b"N}" + text("__add__") + b"K\x01s\x86b", "a state for an object of type Name"),
        (name("torch._utils", "_rebuild_tensor_v2") + b"}" + text("__defaults__") + b"Nsb", "an object of type Name"),
        (b"]}b", "a state for an object of type list"),
        (b"}}b", "a state for an object of type dict"),
        (call("torch", "Size") + b"K\x01K\x02s", "an item for an object of type Size"),
        (call("torch", "Size") + b"K\x01a", "an item for an object of type Size"),
        (name("torch", "float32") + b"K\x01K\x02s", "an item for an object of type dtype"),
        (name("numpy", "float32") + b"N}" + text("x") + b"K\x01s\x86b", "a state for an object of type type"),
        (b"K\x01K\x02K\x03s", "an item for an object of type int"),
        (TENSOR, "a tensor without a storage of its own"),
        (call("torch", "Tensor", b"K\x05"), "torch.Tensor with arguments"),
        (text("x") + b"Q", "a persistent id other than a storage's"),
        (b"\x82\x01", "the pickle operation EXT1"),
        (b"Px\n", "the pickle operation PERSID"),
    ],
)
def test_states_and_items_are_for_plain_containers_alone(body, asked):
    with pytest.raises(InputError, match=asked):
        read(whole(body))


def test_a_state_dict_keeps_its_versions_and_no_attribute_that_would_hide_a_method():
    state = OrderedDict(a=1)
    state._metadata, state.keys = OrderedDict({"": {"version": 2}}), 5
    got = read(pickle.dumps(state, protocol=2))
    assert got == {"a": 1} and got._metadata == {"": {"version": 2}} and "keys" not in vars(got)


# ---- memory and time -------------------------------------------------------------------------------------------------

BIG = b"\x8a\x08" + (10**15).to_bytes(8, "little")


@pytest.mark.parametrize(
    "body",
    [
        call("builtins", "bytearray", BIG),
        call("builtins", "bytes", BIG),
        call("builtins", "list", BIG),
        call("builtins", "list", call("builtins", "range", BIG)),
        call("builtins", "tuple", call("builtins", "range", BIG)),
        call("builtins", "str", b"]"),
        call("collections", "deque", call("builtins", "range", BIG)),
        call("numpy", "ndarray", b"(" + BIG + b"t"),
        call("numpy", "void", BIG),
        call("numpy", "dtype", text("V9")),
        call("_codecs", "encode", text("x"), text("zip")),
        call("collections", "defaultdict", name("torch", "Tensor")),
        call("numpy.core.multiarray", "_reconstruct", name("numpy", "matrix"), b"K\x00\x85", text("b")),
        call("numpy.core.multiarray", "_frombuffer", text("x"), text("f4"), b"K\x01\x85", text("C")),
    ],
    ids=repr,
)
def test_a_few_bytes_cannot_ask_for_much(body):
    with pytest.raises(InputError):
        read(whole(body))


@pytest.mark.parametrize(
    "data",
    [
        *(
            b"\x80\x05" + operation + (1 << 40).to_bytes(8, "little") + b"x."
            for operation in (b"\x96", b"\x8e", b"\x95")
        ),
        b"\x80\x02r\xff\xff\xff\x7f.",
        b"",
        b"\x80\x02",
        b"\x80\x02K",
        b"\x80\x02R.",
        b"\x80\x02h\x07.",
        b"\x80\xff.",
    ],
)
def test_a_pickle_that_lies_about_its_length_or_ends_early_is_broken(data):
    with pytest.raises(InputError):
        read(data)


def test_depth_is_bounded():
    assert read(whole(b")" + b"\x85" * 3)) == ((((),),),)
    for levels in (300, 100_000):
        with pytest.raises(InputError, match="levels deep"):
            read(whole(b")" + b"\x85" * levels))


def test_the_hash_of_a_deep_key_is_never_computed():
    with pytest.raises(InputError, match="a key of type tuple"):
        read(whole(b"})" + b"\x85" * 100_000 + b"Ns"))


def test_a_circle_and_a_list_of_itself_over_and_over_are_refused():
    with pytest.raises(InputError, match="in a circle"):
        read(whole(b"]q\x00h\x00a"))
    laughs = (
        b"]" + b"K\x01a" * 10 + b"".join(b"q%c](" % n + b"h%c" % n * 10 + b"e" for n in range(9))
    )  # 10 ** 10 numbers in 300 bytes
    with pytest.raises(InputError, match="more than 50,000,000 items"):
        read(whole(laughs))


# ---- plain data ------------------------------------------------------------------------------------------------------

PLAIN = [
    None,
    True,
    -5,
    2**70,
    1.5,
    "é\n",
    b"\x00\xff",
    bytearray(b"x"),
    1 + 2j,
    (1, (2,)),
    [1, [2]],
    {"a": {1: 2}},
    {1, 2},
    frozenset({3}),
    slice(1, None),
    range(3),
    OrderedDict(a=1),
    Counter("aab"),
    defaultdict(list, {1: [2]}),
    deque([1, 2], 5),
    {(1, ("a", None)): 1},
]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_plain_values_are_what_the_standard_library_gives(value, protocol):
    got = read(pickle.dumps([value, value], protocol=protocol))
    assert got == [value, value] and type(got[0]) is type(value)
    assert getattr(got[0], "default_factory", 0) == getattr(value, "default_factory", 0)
