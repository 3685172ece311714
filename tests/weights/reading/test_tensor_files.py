"""Files of torch.save: read as torch reads them, without torch's reader; no view reaches beyond its storage."""

import argparse
import io
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from frozen_det.errors import InputError
from frozen_det.weights.reading.tensor_files import load, unpickle
from tests.gadgets import call, in_stream, in_zip, name, text, whole

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
BASE = torch.arange(100.0).reshape(10, 10)
TENSORS = {
    "plain": BASE,
    "a view": BASE[2:5, ::2],
    "transposed": BASE.t(),
    "empty": torch.zeros(0, 4),
    "one": torch.tensor(3.5),
    "expanded": torch.ones(1).expand(7),
    "parameter": nn.Parameter(torch.ones(3)),
    "flags": torch.tensor([True, False]),
    **{
        str(dtype): torch.arange(5).to(dtype)
        for dtype in (
            torch.float64,
            torch.float16,
            torch.bfloat16,
            torch.int64,
            torch.int32,
            torch.int16,
            torch.int8,
            torch.uint8,
            torch.complex64,
            torch.complex128,
            torch.float8_e4m3fn,
        )
    },
}
ARRAYS = [
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6).reshape(2, 3)),
    np.arange(3, dtype=">i4"),
    np.array(["a", "bcd"]),
    np.array([b"x"]),
    np.zeros((0, 2)),
    np.array(1.5),
    np.float32(1.5),
    np.bool_(True),
    np.str_("hé"),
    np.int64(-3),
    np.array([1j]),
    np.dtype("f4"),
    np.float32,
]


def saved(value, path, **options):
    torch.save(value, path, **options)
    return path


def bits(tensor):
    return tensor.detach().contiguous().flatten().view(torch.uint8)


# ---- as torch reads them ---------------------------------------------------------------------------------------------


@FORMATS
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_tensors_come_back_bit_for_bit_with_their_strides_and_what_they_share(tmp_path, zipped, protocol):
    path = saved(TENSORS, tmp_path / "a.pth", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped)
    got = load(path)
    assert list(got) == list(TENSORS)
    for key, wanted in TENSORS.items():
        assert (type(got[key]), got[key].dtype, got[key].shape, got[key].stride(), got[key].requires_grad) == (
            type(wanted),
            wanted.dtype,
            wanted.shape,
            wanted.stride(),
            wanted.requires_grad,
        ), key
        assert torch.equal(bits(got[key]), bits(wanted)), key
    got["plain"][2, 0] = -1
    assert got["a view"][0, 0] == -1 and got["transposed"][0, 2] == -1


@FORMATS
@pytest.mark.parametrize("protocol", [2, 5])
@pytest.mark.parametrize("value", ARRAYS, ids=repr)
def test_numpy_values_are_what_the_standard_library_gives(tmp_path, zipped, protocol, value):
    got = load(saved(value, tmp_path / "a.pth", pickle_protocol=protocol, _use_new_zipfile_serialization=zipped))
    wanted = pickle.loads(pickle.dumps(value, protocol=protocol))
    assert type(got) is type(wanted)
    if isinstance(value, np.ndarray):
        assert got.dtype == wanted.dtype and got.flags.f_contiguous == wanted.flags.f_contiguous
    assert np.array_equal(got, wanted) if isinstance(value, np.ndarray) else got == wanted


def test_a_state_dict_comes_back_with_its_versions_and_an_optimiser_with_its_moments(tmp_path):
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    adam = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.randn(2, 3, 4, 4)).sum().backward()
    adam.step()
    got = load(saved({"model": model.state_dict(), "optimizer": adam.state_dict()}, tmp_path / "a.pth"))
    assert type(got["model"]) is OrderedDict and got["model"]._metadata == model.state_dict()._metadata
    other = torch.optim.AdamW(model.parameters(), lr=0.2)
    other.load_state_dict(got["optimizer"])
    first, second = adam.state_dict(), other.state_dict()
    assert first["param_groups"] == second["param_groups"]
    assert all(
        torch.equal(moment, second["state"][place][key])
        for place, moments in first["state"].items()
        for key, moment in moments.items()
    )


@pytest.mark.parametrize("protocol", [2, 5])
def test_a_plain_pickle_of_tensors_is_read_too(protocol):
    value = [{"scores": torch.rand(3, 2), "labels": torch.arange(3)}, np.arange(3)]
    got = unpickle(io.BytesIO(pickle.dumps(value, protocol=protocol)), "results.pkl")
    assert torch.equal(got[0]["scores"], value[0]["scores"]) and torch.equal(got[0]["labels"], torch.arange(3))
    assert got[1].tolist() == [0, 1, 2]


@pytest.mark.parametrize("where", ["meta", torch.device("meta"), {"cpu": "meta"}, lambda storage, location: None, None])
@FORMATS
def test_map_location_is_as_in_torch_load(tmp_path, where, zipped):
    path = saved({"w": torch.ones(3)}, tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    assert load(path, where)["w"].device == torch.load(path, where, weights_only=True)["w"].device


def test_no_reader_of_torch_is_called_on_any_version(tmp_path, monkeypatch):
    def exploited(*_, **__):
        raise AssertionError("a reader with known holes was asked")

    paths = [
        saved(
            {"w": torch.ones(2), "args": argparse.Namespace(a=1)},
            tmp_path / f"{zipped}.pth",
            _use_new_zipfile_serialization=zipped,
        )
        for zipped in (True, False)
    ]
    torch.jit.save(torch.jit.script(nn.Linear(1, 1)), str(tmp_path / "script.pth"))
    for holder, attribute in (
        (torch, "load"),
        (torch.serialization, "load"),
        (torch.serialization, "_load"),
        (torch.serialization, "_legacy_load"),
        (torch.jit, "load"),
        (torch._C, "PyTorchFileReader"),
        (torch._weights_only_unpickler, "Unpickler"),
    ):
        monkeypatch.setattr(holder, attribute, exploited)
    monkeypatch.setattr(torch, "__version__", "2.5.1")
    assert all(torch.equal(load(path)["w"], torch.ones(2)) for path in paths)
    with pytest.raises(InputError, match="a TorchScript program: reading one runs it. Nothing was run"):
        load(tmp_path / "script.pth")


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: torch.eye(3).to_sparse(), r"a sparse tensor: call \.to_dense\(\)"),
        (
            lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
            r"a quantised tensor: call \.dequantize",
        ),
        (lambda: torch.zeros(2, device="meta"), "a tensor without numbers"),
        (lambda: np.array([{}], dtype=object), "a numpy dtype 'O8' other than plain numbers"),
        (lambda: np.zeros(2, dtype=[("a", "i4")]), "a numpy dtype 'V4' other than plain numbers"),
    ],
)
def test_values_that_are_not_plain_are_refused_with_the_remedy(tmp_path, make, said):
    with pytest.raises(InputError, match=said) as raised:
        load(saved({"w": make()}, tmp_path / "a.pth"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (pickle.dumps({"w": [1]}), "is a pickle of something else"),
        (b"some text", "is broken or incomplete"),
        (b"", "is broken or incomplete"),
    ],
)
def test_what_torch_save_did_not_write_is_refused(tmp_path, content, said):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(InputError, match=said):
        load(tmp_path / "a.pth")


def npz(path):
    np.savez(path, a=np.array([{}], dtype=object))
    return path.with_suffix(".npz")


def test_an_npz_file_is_no_archive_of_torch(tmp_path):
    with pytest.raises(InputError, match="is another zip archive, without a data.pkl"):
        load(npz(tmp_path / "a"))


@pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
def test_a_flipped_byte_of_the_numbers_is_found(tmp_path, at):
    path = saved({"w": torch.randn(1000)}, tmp_path / "a.pth")
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("a/data/0").header_offset + 100
    content = bytearray(path.read_bytes())
    content[start + int(3800 * at)] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="the bytes of a/data/0 are not those that were written"):
        load(path)


def test_a_file_that_was_written_without_sums_is_read(tmp_path):
    if not hasattr(torch.serialization, "set_crc32_options"):
        pytest.skip("this torch always writes sums")
    torch.serialization.set_crc32_options(False)
    try:
        path = saved({"w": torch.arange(9.0)}, tmp_path / "a.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(load(path)["w"], torch.arange(9.0))


# ---- tensors that lie -----------------------------------------------------------------------------------------------


def tensor(numel: int, offset: int, size: tuple, stride: tuple, kind: str = "FloatStorage", key: str = "0") -> bytes:
    """The pickle of one tensor whose numbers, sizes and strides are as given."""

    def numbers(values):
        return b"(" + b"".join(number(value) for value in values) + b"t"

    storage = b"(" + text("storage") + name("torch", kind) + text(key) + text("cpu") + number(numel) + b"tQ"
    return whole(
        call(
            "torch._utils",
            "_rebuild_tensor_v2",
            storage,
            number(offset),
            numbers(size),
            numbers(stride),
            b"\x89",
            call("collections", "OrderedDict"),
        )
    )


def number(value: int) -> bytes:
    data = value.to_bytes(20, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


FOUR = np.arange(4, dtype="f4").tobytes()


def test_the_tensor_of_these_tests_is_read_where_it_is_true(tmp_path):
    got = load(in_zip(tensor(4, 1, (3,), (1,)), tmp_path / "a.pth", **{"data/0": FOUR}))
    assert got.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "lie",
    [
        (5, 0, (4,), (1,)),
        (3, 0, (3,), (1,)),
        (10**12, 0, (10**12,), (1,)),
        (-4, 0, (4,), (1,)),
        (4, 0, (5,), (1,)),
        (4, 1, (4,), (1,)),
        (4, 0, (2,), (4,)),
        (4, 0, (2,), (2**63,)),
        (4, 0, (2**64,), (0,)),
        (4, 0, (10**10,), (0,)),
        (4, -1, (2,), (1,)),
        (4, 0, (2,), (-1,)),
        (4, 0, (-2,), (1,)),
        (4, 0, (2, 2), (1,)),
        (4, 2**62, (1,), (1,)),
        (4, 0, (4,), (1,), "DoubleStorage"),
        (4, 0, (4,), (1,), "NoStorage"),
        (4, 0, (4,), (1,), "FloatStorage", "9"),
        (4, 0, (4,), (1,), "FloatStorage", "../data.pkl"),
    ],
    ids=repr,
)
def test_a_view_beyond_its_numbers_and_a_count_that_is_not_theirs_are_refused(tmp_path, lie):
    with pytest.raises(InputError, match="numbers|NoStorage"):
        load(in_zip(tensor(*lie), tmp_path / "a.pth", **{"data/0": FOUR}))


@pytest.mark.parametrize("numel", [10**12, 1000])
def test_a_stream_cannot_ask_for_more_numbers_than_it_holds(tmp_path, numel):
    with pytest.raises(InputError, match="more than the file holds"):
        load(in_stream(tensor(numel, 0, (1,), (1,)).replace(b"tQ", b"NtQ"), tmp_path / "a.pth"))


def entries(path, *names_and_contents, pack=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", pack) as archive:
        for entry, content in names_and_contents:
            archive.writestr(entry, content)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_archives_that_lie_are_refused(tmp_path):
    good = tensor(4, 0, (4,), (1,))
    packed = load(entries(tmp_path / "z.pth", ("x/data.pkl", good), ("x/data/0", FOUR), pack=zipfile.ZIP_DEFLATED))
    assert packed.tolist() == [0, 1, 2, 3], "packed again by hand, it is still one"
    for said, content in {
        "two entries of one name": [("x/data.pkl", good), ("x/data.pkl", whole(b"N")), ("x/data/0", FOUR)],
        "another zip archive": [("data.pkl", good), ("data/0", FOUR)],
        "without a data.pkl of its own": [("x/data.pkl", good), ("y/data.pkl", good), ("x/data/0", FOUR)],
        "the byte order 'big'": [("x/data.pkl", good), ("x/data/0", FOUR), ("x/byteorder", "big")],
    }.items():
        with pytest.raises(InputError, match=said):
            load(entries(tmp_path / "a.pth", *content))
    bomb = [("x/data.pkl", tensor(2**24, 0, (1,), (1,))), ("x/data/0", bytes(2**26))]
    with pytest.raises(InputError, match="unpacks to more than 100 times its size"):
        load(entries(tmp_path / "b.pth", *bomb, pack=zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize(
    "state",
    [
        (1, (10**12,), "f4", False, b"1234"),
        (1, (3,), "f8", False, b"1234"),
        (1, (-1,), "f4", False, b""),
        (1, (1,), "f4", False, [1]),
        ((1,), "f4", False, b"1234"),
        (1, [1], "f4", False, b"1234"),
        (1, (1,), None, False, b""),
    ],
    ids=repr,
)
def test_an_array_whose_bytes_are_not_those_of_its_shape_is_refused(state):
    class Lies:
        def __reduce__(self):
            dtype = [np.dtype(part) if part in ("f4", "f8") else part for part in state]
            return np.zeros(1).__reduce__()[0], (np.ndarray, (0,), b"b"), tuple(dtype)

    with pytest.raises(InputError, match="of a numpy array|a numpy array (of|without)"):
        unpickle(io.BytesIO(pickle.dumps(Lies(), protocol=2)), "the file")


def test_a_dtype_cannot_say_that_bytes_are_pointers():
    class Lies:
        def __reduce__(self):
            return np.dtype, ("f8", False, True), (3, "<", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 27)

    with pytest.raises(InputError, match="a numpy dtype"):
        unpickle(io.BytesIO(pickle.dumps(Lies(), protocol=2)), "the file")
