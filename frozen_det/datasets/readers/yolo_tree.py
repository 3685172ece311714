"""Where YOLO data are found: a data.yaml, or classes.txt beside images/ and labels/ (Label Studio's export).

Refused: names that are no list of distinct texts, a count that disagrees, class numbers that are none, lists of images
that are not there.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from ...errors import InputError
from ...text_files import is_writable, read_lines, read_yaml
from .class_names import as_seen
from .conversion import IMAGE_SUFFIXES, SPLIT_NAMES, Conversion, files_in
from .refusals import brief, few
from .yolo import orphan_labels, yolo_content, yolo_label_path

_ABSENT = ("", "null", "Null", "NULL", "~", "None")
_OWN_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")


def find_yolo(root: Path) -> Conversion | None:
    """YOLO data below ``root``; None where neither yaml nor classes.txt is there."""
    config_path, names_path = _config_path(root), root / "classes.txt"
    if config_path is not None:
        config = read_yaml(config_path)
        names = _names_of(config, config_path)
        images = {
            split: paths
            for split, keys in SPLIT_NAMES.items()
            for key in keys
            if (paths := _images_of_entry(root, config, key, config_path))
        }
    elif names_path.is_file() and (root / "labels").is_dir():
        config, config_path = {}, names_path
        names = _numbered(_without_last_blanks(read_lines(names_path)), names_path)
        images = {
            split: paths
            for split, keys in SPLIT_NAMES.items()
            for key in keys
            if (paths := files_in(root / "images" / key, IMAGE_SUFFIXES))
        }
    else:
        return None
    if not {"train", "val"} <= set(images):
        pool = images.get("train") or _images_below(root / "images")
        if not pool:
            raise InputError(
                f"expected images where {config_path} says, or in {root / 'images'}, got none; correct the paths."
            )
        images = {"": pool, **{split: paths for split, paths in images.items() if split == "test"}}

    def contents() -> dict[str, dict]:
        found = {
            split: yolo_content(paths, root, names, "kpt_shape" in config, labelled=split != "test")
            for split, paths in images.items()
        }
        orphans = orphan_labels(path for paths in images.values() for path in paths)
        if orphans:
            next(iter(found.values()))["info"]["dropped"]["label files without an image"] = orphans
        return found

    sources = [
        config_path,
        *(path for paths in images.values() for path in paths),
        *(labels for paths in images.values() for path in paths if (labels := yolo_label_path(path)).is_file()),
        *sorted(root.glob("**/labels/**/*.[tT][xX][tT]")),
    ]
    return Conversion(sources, root, contents)


def _config_path(root: Path) -> Path | None:
    """The yaml with names; several are refused unless one has the usual name."""
    paths = [path for path in files_in(root, (".yaml", ".yml")) if "names" in read_yaml(path)]
    usual = [path for path in paths if path.name in _OWN_NAMES]
    if len(usual or paths) > 1:
        raise InputError(
            f"expected one yaml with the names of the classes in {root}, got "
            f"{', '.join(path.name for path in paths)}; move the others away."
        )
    return next(iter(usual or paths), None)


def _names_of(config: dict, where: Path) -> dict[int, str]:
    """Class number -> name, from a list or a mapping from numbers; every scalar is text here."""
    given = config["names"]
    if isinstance(given, Mapping):
        bad = [key for key in given if not str(key).strip().isdecimal()]
        if bad:
            raise InputError(
                f"{where}: expected class numbers from 0 on as the keys of names, got {brief(bad[0])}; write "
                "`0: cat`, or a list of names."
            )
        if len({int(key) for key in given}) < len(given):
            raise InputError(f"{where}: expected each class number once in names, got {few(list(given))[:80]}.")
        names = _checked({int(key): name for key, name in given.items()}, where)
    elif isinstance(given, list):
        names = _numbered(given, where)
    else:
        raise InputError(
            f"{where}: expected names as a list of texts or a mapping from class numbers, got {brief(given)}; "
            "write names: [cat, dog]."
        )
    count = config.get("nc", "")
    if not isinstance(count, str) or count not in _ABSENT and count != str(len(names)):
        raise InputError(
            f"{where}: expected nc as the number of names, {len(names)}, got {brief(count)}; correct one of the two."
        )
    return dict(sorted(names.items()))


def _numbered(names: list, where: Path) -> dict[int, str]:
    return _checked(dict(enumerate(names)), where)


def _checked(names: dict, where: Path) -> dict[int, str]:
    """Texts, none blank, none twice."""
    bad = [name for name in names.values() if not isinstance(name, str) or not name.strip()]
    if bad or not names:
        raise InputError(
            f"{where}: expected the names of the classes, got {brief(bad[0]) if bad else 'none'}; write "
            "one text for each class."
        )
    names = {number: name.strip() for number, name in names.items()}
    twice = next((name for name, count in Counter(names.values()).items() if count > 1), None)
    if twice is not None:
        raise InputError(
            f"{where}: expected each class name once, got {twice!r} twice; class numbers would be ambiguous."
        )
    for name in names.values():
        if not is_writable(name):
            raise InputError(f"{where}: expected a name of whole characters, got {brief(name)}; write it again.")
    looks = Counter(map(as_seen, names.values()))
    alike = [name for name in names.values() if looks[as_seen(name)] > 1]
    if alike:
        raise InputError(
            f"{where}: expected names that differ to the eye, got {brief(alike[0])} and {brief(alike[1])}; give "
            "each its own, without doubled blanks and invisible characters."
        )
    return names


def _without_last_blanks(lines: list[str]) -> list[str]:
    while lines and not lines[-1]:
        lines = lines[:-1]
    return lines


def _images_of_entry(root: Path, config: dict, key: str, where: Path) -> list[Path]:
    """Images of one split of a data.yaml: a folder, a text file with paths, or a list of those."""
    given = config.get(key, "")
    entries = given if isinstance(given, list) else [given]
    if any(not isinstance(entry, str) for entry in entries):
        raise InputError(
            f"{where}: expected {key} as a folder, a text file with paths or a list of those, got {brief(given)}."
        )
    found: list[Path] = []
    # Some exports name folders relative to one that is not there: "../train/images".
    bases = [root / config["path"], root] if isinstance(config.get("path"), str) else [root]
    for entry in entries:
        if entry in _ABSENT:
            continue
        tries = [base / name for base in bases for name in (entry, entry.removeprefix("../"))]
        path = next((path for path in tries if path.exists()), None)
        if path is None:
            raise InputError(
                f"{where}: expected the images of {key!r} at {entry!r}, got nothing there; correct path or the entry."
            )
        images = _images_below(path) if path.is_dir() else _listed_images(path, bases)
        if not images:
            raise InputError(
                f"{where}: expected images ({', '.join(IMAGE_SUFFIXES)}) at {path}, the entry {key!r}, got none."
            )
        found += images
    return list(dict.fromkeys(found))


def _listed_images(list_path: Path, bases: Iterable[Path]) -> list[Path]:
    """Images that a text file names, one a line, relative to it or to the data."""
    found, missing = [], []
    for number, line in enumerate(read_lines(list_path), start=1):
        if not line:
            continue
        path = next((path for base in (list_path.parent, *bases) if (path := base / line).is_file()), None)
        if path is None or path.suffix.lower() not in IMAGE_SUFFIXES:
            missing.append((number, line))
        else:
            found.append(path)
    if missing:
        number, line = missing[0]
        known = Path(line).suffix.lower() in IMAGE_SUFFIXES
        raise InputError(
            f"{list_path}:{number}: expected the path of an image, got {line!r}, which is "
            f"{'not there' if known else 'none'}; {len(missing)} lines in all are like that. Correct or "
            "remove them."
        )
    return found


def _images_below(folder: Path) -> list[Path]:
    """Image files of a folder and those in it, but for hidden ones (``.ipynb_checkpoints``, ``._a.jpg``)."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
