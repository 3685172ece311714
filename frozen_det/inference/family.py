"""Several trained detectors on one frozen backbone as one function: one pass, results by member."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..models.backbones.frozen_backbone import FrozenBackbone
from ..models.backbones.shared_features import SharedFeatures
from .detector import Detections, LoadedDetector, load_detector


class LoadedFamily:
    """Detectors that share a frozen backbone and the preparation of images; call it with images as one detector.

    The frozen tensors are held once, and of an image they are run once. What a member finds is, bit by bit, what it
    finds alone.

    Attributes:
        members: the detectors by name.
    """

    def __init__(self) -> None:
        self.members: dict[str, LoadedDetector] = {}
        self._shared = SharedFeatures()

    def add(self, name: str, detector: LoadedDetector) -> None:
        """Let a detector join.

        Raises:
            InputError: a name that is taken, another frozen base, or images prepared in another way.
        """
        if name in self.members:
            raise InputError(f"expected members of different names, got {name!r} twice; name one otherwise.")
        if self.members:
            other = next(iter(self.members))
            _require_alike(other, self.members[other], name, detector)
        for backbone in _backbones(detector):
            backbone.shared = self._shared
        self.members[name] = detector

    def remove(self, name: str) -> LoadedDetector:
        """Let a member go; it is a detector of its own again, and the others stay as they are."""
        if name not in self.members:
            raise InputError(f"expected one of {sorted(self.members)} to remove, got {name!r}.")
        detector = self.members.pop(name)
        for backbone in _backbones(detector):
            self._shared.leave(backbone)
            backbone.shared = None
        return detector

    def __call__(self, images: Sequence) -> list[dict[str, Detections]]:
        """Detect.

        Args:
            images: image files, or (H, W, 3) uint8 arrays in BGR order as cv2 gives them.

        Returns:
            for each image what each member found, by its name.

        Raises:
            InputError: no member; an image that is missing, cannot be decoded or has another form.
        """
        if not self.members:
            raise InputError("expected a family with members, got one without; add() one.")
        first = next(iter(self.members.values()))
        found = []
        for number, image in enumerate(images):
            data = first.prepared(image, number)
            found.append({name: one.found(copy.deepcopy(data)) for name, one in self.members.items()})
        self._shared.forget()
        return found


def load_family(
    checkpoints: Sequence[str | Path] | Mapping[str, str | Path],
    configs: Mapping[str, str | Path] | None = None,
    device: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> LoadedFamily:
    """Load detectors that were trained on the same frozen backbone.

    Args:
        checkpoints: files, lean or full; a mapping names the members, else a member is called as its file is, without
            suffix, or by its folder and file where two files are called the same.
        configs: the config of members whose checkpoint's own is not wanted, by the member's name.
        device: by default the GPU where there is one.
        options: overrides of every config.

    Returns:
        a function of image files or (H, W, 3) uint8 arrays (blue first) that gives, for each, a dict of the
        :class:`frozen_det.Detections` of every member by its name.

    Raises:
        InputError: a member that does not load, or two that do not share base and preparation of images.
    """
    named = dict(checkpoints) if isinstance(checkpoints, Mapping) else member_names(checkpoints)
    family = LoadedFamily()
    for name, checkpoint in named.items():
        family.add(name, load_detector((configs or {}).get(name), checkpoint, device, options))
    return family


def member_names(checkpoints: Sequence[str | Path]) -> dict[str, Path]:
    """Checkpoints by the shortest ends of their paths, without suffix, that tell all of them apart."""
    paths = [Path(one) for one in checkpoints]
    if len({one.resolve() for one in paths}) < len(paths):
        raise InputError(f"expected different checkpoints, got one twice: {', '.join(map(str, checkpoints))}.")
    ends = [one.resolve().with_suffix("").parts for one in paths]
    count = 1
    while len({one[-count:] for one in ends}) < len(ends) and count < max(map(len, ends)):
        count += 1
    return {"-".join(one[-count:]): path for one, path in zip(ends, paths)}


def _require_alike(first: str, one: LoadedDetector, second: str, other: LoadedDetector) -> None:
    digests = [[backbone.frozen_fingerprint() for backbone in _backbones(each)] for each in (one, other)]
    if not all(digests):
        without = first if not digests[0] else second
        raise InputError(f"expected members with a frozen_det.FrozenBackbone, got {without} without one.")
    a, b = digests[0][0], digests[1][0]
    common = a.tensors.keys() & b.tensors.keys()
    differing = sorted(name for name in common if a.tensors[name] != b.tensors[name])
    if not common or differing:
        what = f"first in {differing[0]}" if differing else "which have no tensor in common"
        raise InputError(
            f"expected members on one frozen base, got {first} on sha256 {a.digest[:12]} and {second} on "
            f"{b.digest[:12]}, {what}. Train both on the same backbone and weights, or load them one by one."
        )
    if one.preparation != other.preparation:
        raise InputError(
            f"expected members that prepare an image in the same way, got {first} with {one.preparation} and {second} "
            f"with {other.preparation}. Test both with one pipeline (test_dataloader.dataset.pipeline), or load them "
            "one by one."
        )


def _backbones(detector: LoadedDetector) -> list[FrozenBackbone]:
    return [module for module in detector.model.modules() if isinstance(module, FrozenBackbone)]
