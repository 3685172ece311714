"""Pascal VOC xml to COCO content: which image a file is of, its boxes, its classes.

Refused, with the file: xml that breaks off or is something else, objects without name or corners, flags that are
neither 0 nor 1, an image of another size than its xml says, two files of one image.
"""

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from pathlib import Path

from ...errors import InputError
from ..images.check import size_fault
from .class_names import as_seen
from .conversion import IMAGE_SUFFIXES, CocoWriter, files_in
from .refusals import brief

_FLAGS = {"": False, "0": False, "false": False, "1": True, "true": True}


def voc_classes(xml_paths: Iterable[Path]) -> list[str]:
    """Sorted names of all classes in Pascal VOC files.

    Raises:
        InputError: an object without a name, or names of two files that look alike.
    """
    first_in: dict[str, Path] = {}
    for path in xml_paths:
        for name in _voc_names(path):
            first_in.setdefault(name, path)
    of_look: dict[str, str] = {}
    for name in sorted(first_in):
        other = of_look.setdefault(as_seen(name), name)
        if other != name:
            raise InputError(
                f"{first_in[name]}: expected names that differ to the eye, got {brief(name)}, which looks like "
                f"{brief(other)} in {first_in[other]}; write the same in both, or give each its own."
            )
    return sorted(first_in)


def voc_content(
    xml_paths: Iterable[Path], images_dir: Path, classes: Iterable[str], base_dir: Path | None = None
) -> dict:
    """COCO content of Pascal VOC files; the image is the one that the xml names, or the one of its stem.

    Corners are 1-based and inclusive (VOC development kit), so a box from 1 to 1 is one pixel. Objects marked
    ``difficult`` become regions to ignore.

    Args:
        xml_paths: The files.
        images_dir: Folder of their images.
        classes: Names in label order.
        base_dir: Folder that file names are relative to; by default ``images_dir``.
    """
    writer = CocoWriter(classes, base_dir or images_dir)
    images = files_in(images_dir, IMAGE_SUFFIXES)
    by_name = {path.name: path for path in images}
    by_stem: dict[str, list[Path]] = {}
    for path in images:
        by_stem.setdefault(path.stem, []).append(path)
    taken: dict[Path, Path] = {}
    for xml_path in xml_paths:
        root = voc_root(xml_path)
        path = _image_of(root, xml_path, by_name, by_stem)
        if path is None:
            writer.dropped["xml files without an image"] += 1
            continue
        if path in taken:
            raise InputError(
                f"{xml_path}: expected an image of its own, got {path.name}, which {taken[path].name} has "
                "as well; correct <filename>, or remove one of the two."
            )
        taken[path] = xml_path
        image = writer.add_image(path)
        if image is None:
            continue
        _check_size(root, xml_path, path, image)
        for box in root.iter("object"):
            corners = _voc_corners(box, xml_path)
            writer.add_object(
                image,
                box.findtext("name").strip(),
                (corners[0] - 1, corners[1] - 1, *corners[2:]),
                crowd=_flag(box, "difficult", xml_path),
            )
    return writer.content()


def voc_root(path: Path, check: bool = True) -> ElementTree.Element:
    """The <annotation> of a file.

    Raises:
        InputError: no xml, or with ``check`` that of something else.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (ElementTree.ParseError, OSError, ValueError, LookupError, RecursionError) as error:
        raise InputError(f"{path}: expected Pascal VOC xml, got: {error}; repair or remove the file.") from error
    if check and root.tag != "annotation":
        raise InputError(
            f"{path}: expected Pascal VOC xml, whose root is <annotation>, got <{root.tag}>; export the "
            "annotations as Pascal VOC."
        )
    return root


def _image_of(
    root: ElementTree.Element, xml_path: Path, by_name: dict[str, Path], by_stem: dict[str, list[Path]]
) -> Path | None:
    """The image that <filename> names, else the one with the xml's stem; None where there is neither."""
    # Tools write whole paths, some of them Windows'.
    name = (root.findtext("filename") or "").strip().replace("\\", "/").rsplit("/", 1)[-1]
    if name in by_name:
        return by_name[name]
    for stem in (name, xml_path.stem, Path(name).stem):
        if len(by_stem.get(stem, ())) > 1:
            raise InputError(
                f"{xml_path}: expected one image, got {', '.join(p.name for p in by_stem[stem])}; name "
                "the right one in <filename>."
            )
        if stem in by_stem:
            return by_stem[stem][0]
    return None


def _check_size(root: ElementTree.Element, xml_path: Path, path: Path, image: dict) -> None:
    """Refuse boxes that were drawn on an image of another size; a side that is absent or 0 says nothing."""
    texts = [(root.findtext(f"size/{side}") or "0").strip() for side in ("height", "width")]
    try:
        sides = [float(text or 0) for text in texts]
        if not all(map(math.isfinite, sides)):
            raise ValueError
    except ValueError:
        raise InputError(
            f"{xml_path}: expected height and width in <size> as numbers, got {texts[0]!r:.40} and {texts[1]!r:.40}; "
            "correct them, or leave <size> out."
        ) from None
    found_hw = image["height"], image["width"]
    declared_hw = tuple(
        found if side <= 0 else int(side) if side.is_integer() else side for side, found in zip(sides, found_hw)
    )
    if declared_hw != found_hw:
        raise InputError(
            f"{xml_path}: expected an image of the size that the file says, got {path}: "
            f"{size_fault(path, declared_hw, found_hw)}."
        )


def _voc_names(path: Path) -> set[str]:
    names = [box.findtext("name") for box in voc_root(path).iter("object")]
    if any(not name or not name.strip() for name in names):
        raise InputError(f"{path}: expected a name in each object, got one without; add <name>.")
    return {name.strip() for name in names}


def _flag(box: ElementTree.Element, key: str, path: Path) -> bool:
    text = (box.findtext(key) or "").strip()
    if text.lower() not in _FLAGS:
        raise InputError(f"{path}: expected 0 or 1 as {key}, got {text!r} for {box.findtext('name')!r}; correct it.")
    return _FLAGS[text.lower()]


def _voc_corners(box: ElementTree.Element, path: Path) -> list[float]:
    """xmin, ymin, xmax, ymax as in the file."""
    texts = [box.findtext(f"bndbox/{key}") for key in ("xmin", "ymin", "xmax", "ymax")]
    if len(box.findall("bndbox")) > 1:
        raise InputError(
            f"{path}: expected one bndbox in each object, got {len(box.findall('bndbox'))} for "
            f"{box.findtext('name')!r}; write an <object> for each."
        )
    try:
        corners = [float(text) for text in texts]
        if not all(map(math.isfinite, corners)):
            raise ValueError
    except (TypeError, ValueError):
        raise InputError(
            f"{path}: expected xmin, ymin, xmax and ymax as numbers in each bndbox, got {texts} for "
            f"{box.findtext('name')!r}; correct the file."
        ) from None
    if corners[0] > corners[2] or corners[1] > corners[3]:
        raise InputError(
            f"{path}: expected xmin not above xmax and ymin not above ymax in each bndbox, got "
            f"{', '.join(map(str, texts))} (xmin, ymin, xmax, ymax) for {box.findtext('name')!r}; correct their order."
        )
    return corners
