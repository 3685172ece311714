"""Published test sets of shifted images: ImageNet-V2, -A (or any subset of the classes), -C, -P, read as they unpack.

Class folders are WordNet ids, in ImageNet's usual order of the 1000 ids, or V2's numbers 0 to 999. Refused: folders
that are none of the classes, and a set without an image. Nothing is decoded here.
"""

from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError

KINDS = ("a", "c", "p", "v2")
IMAGES = (".jpg", ".jpeg", ".png")
VIDEOS = (".mp4",)


@dataclass(frozen=True)
class ShiftedSet:
    """Files of one part of a set.

    Attributes:
        name: e.g. ``a`` or ``c/fog/3`` or ``p/tilt``.
        files: images, or videos of P.
        labels: class index of each.
        subset: indices of the classes that the set has, for which alone the logits compete; None: all.
    """

    name: str
    files: tuple[Path, ...]
    labels: tuple[int, ...]
    subset: tuple[int, ...] | None = None


def imagenet_ids() -> tuple[str, ...]:
    """The 1000 WordNet ids in the order of the class indices, from timm."""
    from timm.data import ImageNetInfo

    return tuple(ImageNetInfo().label_names())


def read_shifted(kind: str, folder, classes=None) -> list[ShiftedSet]:
    """Read one published set.

    Args:
        kind: ``v2`` (``DIR/0..999/*``), ``a`` (``DIR/WNID/*``, a part of the classes; ImageNet-R and others too),
            ``c`` (``DIR/CORRUPTION/SEVERITY/WNID/*``), ``p`` (``DIR/PERTURBATION/WNID/*.mp4``).
        folder: where it was unpacked.
        classes: names of the classes in order; None: ImageNet's 1000 ids.

    Raises:
        InputError: another kind, a folder that is no class, nothing in it.
    """
    folder = Path(folder).expanduser()
    if kind not in KINDS or not folder.is_dir():
        raise InputError(
            f"expected --shifted KIND=DIR with KIND of {', '.join(KINDS)} and a folder, got {kind}={folder}."
        )
    names = tuple(classes) if classes is not None else imagenet_ids()
    if kind == "v2":
        return [_class_folders("v2", folder, {str(index): index for index in range(len(names))}, IMAGES)]
    places = {name: index for index, name in enumerate(names)}
    if kind == "a":
        found = _class_folders("a", folder, places, IMAGES)
        return [ShiftedSet(found.name, found.files, found.labels, tuple(sorted(set(found.labels))))]
    if kind == "p":
        return [_class_folders(f"p/{part.name}", part, places, VIDEOS) for part in _folders(folder)]
    return [
        _class_folders(f"c/{part.name}/{severity.name}", severity, places, IMAGES)
        for part in _folders(folder)
        for severity in _folders(part)
    ]


def _folders(folder: Path) -> list[Path]:
    found = sorted(path for path in folder.iterdir() if path.is_dir())
    if not found:
        raise InputError(f"expected folders in {folder}, got none (--shifted).")
    return found


def _class_folders(name: str, folder: Path, places: dict[str, int], suffixes) -> ShiftedSet:
    files, labels = [], []
    for one in _folders(folder):
        if one.name not in places:
            raise InputError(
                f"expected folders named after classes in {folder} ({next(iter(places))}, ...), got "
                f"{one.name!r} (--shifted); unpack the set as it is published."
            )
        here = sorted(path for path in one.rglob("*") if path.suffix.lower() in suffixes)
        files += here
        labels += [places[one.name]] * len(here)
    if not files:
        raise InputError(f"expected files ({', '.join(suffixes)}) in {folder}, got none (--shifted).")
    return ShiftedSet(name, tuple(files), tuple(labels))
