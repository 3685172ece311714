"""Several trainings or tests in one process, step by step side by side, each as if it ran alone.

Every member runs in a thread of its own, and only one thread runs at a time: a member works until it asks for its next
batch, then the one that is least far goes on. Members that ask for the same batch of equal data get it from one loader,
and their frozen backbones share one pass (:mod:`frozen_det.models.backbones.shared_features`). What is global in a
process is put away and brought back at each turn: random generators, mmengine's current logger, message hub, visualizer
and scope, and standard output. A member that fails ends alone.
"""

import copy
import json
import random
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from ...host.signatures import subclasses_of
from ...models.backbones.finding import frozen_backbones
from ...models.backbones.shared_features import SharedFeatures

_CURRENT = threading.local()
_LOADERS = ("_train_dataloader", "_val_dataloader", "_test_dataloader")
_OF_LOADER = "dataset batch_size batch_sampler collate_fn worker_init_fn num_workers persistent_workers prefetch_factor"
_ASKED_OF_LOADER = (*_OF_LOADER.split(), "pin_memory", "timeout", "generator")


def current_member() -> "Member | None":
    """The member whose thread this is; None outside a lockstep."""
    return getattr(_CURRENT, "member", None)


class Lockstep:
    """Runs members side by side.

    Args:
        programs: by the member's name, what it does, as steps one after the other; no member begins its next step
            before all have ended the one before.
        output: by name, what takes a member's standard output and error; those left out write to this process's.

    Attributes:
        features: what the members' backbones share.
    """

    def __init__(self, programs: Mapping[str, Sequence[Callable[[], Any]]], output: Mapping[str, Any] | None = None):
        self.features = SharedFeatures()
        self._feeds: dict[str, _Feed] = {}
        self._turn = threading.Condition()
        self._running: Member | None = None
        self._members = [
            Member(self, number, name, list(steps), (output or {}).get(name))
            for number, (name, steps) in enumerate(programs.items())
        ]

    def run(self) -> dict[str, list | BaseException]:
        """Do all programs.

        Returns:
            by name what the steps gave, or the exception that ended a member.
        """
        outside = _Globals.taken()
        threads = [threading.Thread(target=one.work, name=one.name, daemon=True) for one in self._members]
        try:
            for thread in threads:
                thread.start()
            with self._turn:
                self._choose()
            for thread in threads:
                while thread.is_alive():  # a join without limit would not hear Ctrl-C
                    thread.join(0.2)
        except BaseException:
            for one in self._members:
                one.stopped = True
            raise
        finally:
            outside.bring_back()
            self.features.forget()
        return {one.name: one.result for one in self._members}

    def feed(self, loader: dict, runner) -> "_Feed":
        """The one for a loader's config; equal configs and seeds share one."""
        seed = (loader.get("sampler") or {}).get("seed", runner.seed)
        text = json.dumps([dict(loader), seed], sort_keys=True, default=repr)
        if text not in self._feeds:
            self._feeds[text] = _Feed(lambda: runner.build_dataloader(copy.deepcopy(loader), seed=runner.seed))
        return self._feeds[text]

    def wait(self, member: "Member", place: tuple) -> None:
        """Let the others go on until none is behind `place`; returns when it is this member's turn."""
        mine = _Globals.taken()
        with self._turn:
            member.place = place
            self._choose()
            while self._running is not member:
                self._turn.wait()
        mine.bring_back()
        if member.stopped:
            raise KeyboardInterrupt

    def end(self, member: "Member") -> None:
        """A member has ended: the next one's turn."""
        with self._turn:
            member.place = None
            self._choose()

    def _choose(self) -> None:
        waiting = [one for one in self._members if one.place is not None]
        self._running = min(waiting, key=lambda one: (one.place, one.number), default=None)
        self._turn.notify_all()


class Member:
    """One of a :class:`Lockstep`, with its own thread."""

    def __init__(self, lockstep: Lockstep, number: int, name: str, steps: list[Callable[[], Any]], output):
        self.lockstep, self.number, self.name, self.steps, self.output = lockstep, number, name, steps, output
        self.place: tuple | None = (0, -1, 0, 0)
        self.step, self.stopped = 0, False
        self.result: list | BaseException = []

    def work(self) -> None:
        """The thread."""
        _CURRENT.member = self
        start = _Globals.taken()
        if self.output is not None:
            start.streams = (self.output, self.output)
        with self.lockstep._turn:
            while self.lockstep._running is not self:
                self.lockstep._turn.wait()
        start.bring_back()
        found = []
        try:
            for number, step in enumerate(self.steps):
                self.step = number
                if number:
                    self.lockstep.wait(self, (number, -1, 0, 0))
                found.append(step())
            self.result = found
        except BaseException as error:  # also SystemExit: it ends this member, not the others
            self.result = error
        finally:
            self.lockstep.end(self)

    def adopt(self, runner) -> None:
        """Let a Runner's loaders and frozen backbones be the lockstep's."""
        for key in _LOADERS:
            loader = getattr(runner, key, None)
            if isinstance(loader, dict):
                setattr(runner, key, _SharedLoader(self, runner, self.lockstep.feed(loader, runner), key))
        for backbone in frozen_backbones(runner.model).values():
            self.lockstep.features.expect(backbone)

    def batch(self, runner, feed: "_Feed", key: str, epoch: int, index: int):
        """The batch at a place of the data; raises StopIteration behind the last."""
        # Measuring after n updates comes before the update n.
        self.lockstep.wait(self, (self.step, runner.iter, int(key == _LOADERS[0]), index))
        return feed.batch(epoch, index)


class _Feed:
    """One data loader for all members that read the same data in the same order."""

    def __init__(self, build: Callable):
        self._build = build
        self._iterator: Iterator | None = None
        self._place, self._held = (-1, -1), None

    @property
    def loader(self):
        """The loader, built when first used."""
        if self._build is not None:
            self._loader, self._build = self._build(), None
        return self._loader

    def batch(self, epoch: int, index: int):
        """A copy of the batch: a detector writes into its samples."""
        if (epoch, index) != self._place:
            if self._iterator is None or epoch != self._place[0] or index <= self._place[1]:
                self._start(epoch)
            while self._place[1] < index:
                try:
                    self._held = next(self._iterator)
                except StopIteration:
                    self._iterator, self._held, self._place = None, None, (-1, -1)
                    raise
                self._place = (epoch, self._place[1] + 1)
        if isinstance(self._held, dict) and isinstance(self._held.get("inputs"), list):
            return {key: list(one) if key == "inputs" else copy.deepcopy(one) for key, one in self._held.items()}
        return copy.deepcopy(self._held)

    def _start(self, epoch: int) -> None:
        for sampler in (self.loader.sampler, getattr(self.loader.batch_sampler, "sampler", None)):
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)
        self._iterator, self._place = iter(self.loader), (epoch, -1)


class _SharedLoader(DataLoader):
    """A member's view of a feed: a data loader by type, of which mmengine's loops ask what follows."""

    def __init__(self, member: Member, runner, feed: _Feed, key: str):
        self._member, self._runner, self._feed, self._key = member, runner, feed, key
        self.sampler = _Epoch()

    def __len__(self) -> int:
        return len(self._feed.loader)

    def __iter__(self):
        epoch, index = self.sampler.epoch, 0
        while True:
            if index == len(self) and not _is_endless(self._feed.loader):
                return
            try:
                batch = self._member.batch(self._runner, self._feed, self._key, epoch, index)
            except StopIteration:
                return
            yield batch
            index += 1

    def __getattr__(self, name: str):
        if name in _ASKED_OF_LOADER:
            return getattr(self._feed.loader, name)
        raise AttributeError(name)


class _Epoch:
    """Used as the sampler of a loader: gets the number of the pass."""

    epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """mmengine's loops call it before each pass."""
        self.epoch = epoch


def _is_endless(loader) -> bool:
    from mmengine.dataset import InfiniteSampler

    return isinstance(loader.sampler, InfiniteSampler)


class _Globals:
    """What a process has one of and a Runner takes for its own."""

    @classmethod
    def taken(cls) -> "_Globals":
        """As it is now."""
        self = cls()
        self.random = random.getstate(), np.random.get_state(), torch.get_rng_state()
        self.cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
        self.current = {kind: kind._instance_dict for kind in _managers()}
        self.streams = sys.stdout, sys.stderr
        return self

    def bring_back(self) -> None:
        """Make it so again."""
        random.setstate(self.random[0])
        np.random.set_state(self.random[1])
        torch.set_rng_state(self.random[2])
        if self.cuda is not None:
            torch.cuda.set_rng_state_all(self.cuda)
        for kind in _managers():
            # A class that came meanwhile belongs to another member.
            kind._instance_dict = self.current.get(kind, type(kind._instance_dict)())
        sys.stdout, sys.stderr = self.streams


def _managers() -> list[type]:
    """mmengine's classes with a current instance."""
    from mmengine.utils import ManagerMixin

    return [kind for kind in subclasses_of(ManagerMixin)[1:] if "_instance_dict" in vars(kind)]
