"""Text, json and yaml of any tool are read, with or without a byte order mark; what is none is refused by file."""

import gzip
import json
import os

import pytest

from frozen_det.errors import InputError
from frozen_det.text_files import Tagged, read_json, read_lines, read_text, read_yaml


@pytest.fixture
def written(tmp_path):
    def write(content: bytes):
        path = tmp_path / "file"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_json_is_read_in_every_unicode_encoding(written, encoding):
    assert read_json(written('{"name": "café"}'.encode(encoding))) == {"name": "café"}


@pytest.mark.parametrize(
    "content,message",
    [
        (b'{"a": [', "ends or breaks off"),
        (b'{"a": 1}\n{"a": 2}', "ends or breaks off: Extra data"),
        (b"", "ends or breaks off"),
        (gzip.compress(b"{}", mtime=0), "got a gzip archive; unpack it"),
        (b"PK\x03\x04rest", "got a zip archive"),
        (b'{"a": "caf\xe9"}', "ends or breaks off"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deep"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "too deep"),
    ],
)
def test_what_is_no_json_is_refused_by_file(written, content, message):
    path = written(content)
    with pytest.raises(InputError, match=rf"^{path}: expected json, .*{message}"):
        read_json(path)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path):
    with pytest.raises(InputError, match=f"expected a list of classes at {tmp_path}/no, got nothing there"):
        read_json(tmp_path / "no", "a list of classes")
    with pytest.raises(InputError, match=f"{tmp_path}: expected a text file, got a folder, a pipe or a device"):
        read_text(tmp_path)


def test_a_pipe_is_refused_instead_of_waited_on(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="expected a json file, got a folder, a pipe or a device"):
        read_json(tmp_path / "pipe")


def test_lines_come_without_marks_and_blanks_and_keep_their_numbers(written):
    assert read_lines(written(b"\xef\xbb\xbfmy cat \r\n\r\n\tdog\r\n")) == ["my cat", "", "dog"]


@pytest.mark.parametrize("content", ["cat\n".encode("utf-16"), b"caf\xe9\n"])
def test_text_in_another_encoding_is_refused_by_file(written, content):
    path = written(content)
    with pytest.raises(InputError, match=f"{path}: expected text in UTF-8"):
        read_lines(path)


def test_scalars_of_yaml_stay_text(written):
    content = read_yaml(written(b"\xef\xbb\xbfnames: [no, yes, 1.10, 010, null, cat]\nnc: 6\nmore: {0: a, 1: b}\n"))
    assert content == {"names": ["no", "yes", "1.10", "010", "null", "cat"], "nc": "6", "more": {"0": "a", "1": "b"}}


def test_yaml_runs_nothing(written, tmp_path):
    content = read_yaml(written(f"x: !!python/object/apply:os.mkdir [{tmp_path}/made]\nnames: [cat]\n".encode()))
    assert content == {"x": Tagged("tag:yaml.org,2002:python/object/apply:os.mkdir"), "names": ["cat"]}
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "text,message",
    [
        ("names: {0: cat, 0: dog}", "the key '0' twice"),
        ("names: [cat", "expected yaml, got"),
        ("a: *no", "expected yaml"),
        ("[" * 400, "expected yaml"),
    ],
)
def test_broken_yaml_and_keys_that_are_named_twice_are_refused_in_one_line(written, text, message):
    path = written(text.encode())
    with pytest.raises(InputError, match=message) as error:
        read_yaml(path)
    assert str(error.value).startswith(str(path)) and "\n" not in str(error.value)


def test_yaml_that_is_no_mapping_is_empty(written):
    assert read_yaml(written(json.dumps([1, 2]).encode())) == {}
