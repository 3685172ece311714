"""``frozen_det.CocoMetric``: mmdet's CocoMetric for a config, hotcoco's speed, all digits kept.

It takes mmdet's ``ann_file``, ``metric``, ``classwise``, ``iou_thrs``, ``format_only`` and ``outfile_prefix`` and
gives mmdet's names (``coco/bbox_mAP``, ``coco/bbox_mAP_50``, ...) plus the six recalls. It departs from mmdet where
that is wrong or lossy: numbers are not rounded, an empty result is 0 instead of missing, images that were never
shown to the model are left out instead of counted as missed, and class-wise keys carry the kind (``bbox_``).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from mmengine.dist import is_main_process
from mmengine.evaluator import BaseMetric
from mmengine.fileio import get_local_path
from mmengine.logging import MMLogger

from ..errors import InputError
from ..registry import METRICS
from .detections import Detections, PackedMasks
from .engines import open_engine
from .evaluate import (
    NO_CATEGORY,
    Evaluation,
    category_ids_of_labels,
    check_class_list,
    check_iou_thresholds,
    check_limits,
    evaluate_detections,
    log_once,
)
from .evaluated_pass import EvaluatedPass
from .evaluation_log import class_table, number_lines, write_to_run_folder
from .ground_truth import instances_of, truth_from_samples
from .reported_names import reported_names
from .shown_images import check_against_file, distinct, share_ids, with_paths_as_ids
from .stored_results import write_stored

MAX_CLASSES_PRINTED = 200


@METRICS.register_module()
class CocoMetric(BaseMetric):
    """COCO's box and mask AP and AR.

    Every evaluation also writes a JSON with all digits, the class-wise numbers and the notes into the run's folder
    (``<work_dir>/<timestamp>/evaluation/``). A group without objects is -1, as in pycocotools; one warning names it.

    Args:
        ann_file: COCO json; None takes the ground truth from the data set (its samples need ``instances``).
        metric: 'bbox', 'segm', 'proposal' or a list of them.
        classwise: print the class-wise table and return ``{kind}_{class}_precision``.
        iou_thrs: None for 0.50:0.05:0.95.
        proposal_nums: detection limits of 'proposal'.
        format_only: store the detections and compute nothing; needs ``outfile_prefix``.
        outfile_prefix: store detections as ``{prefix}.bbox.json`` ... for
            :func:`frozen_det.evaluation.evaluate_stored`.
        label_order: 'classes': label i is the i-th name of the data set's classes, as in frozen_det's data sets;
            'file': the i-th category of the json among them, as mmdet's CocoDataset counts. The two differ only
            where the classes are in another order than in the json; a note then says so.
        engine: 'auto' (hotcoco, else a fall-back), 'hotcoco', 'faster-coco-eval' or 'pycocotools'.
        backend_args, collect_device, prefix, collect_dir: as in mmengine's BaseMetric and mmdet.
    """

    default_prefix = "coco"
    federated = False
    kinds: tuple[str, ...] = ("bbox", "segm", "proposal")

    def __init__(
        self,
        ann_file: str | None = None,
        metric: str | Sequence[str] = "bbox",
        classwise: bool = False,
        iou_thrs: float | Sequence[float] | None = None,
        proposal_nums: Sequence[int] = (100, 300, 1000),
        format_only: bool = False,
        outfile_prefix: str | None = None,
        label_order: str = "classes",
        engine: str = "auto",
        backend_args: dict | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        self.metrics = [metric] if isinstance(metric, str) else list(dict.fromkeys(metric or ()))
        if not self.metrics or not all(one in self.kinds for one in self.metrics):
            raise InputError(
                f"expected metric among {', '.join(self.kinds)}, got {metric!r} ({type(self).__name__}.metric)"
            )
        if format_only and outfile_prefix is None:
            raise InputError(
                "expected outfile_prefix with format_only=True, got None: nothing would be kept "
                f"({type(self).__name__}.outfile_prefix)"
            )
        if label_order not in ("classes", "file"):
            raise InputError(
                f"expected label_order 'classes' or 'file', got {label_order!r} ({type(self).__name__}.label_order)"
            )
        self.ann_file = ann_file
        self.label_order = label_order
        self.classwise = classwise
        self.iou_thrs: list[float] | None = None
        if iou_thrs is not None:
            thresholds = list(np.atleast_1d(np.asarray(iou_thrs, dtype=object)))
            check_iou_thresholds(thresholds, f"{type(self).__name__}.iou_thrs")
            self.iou_thrs = [float(iou) for iou in thresholds]
        check_limits(proposal_nums, f"{type(self).__name__}.proposal_nums")
        self.proposal_nums = tuple(sorted(set(proposal_nums)))
        self.format_only = format_only
        self.outfile_prefix = outfile_prefix
        self.last: EvaluatedPass | None = None  # what the newest evaluation saw, in the main process
        self._engine_name = engine
        self._engine = None
        self._truth_from_samples: dict | None = None
        self._ids_are_paths = False
        self._notes_given: set[str] = set()
        if ann_file is not None and is_main_process():
            with get_local_path(ann_file, backend_args=backend_args) as path:
                self._engine = open_engine(str(path), self.federated, engine)

    @classmethod
    def reported_names(cls, settings: Mapping) -> set[str]:
        """Names of the numbers, without the prefix, that a metric with these arguments gives."""
        return reported_names(settings, cls.federated)

    @BaseMetric.dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        """The data set's metainfo, checked when training starts instead of after its first epoch."""
        self._dataset_meta = one_metainfo(dataset_meta)
        check_class_list((self._dataset_meta or {}).get("classes"), needed=self.ann_file is None)
        if self._engine is not None:
            self._check_masks(self._engine, self._category_ids(self._engine, []))

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep what evaluation needs of a batch: arrays on the CPU, masks as run lengths."""
        with_masks = "segm" in self.metrics
        for sample in data_samples:
            predicted = sample["pred_instances"]
            lacking = [key for key in ("bboxes", "scores", "labels") if key not in predicted]
            if lacking:
                raise InputError(
                    "expected bboxes, scores and labels in the predictions, got no "
                    f"{' and no '.join(lacking)} for image {sample['img_id']!r}; take a metric that fits "
                    "the detector"
                )
            self.results.append(
                {
                    "img_id": _plain_id(sample["img_id"]),
                    "img_path": sample.get("img_path"),
                    "size_hw": None if sample.get("ori_shape") is None else tuple(map(int, sample["ori_shape"][:2])),
                    "boxes_xyxy": _array(predicted["bboxes"]),  # (n, 4)
                    "scores": _array(predicted["scores"]),  # (n,)
                    "labels": _array(predicted["labels"]),  # (n,)
                    "masks": _packed(predicted["masks"]) if with_masks and "masks" in predicted else None,
                    "mask_scores": _array(predicted["mask_scores"]) if "mask_scores" in predicted else None,
                    "truth": None if self.ann_file is not None else self._truth_of(sample),
                }
            )

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Evaluate all collected results (main process only). Returns name -> value in [0, 1], or -1."""
        logger = MMLogger.get_current_instance()
        notes: list[str] = []
        results = distinct(results, notes)
        if self.ann_file is None and (self._ids_are_paths or share_ids(results)):
            self._ids_are_paths = True
            results = with_paths_as_ids(results)
            notes.append("images of joined data sets have the same ids and are distinguished by their files")
        engine = self._opened(results)
        image_ids = self._evaluated_images(engine, results, notes)
        category_ids = self._category_ids(engine, notes)
        detections = self._detections(results, category_ids, notes)
        settings = self._settings(image_ids, category_ids)
        if set(self.metrics) & {"bbox", "segm"}:
            self.last = EvaluatedPass(
                engine.truth,
                detections.for_iou_type("bbox"),
                list(image_ids),
                list(category_ids),
                self.federated,
                self.ann_file and str(self.ann_file),
                self._truth_from_samples,
            )
        evaluation = None
        if not self.format_only:
            evaluation = evaluate_detections(engine, detections, **settings)
            evaluation.notes[:0] = notes
        if self.outfile_prefix is not None:
            written = write_stored(
                self.outfile_prefix, detections, settings, self.ann_file, evaluation, self._truth_from_samples
            )
            logger.info("Detections are stored in %s", ", ".join(str(path) for path in written))
        if evaluation is None:
            return {}
        log_once(evaluation.notes, self._notes_given, logger)
        self._report(evaluation, results, logger)
        return {**evaluation.flat(), **self._class_numbers(evaluation)}

    def _truth_of(self, sample: dict) -> dict:
        height, width = sample["ori_shape"][:2]
        return {
            "img_id": _plain_id(sample["img_id"]),
            "img_path": sample.get("img_path"),
            "height": height,
            "width": width,
            "instances": instances_of(sample),
        }

    def _opened(self, results: list[dict]):
        """The ground truth in an engine; taken from the samples of the first validation where there is no file."""
        if self._engine is None:
            if not results:
                raise InputError(
                    "expected at least one evaluated image, got none, and without ann_file there is no "
                    f"ground truth ({type(self).__name__}.ann_file)"
                )
            self._truth_from_samples = truth_from_samples([one["truth"] for one in results], self._classes_of_set())
            self._engine = open_engine(self._truth_from_samples, self.federated, self._engine_name)
        return self._engine

    def _classes_of_set(self) -> Sequence:
        return self.dataset_meta["classes"]

    def _category_ids(self, engine, notes: list[str]) -> list:
        """Category id of each label."""
        classes = (self.dataset_meta or {}).get("classes")
        categories = engine.truth.categories
        if classes is None or self.ann_file is None:
            return [category["id"] for category in categories]
        ids = category_ids_of_labels(classes, categories, str(self.ann_file), self.label_order)
        absent = [name for name, category in zip(classes, ids) if category == NO_CATEGORY]
        if absent:
            notes.append(
                f"{len(absent)} of {len(classes)} classes are not in {self.ann_file} ({', '.join(absent[:3])}"
                f"{', ...' if len(absent) > 3 else ''}): their detections are left out"
            )
        elif ids != category_ids_of_labels(classes, categories, str(self.ann_file), "file"):
            notes.append(
                "the classes are in another order than in the annotation file: label i is taken as the "
                "i-th class; with mmdet's own CocoDataset set label_order='file'"
            )
        return ids

    def _check_masks(self, engine, category_ids) -> None:
        if "segm" in self.metrics and not self.format_only:
            truth = engine.truth
            truth.must_have_masks(
                truth.image_numbers(truth.image_ids),
                truth.category_numbers([one for one in category_ids if one != NO_CATEGORY]),
            )

    def _evaluated_images(self, engine, results: list[dict], notes: list[str]) -> list:
        """Images that were shown to the model; all of the ground truth where nothing was shown at all."""
        known = engine.truth.image_ids
        if self.ann_file is not None:
            check_against_file(results, engine.truth, f"{type(self).__name__}.ann_file")
        shown = {one["img_id"] for one in results}
        if not shown:
            return known
        if len(shown) < len(known):
            notes.append(
                f"{len(known) - len(shown)} of {len(known)} annotated images were not shown to the model "
                "and are left out"
            )
        return [image_id for image_id in known if image_id in shown]

    def _detections(self, results, category_ids, notes: list[str]) -> Detections:
        with_masks = "segm" in self.metrics
        if with_masks and any(one["masks"] is None for one in results):
            raise InputError(
                f"expected masks in the predictions, got boxes only ({type(self).__name__}.metric="
                f"{self.metrics}); evaluate 'bbox' or give the detector a mask head"
            )
        detections = Detections.from_images(results, category_ids, with_masks)
        if NO_CATEGORY in category_ids:
            detections = detections.take(np.array([one is not NO_CATEGORY for one in detections.category_ids], bool))
        finite = detections.finite()
        if len(finite) < len(detections):
            notes.append(
                f"{len(detections) - len(finite)} of {len(detections)} detections had a NaN or infinite box "
                "or score and were dropped"
            )
        return finite

    def _settings(self, image_ids, category_ids) -> dict:
        """Keyword arguments of evaluate_detections, as they are stored too."""
        return {
            "federated": self.federated,
            "iou_types": list(self.metrics),
            "image_ids": list(image_ids),
            "category_ids": [category for category in category_ids if category != NO_CATEGORY],
            "iou_thresholds": self.iou_thrs,
            "max_detections": {"proposal": list(self.proposal_nums)},
            "fixed_ap": False,
        }

    def _report(self, evaluation: Evaluation, results: list[dict], logger) -> None:
        for line in number_lines(evaluation):
            logger.info(line)
        if self.classwise:
            for iou_type, rows in evaluation.classes.items():
                if len(rows) <= MAX_CLASSES_PRINTED:
                    logger.info("%s by class\n%s", iou_type, class_table(rows))
        num_without = sum(len(one["scores"]) == 0 for one in results)
        path = write_to_run_folder(evaluation, self.prefix, self.ann_file, num_without)
        if path is not None:
            logger.info("All digits, by class: %s", Path(path))

    def _class_numbers(self, evaluation: Evaluation) -> dict[str, float]:
        if not self.classwise:
            return {}
        return {
            f"{iou_type}_{row['name']}_precision": row["AP"]
            for iou_type, rows in evaluation.classes.items()
            for row in rows
        }


def one_metainfo(metainfo) -> dict:
    """The metainfo of a data set; of a joined one the members', which must list the same classes.

    mmdet's ConcatDataset gives a list where its members differ in anything.
    """
    if not isinstance(metainfo, list | tuple):
        return metainfo
    for key in ("classes", "frequency"):
        for one in metainfo[1:]:
            if one.get(key) != metainfo[0].get(key):
                raise InputError(
                    f"expected the members of a joined data set to list the same {key} in the same order, got "
                    f"{list(metainfo[0].get(key) or ())[:8]} and {list(one.get(key) or ())[:8]}: a label would mean "
                    "two things; give each member the same metainfo=dict(classes=(...)) or classes_from "
                    "(ConcatDataset)"
                )
    return metainfo[0]


def _array(values) -> np.ndarray:
    """A tensor (of any device and precision), boxes of mmdet's own kind or an array, as numpy knows it."""
    values = getattr(values, "tensor", values)
    if not hasattr(values, "detach"):
        return np.asarray(values)
    values = values.detach().cpu()
    return (values.float() if values.dtype.is_floating_point and values.element_size() < 4 else values).numpy()


def _plain_id(image_id):
    """A whole number or a text, whatever held it."""
    return image_id.item() if hasattr(image_id, "item") else image_id


def _packed(masks) -> PackedMasks:
    """Masks of one image, (n, h, w) bool tensor or run lengths already."""
    from mmdet.structures.mask import encode_mask_results

    return PackedMasks.pack(encode_mask_results(masks.detach().cpu().numpy()) if hasattr(masks, "detach") else masks)
