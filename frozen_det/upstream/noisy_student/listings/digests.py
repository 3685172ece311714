"""Digests of what a pool and its labels hold: BLAKE2b of 128 bits, as 32 hex digits."""

import hashlib
from collections.abc import Iterable, Iterator
from itertools import chain, islice


def new_digest():
    """A digest to which bytes are added by ``update``."""
    return hashlib.blake2b(digest_size=16)


def hash_of(content: bytes | str) -> str:
    """Of bytes, or of a text in UTF-8."""
    digest = new_digest()
    digest.update(content.encode() if isinstance(content, str) else content)
    return digest.hexdigest()


def digest_of(lines: Iterable[bytes]) -> str:
    """Of lines, each with its length: what they hold may not move from one to the next."""
    digest = new_digest()
    for line in lines:
        digest.update(len(line).to_bytes(8, "little") + line)
    return digest.hexdigest()


def digests_of(lines: Iterator[bytes], part_size: int) -> Iterator[str]:
    """Of each run of `part_size` lines."""
    for first in lines:
        yield digest_of(chain([first], islice(lines, part_size - 1)))
