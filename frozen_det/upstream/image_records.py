"""Which images a classification data set holds, with their labels: from folders, list files, ReaL-style json.

Nothing is decoded here. Every fault of the listing (no images, an empty class, classes that differ between train and
val, a label out of range, a line that does not parse) is one InputError that names the file.
"""

import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..errors import InputError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".webp", ".tif", ".tiff")
_SHOWN = 5


@dataclass(frozen=True)
class ImageRecords:
    """Paths and labels of N images.

    Attributes:
        root: Folder that the paths are relative to; "" for paths without a root.
        paths: (N,) bytes, relative to ``root``. One array, so that forked workers share it.
        labels: (N,) int64 in [0, num_classes).
        classes: Names, in the order of the labels.
        source: What the listing was read from, for messages.
        labels_multi: For each image the list of all its valid labels (may be empty), or None.
        left_out: Number of files that are no images, by their endings; names that begin with a dot are not counted.
    """

    root: str
    paths: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    source: str
    labels_multi: list[list[int]] | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> str:
        """Path of one image, with the root."""
        return os.path.join(self.root, os.fsdecode(self.paths[index].item()))

    def take(self, indices: np.ndarray) -> "ImageRecords":
        """The same listing with these images only, (M,) int64 in their order."""
        multi = None if self.labels_multi is None else [self.labels_multi[index] for index in indices]
        return replace(self, paths=self.paths[indices], labels=self.labels[indices], labels_multi=multi)


def read_classes(classes) -> tuple[str, ...]:
    """Class names from a list, or from a text file with one name a line.

    Raises:
        InputError: No such file, no name, or one name twice.
    """
    where = "classes"
    if isinstance(classes, str | os.PathLike):
        where = str(classes)
        try:
            classes = [line.strip() for line in Path(classes).read_text(encoding="utf-8").splitlines() if line.strip()]
        except OSError as error:
            raise InputError(
                f"expected a text file with one class name a line, got {where!r} (classes): "
                f"{error.strerror}; give a list of names or the right path."
            ) from error
    names = tuple(str(name) for name in classes)
    if not names or len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(
            f"expected class names, each once, got {'no name' if not names else f'{twice} twice'} ({where})."
        )
    return names


def read_folder(
    root, split: str, classes=None, classes_from: str | None = "train", allow_empty: bool = False
) -> ImageRecords:
    """An image folder: ``root/split/CLASS/**/IMAGE``; the label is the place of CLASS in the class list.

    Args:
        root: Folder of the data set.
        split: Folder of this split in it; "" where the class folders are in the root.
        classes: Class names in the order of the labels, or a file of them. None: the folders of ``classes_from``,
            sorted.
        classes_from: The split whose folders give the classes to all splits; None takes the split's own.
        allow_empty: Let classes of the list have no image here.

    Raises:
        InputError: No folder, no class, a class that the list lacks, a class without an image.
    """
    folder = Path(root, split)
    found = _class_folders(folder, "data_root, split")
    if classes is not None:
        names, origin = read_classes(classes), "classes"
    elif classes_from is None or classes_from == split:
        names, origin = found, str(folder)
    else:
        origin = str(Path(root, classes_from))
        names = _class_folders(Path(origin), "classes_from; give classes=[...] where there is no such split")
    unknown = sorted(set(found) - set(names))
    absent = [] if allow_empty else [name for name in names if name not in found]
    if unknown or absent:
        said = [f"{len(unknown)} that it lacks: {_some(unknown)}"] * bool(unknown)
        said += [f"without {len(absent)} of its: {_some(absent)}"] * bool(absent)
        raise InputError(
            f"expected in {folder} the {len(names)} classes of {origin}, got {len(found)} classes, "
            f"{' and '.join(said)}; {_alike(unknown, names)}give both splits the same class folders, or set "
            f"classes=[...]{'' if not absent else ', or allow_empty=True'}."
        )
    paths, labels, empty, left_out = [], [], [], Counter()
    for label, name in enumerate(names):
        images, others = _files_below(folder / name) if name in found else ([], Counter())
        left_out += others
        if not images and not allow_empty:
            empty.append(name)
        paths += [os.path.join(name, image) for image in images]
        labels += [label] * len(images)
    if empty:
        raise InputError(
            f"expected at least one image ({', '.join(EXTENSIONS)}) in every class folder of {folder}, "
            f"got none in {len(empty)}: {_some(empty)}; add images, take the folders away, or set "
            "allow_empty=True."
        )
    return replace(_records(folder, paths, labels, names, str(folder)), left_out=left_out)


def said_left_out(endings: Mapping[str, int]) -> str:
    """Files that are no images, counted by ending, as text."""
    counts = ", ".join(f"{count} {ending}" for ending, count in sorted(endings.items(), key=lambda one: -one[1]))
    return f"left out {sum(endings.values())} files that are no images ({counts})"


def same_but_for_spelling(names) -> list[tuple[str, ...]]:
    """Groups of names that differ by case, by outer blanks or by the Unicode form of an accent alone."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(_spelling(name), []).append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def read_list(ann_file, image_root="", num_classes: int | None = None, classes=None) -> ImageRecords:
    """A list file with a line ``path index`` for each image; the path may hold spaces and be relative.

    Args:
        ann_file: Text file.
        image_root: Folder that relative paths start from; "" takes the folder of the list file.
        num_classes: Labels are in [0, num_classes). None: the number of ``classes``.
        classes: Names or a file of them; None calls the classes "0", "1", ...

    Raises:
        InputError: No file, no image, a line without a label, a label out of range.
    """
    path = Path(ann_file)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(
            f"expected a list file with lines 'path index', got {str(path)!r} (ann_file): "
            f"{error.strerror}; set ann_file or data_root."
        ) from error
    names = read_classes(classes) if classes is not None else None
    if names is not None and num_classes not in (None, len(names)):
        raise InputError(
            f"expected num_classes as the number of classes, {len(names)}, got {num_classes} (num_classes, classes)."
        )
    num_classes = len(names) if names is not None else num_classes
    if num_classes is None:
        raise InputError(
            f"expected num_classes or classes for the list file {path}, got neither; a list does not "
            "say how many classes there are."
        )
    names = names or tuple(str(label) for label in range(num_classes))
    paths, labels = [], []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            image, _, label = line.strip().rpartition(" ")
            paths.append(image.strip())
            labels.append(parse_label(label, num_classes, f"{path}, line {number}"))
            if not image.strip():
                raise InputError(f"expected 'path index', got {line.strip()!r} ({path}, line {number}).")
    return _records(image_root or path.parent, paths, labels, names, str(path))


def with_multi_labels(records: ImageRecords, file) -> ImageRecords:
    """Add all valid labels of each image from a json file, as ReaL (Beyer et al., arXiv 2006.07159) has them.

    Args:
        records: The images.
        file: A json list of lists of labels, or a dict from a path or file name to such a list. The list goes by the
            number in ImageNet's file names (``ILSVRC2012_val_00000001`` is entry 0) where all have one, otherwise by
            the order of the images.

    Raises:
        InputError: No such file, another form, an image without an entry, a label out of range.
    """
    try:
        given = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"expected a json file of valid labels, got {str(file)!r} (multi_labels): {error}") from error
    relative = [os.fsdecode(path) for path in records.paths]
    if isinstance(given, dict):
        keys = [name if name in given else os.path.basename(name) for name in relative]
    elif isinstance(given, list):
        numbers = [re.search(r"_val_(\d{8})\.", name) for name in relative]
        by_number = all(numbers)
        if not by_number and len(given) != len(records):
            raise InputError(
                f"expected one list of labels for each of the {len(records)} images, got {len(given)} "
                f"({file}, multi_labels); take the file of this split, or a dict from path to labels."
            )
        keys = [int(match.group(1)) - 1 if by_number else place for place, match in enumerate(numbers)]
    else:
        raise InputError(f"expected a json list or dict of label lists, got {type(given).__name__} ({file}).")
    try:
        found = [given[key] for key in keys]
    except (KeyError, IndexError) as error:
        raise InputError(f"expected labels for every image, got none for {error} ({file}, multi_labels).") from error
    count = len(records.classes)
    multi = [
        [parse_label(label, count, f"{file}, {name}") for label in labels] for name, labels in zip(relative, found)
    ]
    return replace(records, labels_multi=multi)


def _records(root, paths, labels, names, source) -> ImageRecords:
    if not paths:
        raise InputError(f"expected at least one image, got none in {source} (data_root, ann_file).")
    return ImageRecords(
        root=str(root),
        paths=np.array([os.fsencode(path) for path in paths], dtype="S"),
        labels=np.array(labels, dtype=np.int64),
        classes=tuple(names),
        source=source,
    )


def _class_folders(folder: Path, key: str) -> tuple[str, ...]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        raise InputError(
            f"expected a folder with one folder for each class, got {str(folder)!r} ({key}): "
            f"{error.strerror}; set data_root."
        ) from error
    if not names:
        raise InputError(f"expected one folder for each class in {folder}, got none ({key}).")
    return tuple(names)


def _files_below(folder: Path) -> tuple[list[str], Counter]:
    """Paths of the images at any depth, relative to the folder, sorted; and the endings of all other files.

    Names that begin with a dot are not looked at: what systems leave there (`._a.jpg`, `.ipynb_checkpoints`) is no
    picture of the class, whatever its ending.
    """
    found, others = [], Counter()
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inner = os.path.relpath(where, folder)
        for name in files:
            if name.lower().endswith(EXTENSIONS) and not name.startswith("."):
                found.append(os.path.normpath(os.path.join(inner, name)))
            elif not name.startswith("."):
                others[os.path.splitext(name)[1].lower() or "no ending"] += 1
    return sorted(found), others


def _spelling(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold().strip()


def _alike(unknown, names) -> str:
    """What to say where an unknown class is a known one in another spelling."""
    for group in same_but_for_spelling([*unknown, *names]):
        here, there = ([one for one in group if one in side] for side in (unknown, names))
        if here and there:
            return f"{here[0]!r} and {there[0]!r} differ by case, blanks or Unicode form alone: rename one; "
    return ""


def parse_label(text, num_classes: int, where: str) -> int:
    """A label from text or a number.

    Raises:
        InputError: No whole number in [0, num_classes); ``where`` names its place.
    """
    try:
        label = int(text)
    except (TypeError, ValueError):
        label = None
    if label is None or isinstance(text, bool | float) or not 0 <= label < num_classes:
        raise InputError(
            f"expected a label in 0..{num_classes - 1}, got {text!r} ({where}); count classes from 0, "
            "or set num_classes."
        )
    return label


def spelt_out(name: str) -> list[str]:
    """``a-{00..12}.tar`` -> its names; a name without a range is itself."""
    found = re.fullmatch(r"(.*)\{(\d+)\.\.(\d+)\}(.*)", name)
    if found is None:
        return [name]
    before, first, last, after = found.groups()
    return [f"{before}{number:0{len(first)}d}{after}" for number in range(int(first), int(last) + 1)]


def _some(names) -> str:
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    return shown + (", ..." if len(names) > _SHOWN else "")
