"""COCO-style data whose classes come from the data, checked on reading, with reproducible samples.

Label i is the i-th class by name, whatever the order or the ids in the json. Whatever is dropped is counted and
logged once; an annotation file that keeps no image or no object, unknown classes, images that are missing, broken,
listed twice or of another size than annotated are refused.
"""

import logging
import os
import os.path as osp
from collections import Counter

import numpy as np
from mmdet.datasets import CocoDataset as MMDetCocoDataset
from mmengine.logging import print_log
from mmengine.utils import is_abs

from ..errors import InputError, check_choice, closest
from ..registry import DATASETS
from ..text_files import is_readable_kind, no_collector
from .images.check import ImageCheck, check_listed_once, decoded_size_fault, failure_fault, smallest_fit
from .images.files import ends_early, image_fault, missing_files
from .images.pixels import PixelReader
from .readers.annotation_check import class_counts, read_annotations, read_classes
from .readers.class_names import check_classes, check_metainfo, few_names
from .readers.folder_layout import EXPECTED_TREES, user_split
from .samplers.data_fraction import check_fraction, draw_fraction, fraction_record
from .samplers.seeding import SeededSamples
from .used_objects import (
    BELOW_1_PX,
    REPEATED,
    UNKNOWN_AREA,
    check_masks,
    check_used,
    empty_mask_in_words,
    in_words,
    nothing_left,
    num_repeated,
    stated_area,
    transforms_of,
)

_FILTERS = ("filter_empty_gt", "min_size")
_OR_SKIP = ", or set on_broken_image='skip' (training only) in the dataset's config."


@DATASETS.register_module()
class CocoDataset(SeededSamples, MMDetCocoDataset):
    """mmdet's CocoDataset with class names from the annotation file, checks, and seeded samples.

    Args:
        ann_file: COCO json, relative to ``data_root``.
        split: Instead of ``ann_file``: ``train``, ``val`` or ``test`` of the user's data under ``data_root``, in
            any tree that :func:`~frozen_det.datasets.readers.folder_layout.resolve_user_data` knows. The classes are
            then the train split's.
        classes_from: Json whose categories are the classes, relative to ``data_root`` or to the working
            directory. Validation data need it: their own json may list other classes, or in another order.
            ``metainfo=dict(classes=...)`` goes before it; without either, this json's own categories are taken.
        on_broken_image: ``error``, or ``skip`` to take another sample instead, in training only; of images that
            cannot be decoded and of those that have another size than the json says.
        on_outside_box: ``error`` for boxes wholly outside their image, or ``drop``.
        allow_empty: Whether training data may be without a single annotation: pictures of nothing, beside others.
        fraction: Share of the images to train on, a number in (0, 1] or ``dict(share=0.1, seed=0)``; drawn by
            :func:`~frozen_det.datasets.samplers.data_fraction.draw_fraction` after the filters, told by
            ``fraction_record``.
        data_root, data_prefix, metainfo, filter_cfg, pipeline, lazy_init and others: As in mmdet;
            ``data_prefix`` is ``dict(img='images/')`` by default.

    In test mode the objects carry their ``area``, where it is known, and ``ignore`` mark, too, for metrics without an
    annotation file.

    An annotation with a true ``pseudo`` is a pseudo label, which is trained on but never pasted elsewhere.
    A transform of the pipeline that has a method ``bind`` gets this dataset once its annotations are read.

    Raises:
        InputError: Where data or arguments do not fit.
    """

    METAINFO: dict = {}
    # Keys that may hold the name of an image file; the first one that an image has is taken.
    IMAGE_NAME_KEYS: tuple[str, ...] = ("file_name",)

    def __init__(
        self,
        ann_file: str = "",
        *,
        split: str | None = None,
        classes_from: str | None = None,
        on_broken_image: str = "error",
        on_outside_box: str = "error",
        data_root: str = "",
        data_prefix: dict | None = None,
        filter_cfg: dict | None = None,
        lazy_init: bool = False,
        fraction: float | dict | None = None,
        allow_empty: bool = False,
        **kwargs,
    ) -> None:
        check_choice("on_broken_image", on_broken_image, ("error", "skip"), " in the dataset's config")
        check_choice("on_outside_box", on_outside_box, ("error", "drop"), " in the dataset's config")
        check_metainfo(kwargs.get("metainfo"))
        for key in filter_cfg or {}:
            if key not in _FILTERS:
                raise InputError(
                    f"expected the keys {', '.join(_FILTERS)} in filter_cfg, got {key!r}; "
                    f"{closest(key, _FILTERS) or 'remove it.'}"
                )
        if split is not None:
            ann_file, data_prefix, classes_from = user_split(split, ann_file, data_root, classes_from)
        if fraction is not None and kwargs.get("test_mode"):
            raise InputError(
                f"expected fraction in training data only, got {fraction!r} with test_mode=True; numbers "
                "from a part of the validation images would not compare. Remove it from the dataset."
            )
        self._fraction = None if fraction is None else check_fraction(fraction)
        self.fraction_record: dict | None = None
        if not ann_file:
            raise InputError(
                "expected ann_file, a COCO json, or split with data_root in the dataset's config, got "
                f"neither.\n{EXPECTED_TREES}"
            )
        self.classes_from = classes_from
        self.on_broken_image, self.on_outside_box, self.allow_empty = on_broken_image, on_outside_box, allow_empty
        self._may_skip = on_broken_image == "skip" and not kwargs.get("test_mode")
        self._content: dict | None = None
        super().__init__(
            ann_file=ann_file,
            data_root=data_root,
            filter_cfg=filter_cfg,
            lazy_init=True,
            data_prefix=data_prefix or {"img": "images/"},
            **kwargs,
        )
        transforms = list(transforms_of(self.pipeline))
        self._image_check = ImageCheck(PixelReader.of(transforms), self.ann_file, smallest_fit(transforms))
        # Also before the annotations are loaded: dataset wrappers compare the classes of lazy datasets.
        self._set_classes()
        if lazy_init:
            self._content = None
        else:
            self.full_init()

    def full_init(self) -> None:
        """Load, filter, serialize; then show the dataset to the transforms that ask for it."""
        if self._fully_initialized:
            return
        with no_collector():
            super().full_init()
        self._content = None
        for transform in transforms_of(self.pipeline):
            if hasattr(transform, "bind"):
                transform.bind(self)

    def load_data_list(self) -> list[dict]:
        """One dict for each image of the json, as mmdet's; boxes that cannot be used are left out and counted."""
        content = self._read()
        names = {category["id"]: category["name"] for category in content["categories"]}
        labels = {name: label for label, name in enumerate(self._metainfo["classes"])}
        self.cat2label = {i: labels[name] for i, name in names.items() if name in labels}
        self.cat_ids = sorted(self.cat2label, key=self.cat2label.get)
        self._dropped = Counter(self._notes)
        self._of_no_area = set(self._empty_masks)
        learns_masks = any(getattr(one, "with_mask", False) for one in transforms_of(self.pipeline))
        self._drops_empty_masks = learns_masks and not self.test_mode
        annotations: dict = {image["id"]: [] for image in content["images"]}
        for annotation in content["annotations"]:
            annotations[annotation["image_id"]].append(annotation)
        data_list = [
            self.parse_data_info(
                {"raw_img_info": {**image, "img_id": image["id"]}, "raw_ann_info": annotations[image["id"]]}
            )
            for image in content["images"]
        ]
        check_listed_once(data_list, self.ann_file)
        return self._without_missing(data_list)

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """mmdet's dict of one image. Rules for the boxes as in mmdet: at least 1 px wide and high, on the image, of a
        class requested; crowds stay with ``ignore_flag`` 1, boxes that stick out stay whole. An area of 0 or less
        is one that the file does not state (mmdet drops the object)."""
        image, annotations = raw_data_info["raw_img_info"], raw_data_info["raw_ann_info"]
        name = self.image_name(image)
        data_info = super().parse_data_info({"raw_img_info": {**image, "file_name": name}, "raw_ann_info": []})
        for annotation in annotations:
            reason = self._unusable(annotation, image, data_info["img_path"])
            if reason:
                self._dropped[reason] += 1
                continue
            x, y, width, height = annotation["bbox"]
            crowd = int(bool(annotation.get("iscrowd", False)))
            self._dropped["boxes"] += 1
            self._dropped["crowds, kept as regions to ignore"] += crowd
            area = stated_area(annotation, image)
            self._dropped[UNKNOWN_AREA] += area is None
            instance = {
                "ignore_flag": crowd,
                "bbox": [x, y, x + width, y + height],
                "bbox_label": self.cat2label[annotation["category_id"]],
            }
            if annotation.get("segmentation"):
                instance["mask"] = annotation["segmentation"]
            if annotation.get("pseudo"):
                instance["pseudo"] = True
            if self.test_mode:  # by what an object is judged
                instance.update({"area": area} if area is not None else {}, ignore=bool(annotation.get("ignore")))
            data_info["instances"].append(instance)
        self._dropped[REPEATED] += num_repeated(data_info["instances"])
        return data_info

    def image_name(self, image: dict) -> str:
        """Name of an image's file below ``data_prefix``, from its entry in the json."""
        return next(image[key] for key in self.IMAGE_NAME_KEYS if key in image)

    def filter_data(self) -> list[dict]:
        """Leave out images without an instance and small ones, by ``filter_cfg`` and not in test mode; then log
        all counts in one line. Raises InputError when nothing is left."""
        num_images, kept = len(self.data_list), self.data_list
        filters = {} if self.test_mode else self.filter_cfg or {}
        min_size = filters.get("min_size", 0)
        kept = [info for info in kept if min(info["width"], info["height"]) >= min_size]
        self._dropped[f"images with a side below {min_size} px"] = num_images - len(kept)
        if filters.get("filter_empty_gt", False):
            num_large = len(kept)
            kept = [info for info in kept if info["instances"]]
            self._dropped["images without an object"] = num_large - len(kept)
        if not kept:
            raise nothing_left(self._read(), self._dropped, self._metainfo["classes"], filters, self.ann_file)
        check_used(
            kept, len(self._read()["annotations"]), self._dropped, self.ann_file, self.test_mode, self.allow_empty
        )
        check_masks(kept, transforms_of(self.pipeline), self.ann_file)
        if self._fraction is not None:
            kept = self._drawn(kept)
        print_log(in_words(self._read(), self._dropped, len(kept), self._metainfo["classes"], self.ann_file), "current")
        self._look_at_images(kept)
        self._encoded_paths = np.array([os.fsencode(info["img_path"]) for info in kept])
        return kept

    def _drawn(self, data_list: list[dict]) -> list[dict]:
        """The fraction of the images; crowds and boxes to ignore are no reason to keep an image."""
        share, seed = self._fraction
        labels = {
            info["img_id"]: {i["bbox_label"] for i in info["instances"] if not i["ignore_flag"]} for info in data_list
        }
        ids = draw_fraction(labels, share, seed)
        self.fraction_record = fraction_record(ids, share, seed, len(data_list), self.ann_file)
        self._dropped[f"images outside the fraction {share:g} of seed {seed}"] = len(data_list) - len(ids)
        drawn = set(ids)
        return [info for info in data_list if info["img_id"] in drawn]

    def prepare_data(self, idx: int):
        """Run the pipeline on one sample; an image that cannot be decoded whole, or is not the one that was annotated,
        is refused or skipped."""
        data_info = self.get_data_info(idx)
        fault = self._fault_at_a_glance(data_info)
        if fault is None:
            try:
                sample = self.pipeline(data_info)
            except Exception as error:
                fault = failure_fault(error, data_info) if self._local else None
                if fault is None:
                    raise
            else:
                fault = decoded_size_fault(sample, data_info)
                if fault is None:
                    return sample
        message = self._refusal(f"sample {idx}", data_info["img_path"], fault)
        if self._may_skip:
            print_log(f"{message.replace('expected', 'skipped: expected', 1)}.", "current", logging.WARNING)
            return None
        raise InputError(f"{message}{_OR_SKIP}")

    def _refusal(self, which: str, path: str, fault: str) -> str:
        return (
            f"expected a readable image, as it is annotated, as {which} of {self.ann_file}, got {path}: {fault}; "
            "replace the file, or correct or remove its entry in the json"
        )

    def _look_at_images(self, data_list: list[dict]) -> None:
        """Refuse or name already here what a sample of the images shows."""
        if not self._local or not list(transforms_of(self.pipeline)):
            return  # pixels are not read
        found = self._image_check.look([(info["img_path"], (info["height"], info["width"])) for info in data_list])
        if found is not None and not self._may_skip:
            raise InputError(f"{self._refusal('one', *found)}{_OR_SKIP}")

    @property
    def image_paths(self) -> list[str]:
        """The image files after all filters; none where they are not files of this machine."""
        self.full_init()
        return [os.fsdecode(path) for path in self._encoded_paths] if self._local else []

    @property
    def _local(self) -> bool:
        """Whether the images are files of this machine."""
        return self.backend_args is None or self.backend_args.get("backend") == "local"

    def _read(self) -> dict:
        """The checked content, read once for class names and entries."""
        if self._content is None:
            if not osp.isfile(self.ann_file):
                raise InputError(
                    f"expected an annotation file at {self.ann_file} (ann_file, joined to data_root), "
                    f"got nothing there.\n{EXPECTED_TREES}"
                )
            self._notes: Counter = Counter()
            self._empty_masks: list = []
            self._content = read_annotations(
                self.ann_file,
                self.IMAGE_NAME_KEYS,
                not self.test_mode,
                self._notes,
                keep_root=self._metainfo.get("classes") is not None,
                empty_masks=self._empty_masks,
            )
        return self._content

    def _set_classes(self) -> None:
        """Put the class names into the metainfo: the ones given, those of ``classes_from``, or the json's own."""
        own = tuple(class_counts(self._read()))
        given = self._metainfo.get("classes")
        if given is not None:
            check_classes(given, own, self.ann_file)
            classes = tuple(given)
        elif self.classes_from is not None:
            classes = read_classes(self._classes_path())
            if not set(classes) & set(own):
                raise InputError(
                    f"expected {self.ann_file} and {self._classes_path()} (classes_from) to share "
                    f"classes, got {few_names(own)} and {few_names(classes)}; name the json of the "
                    "same data."
                )
        else:
            classes = own
        self._metainfo["classes"] = classes

    def _classes_path(self) -> str:
        if not is_abs(self.classes_from) and self.data_root:
            below_root = osp.join(self.data_root, self.classes_from)
            if osp.exists(below_root) or not osp.exists(self.classes_from):
                return below_root
        return self.classes_from

    def _unusable(self, annotation: dict, image: dict, path: str) -> str | None:
        """Why an annotation is left out, as text; None if it is used. In test mode every object of the classes stays:
        what it counts for is the metric's to say."""
        if annotation.get("ignore", False) and not self.test_mode:
            return "boxes marked ignore"
        if annotation["category_id"] not in self.cat2label:
            return "boxes of other classes"
        x, y, width, height = annotation["bbox"]
        if not self.test_mode and (width < 1 or height < 1):
            return BELOW_1_PX
        if min(x + width, image["width"]) <= max(x, 0) or min(y + height, image["height"]) <= max(y, 0):
            if self.on_outside_box == "error":
                fault = self._image_check.fault(path, (image["height"], image["width"])) if self._local else None
                if fault is not None:
                    raise InputError(f"{self._refusal('one', path, fault)}.")
                raise InputError(
                    f"{self.ann_file}: annotation id {annotation['id']}: expected a box on its image "
                    f"{image['id']} of {image['width']} x {image['height']} px, got [x, y, width, height] = "
                    f"{annotation['bbox']}; correct it, or set on_outside_box='drop' in the dataset's config."
                )
            return "boxes outside their image"
        if annotation["id"] in self._of_no_area:
            what = empty_mask_in_words(self._empty_masks, self._drops_empty_masks)
            if self._drops_empty_masks:
                return what
            self._dropped[what] += 1
        if x < -1 or y < -1 or x + width > image["width"] + 1 or y + height > image["height"] + 1:
            self._dropped["boxes sticking out of their image, kept and clipped by the pipeline"] += 1
        return None

    def _without_missing(self, data_list: list[dict]) -> list[dict]:
        """Images whose file is there. Raises InputError for missing ones unless they may be skipped."""
        if not self._local:
            return data_list
        missing = missing_files(info["img_path"] for info in data_list)
        if missing and (self.on_broken_image == "error" or self.test_mode):
            first = next(info["img_path"] for info in data_list if info["img_path"] in missing)
            slashes = " file names have backslashes, write / instead;" if "\\" in first else ""
            raise InputError(
                f"{self.ann_file}: expected the files of its {len(data_list)} images under "
                f"{self.data_prefix['img']} (data_prefix), got {len(missing)} that are not there, the first "
                f"{first};{slashes} correct data_root or data_prefix, or, for training with the rest, set "
                f"on_broken_image='skip'.\n{EXPECTED_TREES}"
            )
        self._dropped["images without a file"] = len(missing)
        return [info for info in data_list if info["img_path"] not in missing]

    def _fault_at_a_glance(self, data_info: dict) -> str | None:
        """A file that is cut short, of another size than annotated, or of a depth that means nothing."""
        path = data_info["img_path"]
        if not self._local or path in self._image_check.seen:
            return None
        if not is_readable_kind(path):
            return "it is a folder, a pipe or a device"
        fault = image_fault(path) if ends_early(path) else None
        return fault or self._image_check.fault(path, (data_info["height"], data_info["width"]))
