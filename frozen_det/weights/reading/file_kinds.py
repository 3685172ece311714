"""What a file is by its first bytes, whatever its name says; files that can be no weights are refused with their kind.

Downloads that went wrong (an error page, a Git LFS pointer, nothing at all) and files of other programs have the
names of weights; torch and safetensors call all of them broken.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import InputError

_HEAD = 4096

_FOREIGN = (
    (b"\x89HDF", "an HDF5 file (Keras)", "convert it with its own library and save a state_dict"),
    (b"GGUF", "a GGUF file (llama.cpp)", "give the original weights, which are not quantised"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it first"),
    (b"Rar!", "a RAR archive", "unpack it first"),
    (b"BZh", "a bzip2 archive", "unpack it first"),
    (b"\xfd7zXZ", "an xz archive", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", "unpack it first"),
    (b"\x93NUMPY", "a numpy array", "save a dictionary of named tensors with torch.save or safetensors"),
    (b"\x89PNG", "a picture", "give the file of the weights"),
    (b"\xff\xd8\xff", "a picture", "give the file of the weights"),
    (b"%PDF", "a PDF document", "give the file of the weights"),
)


def refuse_other_files(path: Path) -> None:
    """Refuse a file that cannot hold weights.

    Args:
        path: an existing file.

    Raises:
        InputError: with what the file is and what to do.
    """
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    foreign = [(kind, remedy) for start, kind, remedy in _FOREIGN if head.startswith(start)]
    for what, remedy in (_text_kind(head, path), *foreign):
        if what:
            raise InputError(f"expected a weights file, but {path} is {what} ({path.stat().st_size} bytes): {remedy}.")


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as safetensors files do: eight bytes of length, then a JSON header."""
    with open(path, "rb") as file:
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and 2 <= int.from_bytes(head[:8], "little") < 2**27


@contextmanager
def open_safetensors(path: Path, device: str = "cpu") -> Iterator:
    """An open safetensors file; what its reader cannot make sense of is one error.

    Raises:
        InputError: broken, incomplete, or with numbers that this torch does not know.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt", device=device) as file:
            yield file
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"expected a whole safetensors file, but {path} is broken or incomplete ({error}; "
            f"{path.stat().st_size} bytes). Copy or download it again."
        ) from error


def _text_kind(head: bytes, path: Path) -> tuple[str, str]:
    """(what a text file is, what to do); empty texts for anything else."""
    if not head:
        return "empty", "a download or a copy ended before it began; get it again"
    text = head.lstrip(b"\xef\xbb\xbf").lstrip()
    start = text[:200].lower()
    if start.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer", "the repository was cloned without its large files; run `git lfs pull` there"
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml", b"<error")):
        return "a web page", "the server sent a page instead of the file (a login, an error); download it again"
    if not head.strip(b"\0"):
        return "nothing but zero bytes", "a download was set aside space and never filled; get it again"
    if text[:1] in (b"{", b"[") and path.suffix.lower() in (".json", "") or start.startswith((b'{"', b"{\n", b"{\r\n")):
        return _json_kind(path)
    return "", ""


def _json_kind(path: Path) -> tuple[str, str]:
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig")) if path.stat().st_size < 2**26 else None
    except (ValueError, OSError):
        return "a JSON text", "give the file of the weights"
    if isinstance(content, dict) and "weight_map" in content:
        names = sorted(set(map(str, content["weight_map"].values()))) if isinstance(content["weight_map"], dict) else []
        return (
            f"the index of weights in {len(names)} parts",
            "join them into one file first (transformers: model.save_pretrained(FOLDER, max_shard_size='100GB'))",
        )
    return "a JSON text", "give the file of the weights, which is next to it"
