"""Several detectors on one frozen backbone as one function: one pass, results by member."""

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..models.backbones.finding import frozen_backbones
from ..models.backbones.frozen_backbone import FrozenBackbone
from ..models.backbones.shared_features import SharedFeatures, stand_alone
from ..weights.digest import Fingerprint, canonical, fingerprint
from .batches import found_in, or_raise
from .detections import Detections
from .detector import LoadedDetector, load_detector, new_detector
from .joining import join
from .pictures import Picture, pictures_of
from .views import WHOLE, Views, found_in_views


class DetectorFamily(Mapping[str, LoadedDetector]):
    """Detectors by name that share a frozen backbone and the preparation of images; called as one detector is.

    The frozen tensors are held once, and of an image they are run once; where a member has adapters or trained stages,
    what comes before these is shared. What a member finds is, bit by bit, what it finds alone. Trained detectors come
    by :func:`frozen_det.load_family` or :meth:`add`.

    Args:
        backbone: config of the :class:`frozen_det.FrozenBackbone` of members that are given as configs, in place of
            their own; `strides`, `adapters` and `freeze` are the members' own where it does not give them. None: each
            uses its own.
        members: by name a detector that was loaded, or the config (path, name of one that ships, or mmengine's Config)
            of one to build, whose decoder is initialised.
        device: of those that are built; by default the GPU where there is one.

    Raises:
        InputError: as :meth:`add`.
    """

    def __init__(
        self,
        backbone: Mapping[str, Any] | None = None,
        members: Mapping[str, Any] | None = None,
        device: str | None = None,
    ) -> None:
        self._backbone, self._device = backbone, device
        self._members: dict[str, LoadedDetector] = {}
        self._shared = SharedFeatures()
        for name, member in (members or {}).items():
            self.add(name, member)

    def __getitem__(self, name: str) -> LoadedDetector:
        return self._members[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def add(self, name: str, member: Any) -> None:
        """Add a detector.

        Args:
            name: by which its results are given.
            member: the detector, or the config of one to build.

        Raises:
            InputError: a name that is taken, a config that cannot be built, another frozen base, images prepared in
                another way, or another decoder than that of the detector that a member extends.
        """
        if name in self._members:
            raise InputError(f"expected members of different names, got {name!r} twice; name one otherwise.")
        if not isinstance(member, LoadedDetector):
            member = new_detector(member, self._backbone, self._device)
        digests = {backbone: backbone.frozen_fingerprint() for backbone in _backbones(member)}
        if self._members:
            self._require_alike(name, member, next(iter(digests.values()), None))
        for other, one in self._members.items():
            _require_extended(other, one, name, member)
            _require_extended(name, member, other, one)
        for backbone, digest in digests.items():
            self._shared.join(backbone, digest)
        self._members[name] = member

    def remove(self, name: str) -> LoadedDetector:
        """Remove a member and return it; it no longer shares anything, and the others are unchanged."""
        _require_known([name], self._members, "to remove")
        member = self._members.pop(name)
        for backbone in _backbones(member):
            stand_alone(backbone)
        return member

    def __call__(
        self,
        images: Any,
        only: Sequence[str] | None = None,
        batch_size: int = 1,
        color: str = "bgr",
        tile: int | None = None,
        overlap: float = 0.2,
        flip: bool = False,
    ) -> list[dict[str, Detections]]:
        """Detect.

        Args:
            images: as of :class:`frozen_det.LoadedDetector`: files, folders, Pillow images, arrays.
            only: names of the members to ask; None asks all.
            batch_size, color, tile, overlap, flip: as of :class:`frozen_det.LoadedDetector`.

        Returns:
            for each image what each member found, by its name.

        Raises:
            InputError: no member, or none of such a name; an image that is missing, cannot be decoded or has another
                form.
        """
        pictures = pictures_of(images, self._first().reader, color)
        views = Views(tile, overlap, flip)
        return [or_raise(found) for _, found in self.each(pictures, only, batch_size, views)]

    def each(
        self,
        pictures: Iterable[Picture],
        only: Sequence[str] | None = None,
        batch_size: int = 1,
        views: Views = WHOLE,
    ) -> Iterator[tuple[Picture, Any]]:
        """Each picture in turn with what each member found, by its name, or with the InputError that kept it from being
        read.

        Args:
            pictures: of :func:`.pictures.pictures_of`; they are read as they are needed.
            only, batch_size: as in a call; views: tiles and flips.
        """
        first = self._first()
        _require_known(only or (), self._members, "in `only`")
        asked = self._members if only is None else {name: self._members[name] for name in only}

        def find(batch: dict) -> list[dict[str, Detections]]:
            given = {key: batch[key] for key in ("inputs", "data_samples")}
            try:
                found = {name: one.found({**batch, **copy.deepcopy(given)}) for name, one in asked.items()}
            finally:
                self._shared.forget()
            return [dict(zip(found, one, strict=True)) for one in zip(*found.values(), strict=True)]

        def each(given: Iterable[Picture]) -> Iterator[tuple[Picture, Any]]:
            return found_in(given, first.prepared, find, batch_size, first.divisor)

        return found_in_views(pictures, each, views)

    def joined(self, images: Any, iou_threshold: float = 1.0) -> list[Detections]:
        """Detect, and give what all members found in an image as one list.

        Args:
            images: as in a call.
            iou_threshold: in (0, 1]; of boxes of different members that overlap more the best score stays.

        Returns:
            for each image its detections over the classes of all members; see :func:`.joining.join`.

        Raises:
            InputError: as in a call; a threshold out of range; members with panoptic maps.
        """
        return [join(found, iou_threshold) for found in self(images)]

    def _first(self) -> LoadedDetector:
        if not self._members:
            raise InputError("expected a family with members, got one without; add() one.")
        return next(iter(self._members.values()))

    def _require_alike(self, name: str, member: LoadedDetector, digest: Fingerprint | None) -> None:
        first, one = next(iter(self._members.items()))
        known = [self._shared.fingerprint_of(backbone) for backbone in _backbones(one)]
        if digest is None or not known:
            without = name if known else first
            raise InputError(f"expected members with a frozen_det.FrozenBackbone, got {without} without one.")
        a, b = known[0], digest
        common = a.tensors.keys() & b.tensors.keys()
        differing = sorted(tensor for tensor in common if a.tensors[tensor] != b.tensors[tensor])
        if not common or differing:
            what = f"first in {differing[0]}" if differing else "which have no tensor in common"
            raise InputError(
                f"expected members on one frozen base, got {first} on sha256 {a.digest[:12]} and {name} on "
                f"{b.digest[:12]}, {what}. Train both on the same backbone and weights, or load them one by one."
            )
        if one.preparation != member.preparation:
            raise InputError(
                f"expected members that prepare an image in the same way, got {first} with {one.preparation} and "
                f"{name} with {member.preparation}. Test both with one pipeline (test_dataloader.dataset.pipeline), or "
                "load them one by one."
            )


def load_family(
    checkpoints: Sequence[str | Path] | Mapping[str, str | Path],
    configs: Mapping[str, str | Path] | None = None,
    device: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> DetectorFamily:
    """Load detectors that were trained on the same frozen backbone.

    Args:
        checkpoints: files, lean or full; a mapping names the members, else a member is called as its file is, without
            suffix, or by its folder and file where two files are called the same.
        configs: the config of members whose checkpoint's own is not wanted, by the member's name.
        device: by default the GPU where there is one.
        options: overrides of every config.

    Returns:
        a function of images (files, folders, Pillow images, arrays) that gives, for each, a dict of the
        :class:`frozen_det.Detections` of every member by its name.

    Raises:
        InputError: a member that does not load, or two that do not share base and preparation of images.
    """
    named = dict(checkpoints) if isinstance(checkpoints, Mapping) else member_names(checkpoints)
    _require_known(configs or (), named, "in `configs`")
    family = DetectorFamily()
    for name, checkpoint in named.items():
        family.add(name, load_detector((configs or {}).get(name), checkpoint, device, options))
    return family


def member_names(checkpoints: Sequence[str | Path]) -> dict[str, Path]:
    """Checkpoints by the shortest ends of their paths, without suffix, that distinguish all of them."""
    paths = [Path(one) for one in checkpoints]
    if len({one.resolve() for one in paths}) < len(paths):
        raise InputError(f"expected different checkpoints, got one twice: {', '.join(map(str, checkpoints))}.")
    ends = [one.resolve().with_suffix("").parts for one in paths]
    count = 1
    while len({one[-count:] for one in ends}) < len(ends) and count < max(map(len, ends)):
        count += 1
    return {"-".join(one[-count:]): path for one, path in zip(ends, paths)}


def _require_known(names, members: Mapping, where: str) -> None:
    for name in names:
        if name not in members:
            raise InputError(f"expected names among {sorted(members)} {where}, got {name!r}.")


def _require_extended(first: str, one: LoadedDetector, second: str, other: LoadedDetector) -> None:
    """Refuse another detector of the classes that a member extends than the one it extends."""
    if one.extends is None or one.extends.classes != other.classes:
        return
    wanted, state = one.extends.decoder, other.model.state_dict()
    now = fingerprint({name: value for name, value in state.items() if canonical(name) in wanted.tensors})
    moved = wanted.first_difference(now)
    if moved is not None:
        raise InputError(
            f"expected {second}, which has the classes that {first} extends, to be the detector that it extends "
            f"({one.extends.file}, decoder sha256 {wanted.digest[:12]}), but {moved} differs. Give that file."
        )


def _backbones(detector: LoadedDetector) -> list[FrozenBackbone]:
    return list(frozen_backbones(detector.model).values())
