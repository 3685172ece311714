"""Where Pascal VOC is found: the development kit's folders, or xml beside the images, in one folder or one per split.

Refused: xml without images, lists that name files which are not there, lists of one class in place of those of a split.
"""

import re
from pathlib import Path

from ...errors import InputError
from ...text_files import read_lines
from .conversion import IMAGE_SUFFIXES, SPLIT_NAMES, Conversion, files_in
from .voc import voc_classes, voc_content, voc_root

_OF_ONE_CLASS = re.compile(r"(.*\S)\s+(?:-1|0|1)")
_OF_ALL = ("default",)  # CVAT's list of a task without subsets
_WITHOUT_XML = "images without an xml file, left out"


def find_voc(root: Path) -> Conversion | None:
    """Pascal VOC below ``root``; None where there is none."""
    of_splits = {
        split: folders
        for split, names in SPLIT_NAMES.items()
        for name in names
        if (folders := _folders(root / name)) is not None
    }
    if "train" in of_splits:
        parts = {split: (files_in(xml, (".xml",)), images) for split, (xml, images) in of_splits.items()}
        sources, images_dir = [path for paths, _ in parts.values() for path in paths], root
    else:
        folders = _folders(root)
        if folders is None:
            return None
        xml_dir, images_dir = folders
        every = files_in(xml_dir, (".xml",))
        listed, lists = _listed(root, xml_dir, every)
        parts = {split: (paths, images_dir) for split, paths in listed.items()}
        sources = [*every, *lists]
    if "val" not in parts and "train" in parts:
        parts = {"" if split == "train" else split: part for split, part in parts.items()}

    def contents() -> dict[str, dict]:
        classes = voc_classes(path for paths, _ in parts.values() for path in paths)
        found = {split: voc_content(paths, folder, classes, images_dir) for split, (paths, folder) in parts.items()}
        _count_without_xml(found, {folder for _, folder in parts.values()}, sources)
        return found

    return Conversion(sources, images_dir, contents)


def _folders(base: Path) -> tuple[Path, Path] | None:
    """Folder of xml and folder of images in ``base``; None where no xml is Pascal VOC's."""
    for xml_dir in (base / "Annotations", base / "annotations", base / "xml", base):
        paths = files_in(xml_dir, (".xml",))
        if not paths or (xml_dir == base and voc_root(paths[0], check=False).tag != "annotation"):
            continue
        for images_dir in (base / "JPEGImages", base / "images", base / "Images", xml_dir, base):
            if files_in(images_dir, IMAGE_SUFFIXES):
                return xml_dir, images_dir
        if xml_dir != base:
            raise InputError(
                f"expected the images of {xml_dir} in JPEGImages/ or images/ of {base}, or beside the "
                "xml, got none; add them, or a link to them."
            )
    return None


def _listed(root: Path, xml_dir: Path, every: list[Path]) -> tuple[dict[str, list[Path]], list[Path]]:
    """Split -> xml files, by the lists of ImageSets/Main; and the lists. "train" alone is all that is to be split."""
    folder = next((f for f in (root / "ImageSets" / "Main", root / "ImageSets") if files_in(f, (".txt",))), None)
    if folder is None:
        return {"train": every}, []
    found = {
        split: path
        for split, names in (*SPLIT_NAMES.items(), ("trainval", ("trainval", *_OF_ALL)))
        for name in names
        if (path := folder / f"{name}.txt").is_file()
    }
    if not found:
        raise InputError(
            f"expected train.txt and val.txt in {folder}, got {_names(folder)}: lists of one class each "
            "are not those of a split; add the two, or move ImageSets away to split by seed."
        )
    read = {split: _read_list(path, xml_dir) for split, path in found.items()}
    if {"train", "val"} <= set(read) or "train" in read:
        read.pop("trainval", None)
    elif "trainval" in read:
        read = {("train" if split == "trainval" else split): paths for split, paths in read.items() if split != "val"}
    elif set(read) == {"test"}:
        read["train"] = [path for path in every if path not in set(read["test"])]
    else:
        raise InputError(f"expected train.txt in {folder}, got {_names(folder)}; add it.")
    return read, list(found.values())


def _read_list(path: Path, xml_dir: Path) -> list[Path]:
    """The xml files that a list names, each once."""
    paths, missing = {}, []
    for number, line in enumerate(read_lines(path), start=1):
        if not line:
            continue
        xml = _xml_of(line, xml_dir)
        if xml is not None:
            paths[xml] = None
            continue
        of_class = _OF_ONE_CLASS.fullmatch(line)
        if of_class is not None and _xml_of(of_class[1], xml_dir) is not None:
            raise InputError(
                f"{path}:{number}: expected the name of an image, got {line!r}, as a list of one class "
                "has it (1: it is there, -1: it is not); take the list of all images of the split."
            )
        missing.append((number, line))
    if missing:
        number, line = missing[0]
        raise InputError(
            f"{path}:{number}: expected the name of an xml file in {xml_dir}, got {line!r}, which is not "
            f"there; {len(missing)} lines in all are like that. Add the files or remove the lines."
        )
    if not paths:
        raise InputError(f"{path}: expected the names of images, one a line, got an empty list; fill or remove it.")
    return list(paths)


def _xml_of(name: str, xml_dir: Path) -> Path | None:
    """The xml of an image that is listed as a stem, or as a file."""
    tail = name.replace("\\", "/").rsplit("/", 1)[-1]
    stem, dot, suffix = tail.rpartition(".")
    names = [tail, stem] if dot and f".{suffix.lower()}" in (*IMAGE_SUFFIXES, ".xml") else [tail]
    return next((path for name in names if (path := xml_dir / f"{name}.xml").is_file()), None)


def _names(folder: Path) -> str:
    names = [path.name for path in files_in(folder, (".txt",))]
    return ", ".join(names[:6]) + ", ..." * (len(names) > 6)


def _count_without_xml(contents: dict[str, dict], folders: set[Path], sources: list[Path]) -> None:
    stems = {path.stem for path in sources}
    used = {image["file_name"].rsplit("/", 1)[-1] for content in contents.values() for image in content["images"]}
    count = sum(
        path.stem not in stems and path.name not in used
        for folder in folders
        for path in files_in(folder, IMAGE_SUFFIXES)
    )
    if count:
        next(iter(contents.values()))["info"]["dropped"][_WITHOUT_XML] = count
