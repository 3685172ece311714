"""The images a metric was shown: each counted once, none taken for another.

Joined data sets (ConcatDataset) may number their images alike, samplers of distributed runs show an image twice, and an
annotation file may belong to other data that happen to have the same ids. An image is its id and its file; where both
agree, so must the objects. It refuses what cannot be distinguished.
"""

import re
from collections import defaultdict

from ..errors import InputError
from .ground_truth import GroundTruth


def distinct(results: list[dict], notes: list[str]) -> list[dict]:
    """The results without repetitions, in their order.

    Args:
        results: dicts with ``img_id``, ``img_path`` (None if unknown) and ``truth`` (None where it
            comes from a file).
        notes: gets a sentence where images were repeated.

    Raises:
        InputError: an id comes twice and no file says whether that is one image.
    """
    seen: dict = defaultdict(list)  # id -> its results
    kept = []
    for one in results:
        same_id = seen[one["img_id"]]
        if same_id and any(other["img_path"] is None for other in [one, *same_id]):
            raise InputError(
                f"expected every image once, got id {one['img_id']!r} several times and no 'img_path' in "
                "the data samples to distinguish images; add 'img_path' to meta_keys of PackDetInputs in "
                "the test pipeline"
            )
        if not any(other["img_path"] == one["img_path"] and other["truth"] == one["truth"] for other in same_id):
            same_id.append(one)
            kept.append(one)
    if len(kept) < len(results):
        notes.append(f"{len(results) - len(kept)} repeated images were counted once")
    return kept


def with_paths_as_ids(results: list[dict]) -> list[dict]:
    """The same results with the file as id; of an image that two data sets annotate, the second one's ends in #2."""
    times: dict = defaultdict(int)
    renamed = []
    for one in results:
        name = str(one["img_path"])
        times[name] += 1
        name += f"#{times[name]}" if times[name] > 1 else ""
        renamed.append({**one, "img_id": name, "truth": {**one["truth"], "img_id": name}})
    return renamed


def share_ids(results: list[dict]) -> bool:
    """Whether two of these results have the same id."""
    return len({one["img_id"] for one in results}) < len(results)


def check_against_file(results: list[dict], truth: GroundTruth, key: str) -> None:
    """Refuse images that an annotation file does not hold, or holds under another name or of another size.

    Args:
        results: distinct ones; ``size_hw`` is the original image's, or None.
        key: the config's key of the file, for messages.
    """
    remedy = (
        f"name the annotation file of the evaluated data set ({key}), or leave it out, so that the samples bring "
        "their own objects"
    )
    known = set(truth.image_ids)
    unknown = [one for one in results if one["img_id"] not in known]
    if unknown:
        raise InputError(
            f"expected images of {truth.where}, got {len(unknown)} others, the first with id "
            f"{unknown[0]['img_id']!r}; {remedy}"
        )
    if share_ids(results):
        paths: dict = {}
        twice = next(one for one in results if paths.setdefault(one["img_id"], one["img_path"]) != one["img_path"])
        raise InputError(
            f"expected each id of {truth.where} for one image, got {twice['img_id']!r} for "
            f"{paths[twice['img_id']]} and {twice['img_path']}: joined data sets need their own objects; "
            f"leave the annotation file out ({key}) and put 'instances' into meta_keys of PackDetInputs"
        )
    for one in results:
        image, path, expected = truth.image(one["img_id"]), one["img_path"], f"expected image {one['img_id']!r} to be"
        names = [image[name] for name in ("file_name", "coco_url") if isinstance(image.get(name), str) and image[name]]
        if path and names and _stem(path) not in map(_stem, names):
            raise InputError(f"{expected} {names[0]}, as in {truth.where}, got {path}; {remedy}")
        size_hw = truth.size_hw(one["img_id"])
        if one["size_hw"] and size_hw and tuple(one["size_hw"]) != tuple(size_hw):
            raise InputError(
                f"{expected} {size_hw[0]} x {size_hw[1]} px (height x width), as in {truth.where}, got "
                f"{one['size_hw'][0]} x {one['size_hw'][1]} ({path or 'no img_path'}): boxes would be on "
                "other pixels; correct the sizes, or turn the file as its EXIF orientation says"
            )


def _stem(path: str) -> str:
    """``b`` of ``a/b.jpg``; folders and endings may differ between a file and its entry."""
    return re.split(r"[/\\]", path)[-1].rsplit(".", 1)[0]
