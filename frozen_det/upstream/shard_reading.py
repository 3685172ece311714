"""Shards read nearly in sequence: the order of a pass, known at any place without a list of all; files at places.

Nothing here grows with the number of samples: an order holds a number for each shard and one window of samples, and few
shards are open at a time.
"""

import os
import tarfile
from collections import OrderedDict

import numpy as np

BLOCK = 64
_MAX_OPEN = 256
_AHEAD, _REQUEST = 16 << 20, 128 << 10


class ShardOrder:
    """The samples of shards, numbered through, in the order of one pass.

    Shards are shuffled and taken `window` at a time. Each is read in blocks of :data:`BLOCK` samples, one after the
    other, shuffled within; those of a window come in turns, so about ``window * BLOCK`` neighbours are mixed. With
    shards of equal size a window's places p, p + window, ... are of one shard: processes that take places in turn read
    shards of their own where `window` is a multiple of their number.

    Args:
        sizes: (S,) samples of each shard.
        window: Shards that are read at a time.
        seed: Of the pass, in [0, 2**64).
    """

    def __init__(self, sizes, window: int, seed: int) -> None:
        self.window, self.seed = window, seed
        self._sizes = np.asarray(sizes, np.int64)
        self._firsts = np.cumsum(self._sizes) - self._sizes
        self._shards = np.random.default_rng(seed).permutation(len(self._sizes))
        ends = np.cumsum(self._sizes[self._shards])
        self._ends = np.append(ends[window - 1 : -1 : window], ends[-1:])  # of the windows
        self._number, self._samples = -1, np.empty(0, np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, place: int) -> int:
        """Number of the sample at a place, 0..len - 1."""
        number = int(np.searchsorted(self._ends, place, "right"))
        if number != self._number:
            self._number, self._samples = number, self._mixed(number)
        return int(self._samples[place - self._ends[number]])  # from the end of the window

    def _mixed(self, number: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, number])
        samples, shares = [], []
        for shard in self._shards[number * self.window : (number + 1) * self.window]:
            places = np.arange(self._sizes[shard])
            samples.append(self._firsts[shard] + np.argsort(places // BLOCK + rng.random(len(places))))
            shares.append((places + 0.5) / len(places))
        return np.concatenate(samples)[np.argsort(np.concatenate(shares), kind="stable")]


class Header(tarfile.TarInfo):
    """``tarinfo`` for :func:`tarfile.open`: a shard goes on to its mark of the end.

    By itself the library takes a damaged header, half a header and the end of the file for that mark: the images after
    it would be missing without a word.

    Raises:
        tarfile.ReadError: There is neither a header nor the mark.
    """

    @classmethod
    def frombuf(cls, buf, encoding, errors):
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.EOFHeaderError:
            raise
        except tarfile.HeaderError as error:
            what = {tarfile.EmptyHeaderError: "the mark of its end is missing"}.get(type(error), f"{error}")
            raise tarfile.ReadError(what) from error


def link_fault(member: tarfile.TarInfo) -> str:
    """Why a member is no file, and what to do; empty if it is one, or a folder."""
    if member.isfile() or member.isdir():
        return ""
    kind = f"a link to {member.linkname}" if member.issym() or member.islnk() else "a device"
    return f"{kind}, not a file: write the shard with the files themselves (tar --dereference --hard-dereference)"


class OpenShards:
    """Bytes at places of files, of which the last few stay open.

    Where a file is read from its beginning on, the system is told what comes next, whatever readahead it has itself:
    within a block the places are in no order, which it takes for reading at random.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[str, list[int]] = OrderedDict()  # path -> descriptor, end of what was asked for

    def read(self, path: str, offset: int, size: int) -> bytes:
        """Bytes of a file, at a place of their own: forked workers share descriptors, and no position is disturbed.

        Raises:
            OSError: It cannot be read.
        """
        if path in self._open:
            self._open.move_to_end(path)
        else:
            if len(self._open) == _MAX_OPEN:
                os.close(self._open.popitem(last=False)[1][0])
            self._open[path] = [os.open(path, os.O_RDONLY), 0]
        descriptor, asked = one = self._open[path]
        if offset - _AHEAD <= asked < offset + _AHEAD // 2 and hasattr(os, "posix_fadvise"):
            one[1] = offset + _AHEAD
            # One request for all of it would be cut to the device's largest.
            for begin in range(asked, one[1], _REQUEST):
                os.posix_fadvise(descriptor, begin, _REQUEST, os.POSIX_FADV_WILLNEED)
        return os.pread(descriptor, size, offset)

    def __getstate__(self) -> dict:
        return {"_open": OrderedDict()}

    def __del__(self) -> None:
        for descriptor, _ in self.__dict__.get("_open", {}).values():
            os.close(descriptor)
