"""Toy scenes, the data set that the package writes itself: real digits on real photographs, COCO and LVIS fields.

Deterministic by its parameters. What exists there already with the same parameters is verified and reused; with
others it is written again. A folder that holds anything else is refused.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from ... import __version__
from ...errors import InputError, closest
from ...registry import DATASETS
from ..coco import CocoDataset
from ..readers.class_names import check_classes
from ..readers.polygons import mask_box_xywh, mask_segmentation
from .drawing import draw_scene, load_sources

DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# Raised whenever the same parameters would give other pictures or annotations.
_FORMAT = 1
_SPLITS = ("train", "val")
_PARAMETERS = ("num_train", "num_val", "size_hw", "seed", "num_objects", "object_px")
# Each digit is this much rarer than the one before it; every class gets at least the floor of its split.
_CLASS_DECAY = 0.72
_MIN_INSTANCES = {"train": 1, "val": 10}
# Frequency groups by the share of train images that show the class. LVIS (arXiv 1908.03195) counts images, rare
# up to 10 and common up to 100; a set this small needs shares.
_RARE_SHARE, _COMMON_SHARE = 1 / 8, 1 / 3
_JPEG_QUALITY = 95
_LICENSES = [
    dict(id=1, name="china.jpg by danielbuechele, CC BY 2.0", url="https://creativecommons.org/licenses/by/2.0/"),
    dict(id=2, name="flower.jpg by vultilion, CC BY 2.0", url="https://creativecommons.org/licenses/by/2.0/"),
    dict(
        id=3,
        name="UCI Optical Recognition of Handwritten Digits (Alpaydin, Kaynak 1998)",
        url="https://archive.ics.uci.edu/ml/datasets/Optical+Recognition+of+Handwritten+Digits",
    ),
]


def write_toy_scenes(
    root: str | os.PathLike,
    num_train: int = 360,
    num_val: int = 96,
    size_hw: tuple[int, int] = (224, 224),
    seed: int = 0,
    num_objects: tuple[int, int] = (2, 7),
    object_px: tuple[float, float] = (24, 90),
    report: Callable[[str], None] | None = None,
    tell_reuse: bool = True,
) -> Path:
    """Write ``annotations/{train,val}.json``, ``images/*.jpg`` and ``manifest.json`` under ``root``, or reuse them.

    All or nothing: everything is written beside ``root`` and then renamed, so several processes may start at once.

    Args:
        root: Folder that is absent, empty, or was written by this function.
        num_train, num_val: Images of the splits, at least 1 each.
        size_hw: Height and width of the images in px, 64 to 1024 each.
        seed: Of everything that is drawn.
        num_objects: Fewest and most digits in an image.
        object_px: Shortest and longest longer side of a digit in px.
        report: Takes lines about the progress; by default they go to the terminal.
        tell_reuse: Whether it takes one where everything is there already.

    Returns:
        ``root`` as a path.

    Raises:
        InputError: A parameter out of its range, a folder that holds something else.
    """
    root, report = Path(root), report or _print_progress
    parameters = dict(
        num_train=int(num_train),
        num_val=int(num_val),
        size_hw=[int(side) for side in size_hw],
        seed=int(seed),
        num_objects=[int(n) for n in num_objects],
        object_px=[float(px) for px in object_px],
    )
    _check_parameters(parameters)
    state = _state(root, parameters)
    if state == "same":
        if tell_reuse:
            report(f"toy scenes: reusing {root} ({num_train} train, {num_val} val)\n")
        return root
    if state == "foreign":
        raise InputError(
            f"expected {root} to be absent, empty or written as toy scenes; got a folder that holds "
            "something else. Name another folder (key data_root)."
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    workshop = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    try:
        _write(workshop / "new", parameters, report)
        _put_in_place(workshop, root, parameters)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
    report(f"toy scenes: wrote {num_train} train and {num_val} val images to {root}\n")
    return root


@DATASETS.register_module()
class ToyScenes(CocoDataset):
    """One split of the toy scenes, which are written when their images or objects are first asked for.

    Args:
        split: ``train`` or ``val``. The classes are :data:`DIGIT_NAMES`, in this order, in both.
        data_root: Folder of the data.
        scenes: Parameters of :func:`write_toy_scenes` (``num_train``, ``num_val``, ``size_hw``, ``seed``, ...).
        kwargs: As of :class:`~frozen_det.datasets.coco.CocoDataset`.
    """

    def __init__(
        self, split: str = "train", data_root: str = "data/toy_scenes", scenes: dict | None = None, **kwargs
    ) -> None:
        if split not in _SPLITS:
            raise InputError(f"expected split to be one of {', '.join(_SPLITS)} for toy scenes, got {split!r}.")
        for key in scenes or {}:
            if key not in _PARAMETERS:
                raise InputError(
                    f"expected the parameters {', '.join(_PARAMETERS)} under scenes, got {key!r}; "
                    f"{closest(key, _PARAMETERS) or 'remove it.'}"
                )
        self._scenes = (data_root, scenes or {})
        if not kwargs.get("lazy_init"):
            self._write()
        super().__init__(
            f"annotations/{split}.json", data_root=data_root, classes_from="annotations/train.json", **kwargs
        )

    def full_init(self) -> None:
        """Write them where they are not there; then as any data."""
        if not self._fully_initialized:
            self._write()
        super().full_init()

    def _write(self) -> None:
        root, parameters = self._scenes
        # Every loader and every command of a run opens them: only what is written is told.
        write_toy_scenes(root, **parameters, tell_reuse=False)

    def _set_classes(self) -> None:
        """The classes are known without the files, which are not written for their sake."""
        given = self._metainfo.get("classes")
        if given is not None:
            check_classes(given, DIGIT_NAMES, self.ann_file)
        self._metainfo["classes"] = tuple(given or DIGIT_NAMES)


def _check_parameters(parameters: dict) -> None:
    def refuse(key: str, expected: str) -> None:
        raise InputError(f"toy scenes: expected {key} to be {expected}, got {parameters[key]}.")

    for key in ("num_train", "num_val"):
        if parameters[key] < 1:
            refuse(key, "at least 1")
    if len(parameters["size_hw"]) != 2 or not all(64 <= side <= 1024 for side in parameters["size_hw"]):
        refuse("size_hw", "height and width from 64 to 1024 px")
    fewest, most = parameters["num_objects"]
    if not 1 <= fewest <= most:
        refuse("num_objects", "two numbers from 1 up, the second not smaller")
    shortest, longest = parameters["object_px"]
    if not 8 <= shortest <= longest <= min(parameters["size_hw"]):
        refuse("object_px", "two lengths from 8 px to the image's shorter side, the second not smaller")


def _state(root: Path, parameters: dict) -> str:
    """``absent``, ``same`` (complete, these parameters), ``other`` (toy scenes, but other or damaged), ``foreign``."""
    try:
        if not any(root.iterdir()):
            return "absent"
    except FileNotFoundError:
        return "absent"
    except OSError:
        return "foreign"  # a file, or not ours to look into
    try:
        manifest = json.loads((root / "manifest.json").read_text(encoding="utf-8"))
        is_ours = manifest["made_by"] == "frozen_det toy scenes"
    except (OSError, ValueError, KeyError, TypeError):
        return "foreign"
    if not is_ours:
        return "foreign"
    same = (
        manifest.get("format") == _FORMAT
        and manifest.get("parameters") == parameters
        and manifest.get("sha256") == _digests(root)
    )
    return "same" if same else "other"


def _digests(root: Path) -> dict[str, str]:
    """SHA-256 of each annotation file, and one of all images' names and bytes."""
    digests = {}
    for split in _SPLITS:
        path = root / "annotations" / f"{split}.json"
        digests[f"annotations/{split}.json"] = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
    images = hashlib.sha256()
    for path in sorted((root / "images").glob("*.jpg")):
        images.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return {**digests, "images": images.hexdigest()}


def _put_in_place(workshop: Path, root: Path, parameters: dict) -> None:
    """Rename the new folder to ``root``. Where another process was first with the same data, keep its folder."""
    for _ in range(10):
        try:
            os.rename(workshop / "new", root)  # succeeds where root is absent or an empty folder
            return
        except OSError:
            state = _state(root, parameters)
            if state == "same":
                return
            if state == "foreign":
                break
            try:
                os.rename(root, tempfile.mkdtemp(prefix="old-", dir=workshop))
            except FileNotFoundError:
                continue  # another process has just moved it away
    raise InputError(
        f"toy scenes could not be put at {root}: something else keeps appearing there. "
        "Name another folder (key data_root)."
    )


def _write(folder: Path, parameters: dict, report: Callable[[str], None]) -> None:
    """Draw and write both splits and the manifest into ``folder``."""
    (folder / "images").mkdir(parents=True)
    (folder / "annotations").mkdir()
    sources = load_sources()
    contents = {}
    for number, split in enumerate(_SPLITS):
        rng = np.random.default_rng([parameters["seed"], number])
        contents[split] = _split_content(rng, split, sources[split], parameters, folder / "images", report)
    _add_category_counts(contents)
    for split, content in contents.items():
        text = json.dumps(content, separators=(",", ":"), allow_nan=False)
        (folder / "annotations" / f"{split}.json").write_text(text, encoding="utf-8")
    manifest = dict(
        made_by="frozen_det toy scenes",
        format=_FORMAT,
        version=__version__,
        parameters=parameters,
        sha256=_digests(folder),
    )
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _split_content(
    rng: np.random.Generator, split: str, sources, parameters: dict, images_dir: Path, report: Callable[[str], None]
) -> dict:
    """Write the split's images; return its COCO content, categories still without counts."""
    height, width = parameters["size_hw"]
    images, annotations, num_left_out = [], [], 0
    plan = _plan_labels(rng, parameters[f"num_{split}"], parameters["num_objects"], _MIN_INSTANCES[split])
    for image_id, labels in enumerate(plan, start=1):
        # A generator of its own: what one image draws does not move the next.
        scene = draw_scene(rng.spawn(1)[0], sources, labels, (height, width), parameters["object_px"])
        name = f"{split}_{image_id:05d}.jpg"
        _write_jpeg(images_dir / name, scene.image)
        present = sorted({label + 1 for label in scene.labels})
        images.append(
            dict(
                id=image_id,
                file_name=name,
                height=height,
                width=width,
                license=1,
                not_exhaustive_category_ids=[],
                neg_category_ids=[i for i in range(1, 11) if i not in present],
            )
        )
        annotations += [
            dict(
                id=len(annotations) + i,
                image_id=image_id,
                category_id=label + 1,
                bbox=mask_box_xywh(mask),
                segmentation=mask_segmentation(mask),
                area=float(np.count_nonzero(mask)),
                iscrowd=0,
            )
            for i, (label, mask) in enumerate(zip(scene.labels, scene.masks), start=1)
        ]
        num_left_out += scene.num_left_out
        if image_id % 20 == 0 or image_id == len(plan):
            report(f"\rtoy scenes: {split} {image_id}/{len(plan)}" + "\n" * (image_id == len(plan)))
    info = dict(
        description="Toy scenes: handwritten digits on photographs",
        version=str(_FORMAT),
        parameters=parameters,
        num_digits_left_out=num_left_out,
        frequency_rule=f"share of train images with the class: r up to {_RARE_SHARE:.3f}, "
        f"c up to {_COMMON_SHARE:.3f}, f above",
    )
    return dict(info=info, licenses=_LICENSES, images=images, annotations=annotations, categories=[])


def _plan_labels(rng: np.random.Generator, num_images: int, num_objects: list[int], floor: int) -> list[list[int]]:
    """The classes 0 to 9 of each image: counts with a long tail, exact over the split, dealt out at random.

    Args:
        floor: Least number of each class; less where it would be more than a twentieth of all.
    """
    sizes = rng.integers(num_objects[0], num_objects[1] + 1, num_images)
    total = int(sizes.sum())
    shares = _CLASS_DECAY ** np.arange(10)
    counts = np.maximum(np.floor(shares / shares.sum() * total).astype(int), min(floor, total // 20))
    counts[0] += total - counts.sum()  # the most frequent class takes what rounding and floors leave or need
    deck = rng.permutation(np.repeat(np.arange(10), counts))
    return [hand.tolist() for hand in np.split(deck, np.cumsum(sizes)[:-1])]


def _add_category_counts(contents: dict[str, dict]) -> None:
    """Fill ``categories`` of both splits: frequency group by the train split, counts by each split's own."""
    num_images = {split: np.zeros(10, int) for split in contents}
    num_instances = {split: np.zeros(10, int) for split in contents}
    for split, content in contents.items():
        pairs = {(a["image_id"], a["category_id"]) for a in content["annotations"]}
        num_images[split] += np.bincount([c - 1 for _, c in pairs], minlength=10)
        num_instances[split] += np.bincount([a["category_id"] - 1 for a in content["annotations"]], minlength=10)
    shares = num_images["train"] / len(contents["train"]["images"])
    for split, content in contents.items():
        content["categories"] = [
            dict(
                id=i + 1,
                name=name,
                supercategory="digit",
                synset=f"{name}.n.01",
                synonyms=[name],
                frequency="r" if shares[i] <= _RARE_SHARE else "c" if shares[i] <= _COMMON_SHARE else "f",
                image_count=int(num_images[split][i]),
                instance_count=int(num_instances[split][i]),
            )
            for i, name in enumerate(DIGIT_NAMES)
        ]


def _write_jpeg(path: Path, image_rgb: np.ndarray) -> None:
    done, coded = cv2.imencode(".jpg", image_rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    assert done
    path.write_bytes(coded.tobytes())


def _print_progress(line: str) -> None:
    """A line that rewrites itself on a terminal; elsewhere, such as in a log file, whole lines only."""
    if sys.stderr.isatty() or line.endswith("\n"):
        print(line if sys.stderr.isatty() else line.lstrip("\r"), end="", file=sys.stderr, flush=True)
