"""A result is read as it was written, or computed."""

import multiprocessing

import pytest
import torch

from frozen_det.errors import InputError
from frozen_det.weights.feature_store import FeatureStore, StoredRows, num_bytes

KEY = ("a" * 64, "b" * 64)


def _files(folder):
    return sorted(folder.rglob("*.safetensors"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
def test_what_was_written_is_read(tmp_path, dtype):
    store = FeatureStore(tmp_path)
    tensors = {"a": torch.arange(6).reshape(2, 3).to(dtype), "empty": torch.empty(0, dtype=dtype)}
    assert store.read(KEY) is None
    assert store.write(KEY, tensors)
    found = FeatureStore(tmp_path).read(KEY)
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], one) and found[name].dtype == dtype for name, one in tensors.items())


@pytest.mark.parametrize("fault", ["cut", "flipped", "renamed", "empty"])
def test_a_file_that_is_not_what_it_says_is_removed_and_counted(tmp_path, fault):
    store = FeatureStore(tmp_path)
    store.write(KEY, {"a": torch.arange(100.0)})
    (path,) = _files(tmp_path)
    content, wanted = bytearray(path.read_bytes()), KEY
    if fault == "flipped":
        content[-1] ^= 1
    elif fault == "renamed":
        wanted = (KEY[0], "c" * 64)
        path = path.parent.parent / "cc" / f"{wanted[1]}.safetensors"
        path.parent.mkdir()
    path.write_bytes({"cut": content[:-1], "empty": b""}.get(fault, content))
    assert store.read(wanted) is None
    assert store.num_broken == 1 and not path.exists()
    assert store.write(wanted, {"a": torch.arange(100.0)}) and store.read(wanted) is not None


def test_what_does_not_fit_is_left_out_and_counted(tmp_path):
    FeatureStore(tmp_path / "one").write(KEY, {"a": torch.zeros(60)})
    size = _files(tmp_path)[0].stat().st_size
    store = FeatureStore(tmp_path / "several", 3 * size - 1)
    fits = [store.write(("a" * 64, f"{place:064}"), {"a": torch.zeros(60)}) for place in range(4)]
    assert fits == [True, True, False, False]
    assert (store.num_written, store.num_left_out) == (2, 2)
    assert sum(path.stat().st_size for path in _files(tmp_path / "several")) == 2 * size
    assert FeatureStore(tmp_path / "several", 3 * size - 1).write(("a" * 64, "d" * 64), {"a": torch.zeros(60)}) is False


def _fill(folder, process):
    store = FeatureStore(folder, 20_000)
    for place in range(40):
        store.write((f"{process}" * 64, f"{place:064}"), {"a": torch.zeros(60)})


def test_two_processes_keep_one_limit(tmp_path):
    started = multiprocessing.get_context("spawn")
    processes = [started.Process(target=_fill, args=(tmp_path, number)) for number in range(2)]
    for one in processes:
        one.start()
    for one in processes:
        one.join()
    used = sum(path.stat().st_size for path in _files(tmp_path))
    assert used == int((tmp_path / ".used").read_text())
    assert 20_000 - used < _files(tmp_path)[0].stat().st_size
    assert used <= 20_000


def test_what_a_killed_writer_left_is_removed_and_the_count_made_again(tmp_path):
    store = FeatureStore(tmp_path)
    store.write(KEY, {"a": torch.zeros(60)})
    (path,) = _files(tmp_path)
    path.with_suffix(".partial").write_bytes(b"half")
    (tmp_path / ".used").write_text("")
    FeatureStore(tmp_path)
    assert not path.with_suffix(".partial").exists()
    assert int((tmp_path / ".used").read_text()) == path.stat().st_size


def test_files_of_others_in_the_folder_are_neither_counted_nor_removed(tmp_path):
    for name in ("model.safetensors", "download.partial", "runs/ab/half.partial"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"theirs")
    FeatureStore(tmp_path)
    assert int((tmp_path / ".used").read_text()) == 0
    assert (tmp_path / "download.partial").exists() and (tmp_path / "runs/ab/half.partial").exists()


def test_an_empty_batch_is_computed(tmp_path):
    found = StoredRows(FeatureStore(tmp_path), "f")(torch.empty(0, 3, 8, 8), _Counted())
    assert [one.shape for one in found] == [(0, 8, 8), (0, 3, 8, 8)]


@pytest.mark.parametrize(
    "size, value", [("20GB", 20 * 10**9), ("1.5 mb", 1_500_000), (7, 7), ("2TB", 2 * 10**12), ("64B", 64)]
)
def test_sizes(size, value):
    assert num_bytes(size) == value


@pytest.mark.parametrize("size", ["20GiB", "much", "-1GB", 0, "0GB", True, None, float("inf"), "0.1B"])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(InputError, match="expected a size such as '20GB'"):
        num_bytes(size)


class _Counted:
    """Two maps of a batch, and the number of its images so far."""

    def __init__(self):
        self.images = 0

    def __call__(self, images):
        self.images += len(images)
        return images.mean(1), 2 * images


def test_stored_rows_are_those_computed_in_any_batch(tmp_path):
    images, compute = torch.randn(4, 3, 8, 8), _Counted()
    rows = StoredRows(FeatureStore(tmp_path), "f")
    first = rows(images, compute)
    again = StoredRows(FeatureStore(tmp_path), "f")(images.flip(0)[:3], compute)
    assert compute.images == 4
    assert all(torch.equal(one.flip(0)[:3], two) for one, two in zip(first, again))


@pytest.mark.parametrize("change", ["function", "image", "dtype", "autocast", "input dtype"])
def test_what_a_result_follows_from_is_in_its_key(tmp_path, change):
    images, compute, store = torch.randn(1, 3, 8, 8), _Counted(), FeatureStore(tmp_path)
    StoredRows(store, "f")(images, compute)
    function, dtype = ("g" if change == "function" else "f"), ("bfloat16" if change == "dtype" else "float32")
    given = images + 1e-6 if change == "image" else images.double() if change == "input dtype" else images
    with torch.autocast("cpu", torch.bfloat16, enabled=change == "autocast"):
        StoredRows(store, function, dtype)(given, compute)
    assert compute.images == 2


def test_rounded_results_are_the_same_computed_or_read(tmp_path):
    images, rows = torch.randn(2, 3, 8, 8), StoredRows(FeatureStore(tmp_path), "f", "bfloat16")
    computed, read = rows(images, _Counted()), rows(images, _Counted())
    wanted = tuple(one.bfloat16().float() for one in _Counted()(images))
    for found in (computed, read):
        assert all(torch.equal(one, two) and one.dtype == torch.float32 for one, two in zip(found, wanted))


def test_another_dtype_is_refused(tmp_path):
    with pytest.raises(InputError, match="expected dtype 'float32' or 'bfloat16' of the feature cache, got 'float16'"):
        StoredRows(FeatureStore(tmp_path), "f", "float16")


def test_what_is_read_begins_in_memory_where_what_was_computed_does(tmp_path):
    """Matrix products sum in an order that depends on it; in a safetensors file a tensor begins at 8 bytes."""
    store, key = FeatureStore(tmp_path), ("0" * 64, "1" * 64)
    tensors = {name: torch.rand(size) for name, size in [("a", 1), ("b", 3), ("c", 5), ("d", 64)]}
    store.write(key, tensors)
    found = store.read(key)
    assert all(torch.equal(found[name], one) for name, one in tensors.items())
    assert {name: one.data_ptr() % 64 for name, one in found.items()} == dict.fromkeys(tensors, 0)
