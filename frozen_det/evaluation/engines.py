"""Three evaluators behind one door: hotcoco first, faster-coco-eval and pycocotools as fall-backs.

Each matches detections to objects and accumulates; none of the numbers is computed by an evaluator of ours. The
three agree to 1e-6 and better (tests/evaluation/test_engines.py). LVIS's federated rules (a category is judged
only in images where it is annotated, or listed as absent or as not exhaustively annotated) exist in hotcoco and
faster-coco-eval; pycocotools refuses that protocol.
"""

import contextlib
import io
import json
import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from ..errors import InputError, closest
from .accumulated import Accumulated
from .detections import Detections
from .ground_truth import annotation_area

NO_LIMIT = 1_000_000  # a detection limit that no image reaches
HOTCOCO_LVIS_LIMIT = 300


@dataclass(frozen=True)
class Protocol:
    """What is counted.

    Attributes:
        iou_type: 'bbox' or 'segm'.
        federated: LVIS's rules instead of COCO's.
        max_detections: limits per image and category, ascending.
        iou_thresholds: None for 0.50, 0.55, ..., 0.95.
        with_categories: False pools all categories (proposals).
        image_ids, category_ids: what is evaluated.
    """

    iou_type: str
    federated: bool
    max_detections: tuple[int, ...]
    image_ids: tuple[int, ...]
    category_ids: tuple[int, ...]
    iou_thresholds: tuple[float, ...] | None = None
    with_categories: bool = True


def open_engine(ground_truth, federated: bool = False, name: str = "auto"):
    """Load the ground truth into the first engine that is installed and knows the protocol.

    Args:
        ground_truth: path of a COCO or LVIS json, or its content as a dict.
        federated: whether LVIS's rules are needed.
        name: 'auto', 'hotcoco', 'faster-coco-eval' or 'pycocotools'.

    Raises:
        InputError: an unknown or unfit engine, or none installed.
    """
    engines = {engine.name: engine for engine in (HotcocoEngine, FasterEngine, PycocotoolsEngine)}
    if name != "auto":
        if name not in engines:
            raise InputError(f"expected an engine among {', '.join(engines)} or 'auto', got {name!r} "
                             f"(engine=...); {closest(name, engines)}")
        engines = {name: engines[name]}
    fitting = [engine for engine in engines.values() if engine.knows_federated or not federated]
    if not fitting:
        raise InputError(f"expected an engine that knows LVIS's federated rules, got {name!r} (engine=...); "
                         "use engine='hotcoco' or 'faster-coco-eval'")
    for engine in fitting:
        if engine.installed():
            return engine(ground_truth)
    raise InputError(f"expected one of {', '.join(engine.name for engine in fitting)} to be installed, got none; "
                     f"`pip install {fitting[0].name}`")


class HotcocoEngine:
    """hotcoco (MIT, Rust): reads the json itself and takes detections as columns."""

    name = "hotcoco"
    knows_federated = True

    def __init__(self, ground_truth):
        import hotcoco

        self._hotcoco = hotcoco
        try:
            self._truth = hotcoco.COCO(ground_truth)
        except (ValueError, OSError) as error:
            raise InputError(f"expected a COCO or LVIS annotation json, got one that cannot be read "
                             f"({error}) in {_where(ground_truth)}; repair the file") from error
        self.notes = [f"annotations: {text}" for text in self._truth.load_warnings]
        self._fill_missing_areas()

    @classmethod
    def installed(cls) -> bool:
        return _version("hotcoco") is not None

    @property
    def label(self) -> str:
        return f"hotcoco {_version('hotcoco')}"

    def categories(self) -> list[dict]:
        """Categories in the order of the json."""
        return list(self._truth.cats.values())

    def image_ids(self) -> list[int]:
        return self._truth.get_img_ids()

    def load(self, detections, per_image_limit: int | None = None):
        """Hand over detections: columns, or the path of a COCO result json (read without passing through Python)."""
        if isinstance(detections, str | os.PathLike):
            return self._hotcoco.LVISResults(self._truth, str(detections), max_dets=per_image_limit)
        if per_image_limit is not None:
            detections = detections.best_per_image(per_image_limit)
        loaded = self._from_columns(detections)
        # hotcoco cuts a federated evaluation at 300 per image by itself unless the cut is marked as done.
        own_limit = per_image_limit is not None and per_image_limit != HOTCOCO_LVIS_LIMIT
        return loaded.cap_detections_per_image(None) if own_limit else loaded

    def _from_columns(self, detections: Detections):
        columns = np.column_stack([detections.image_ids, detections.boxes_xywh, detections.scores,
                                   detections.category_ids]).astype(np.float64, copy=False)
        if detections.masks is None:
            return self._truth.load_res(columns)
        loaded = self._truth.load_res(columns, segmentation=detections.masks)
        if detections.masks:
            # From columns hotcoco sizes a detection by its box; the reference sizes masks by their pixels.
            loaded.update_anns(ids=np.arange(1, len(detections) + 1), area=self._hotcoco.mask.area(detections.masks))
        return loaded

    @staticmethod
    def count(loaded) -> int:
        """Number of detections that were handed over."""
        return len(loaded.get_ann_ids())

    def accumulate(self, loaded, protocol: Protocol) -> Accumulated:
        evaluator = self._hotcoco.COCOeval(self._truth, loaded, protocol.iou_type, lvis_style=protocol.federated)
        params = evaluator.params
        params.img_ids, params.cat_ids = list(protocol.image_ids), sorted(protocol.category_ids)
        params.max_dets, params.use_cats = list(protocol.max_detections), protocol.with_categories
        if protocol.iou_thresholds is not None:
            params.iou_thrs = list(protocol.iou_thresholds)
        evaluator.evaluate()
        evaluator.accumulate()
        arrays = evaluator.eval
        return _accumulated(arrays["precision"], arrays["recall"], evaluator.params.iou_thrs, protocol)

    def _fill_missing_areas(self) -> None:
        """An annotation without ``area`` would count as size 0, that is as small: give it its mask's or box's."""
        truth = self._truth
        with_area = set(truth.get_ann_ids(area_rng=[-np.inf, np.inf]))
        missing = [ann for ann in truth.get_ann_ids() if ann not in with_area]
        if missing:
            size_of = {image["id"]: (image["height"], image["width"]) for image in truth.imgs.values()}
            truth.update_anns(ids=missing, area=[
                annotation_area(ann, size_of[ann["image_id"]]) for ann in truth.load_anns(missing)])
            self.notes.append(_areas_note(len(missing)))


class PycocotoolsEngine:
    """pycocotools, the reference of COCO."""

    name = "pycocotools"
    knows_federated = False

    def __init__(self, ground_truth):
        if not isinstance(ground_truth, dict):
            try:
                with open(ground_truth, encoding="utf-8") as file:
                    ground_truth = json.load(file)
            except (ValueError, OSError) as error:
                raise InputError(f"expected a COCO or LVIS annotation json, got one that cannot be read "
                                 f"({error}) in {_where(ground_truth)}; repair the file") from error
        self.notes = []
        self._coco_class, self._evaluator_class = self._classes()
        self._truth = self._indexed(dict(ground_truth, annotations=self._prepared(ground_truth)))

    @classmethod
    def installed(cls) -> bool:
        return _version(cls.name) is not None

    @property
    def label(self) -> str:
        return f"{self.name} {_version(self.name)}"

    def categories(self) -> list[dict]:
        """Categories in the order of the json."""
        return self._truth.dataset["categories"]

    def image_ids(self) -> list[int]:
        return sorted(self._truth.imgs)

    def load(self, detections, per_image_limit: int | None = None):
        """Hand over detections: columns, or the path of a COCO result json."""
        if isinstance(detections, str | os.PathLike):
            with open(detections, encoding="utf-8") as file:
                detections = Detections.from_coco_results(json.load(file))
        if per_image_limit is not None:
            detections = detections.best_per_image(per_image_limit)
        if len(detections) == 0:  # loadRes raises on an empty list
            return self._indexed(dict(self._truth.dataset, annotations=[]))
        with contextlib.redirect_stdout(io.StringIO()):
            return self._truth.loadRes(detections.to_coco_results("segm" if detections.masks else "bbox"))

    @staticmethod
    def count(loaded) -> int:
        """Number of detections that were handed over."""
        return len(loaded.anns)

    def accumulate(self, loaded, protocol: Protocol) -> Accumulated:
        with contextlib.redirect_stdout(io.StringIO()):
            evaluator = self._evaluator(loaded, protocol)
            params = evaluator.params
            params.imgIds, params.catIds = list(protocol.image_ids), sorted(protocol.category_ids)
            params.maxDets, params.useCats = list(protocol.max_detections), int(protocol.with_categories)
            if protocol.iou_thresholds is not None:
                params.iouThrs = np.array(protocol.iou_thresholds)
            evaluator.evaluate()
            evaluator.accumulate()
        return _accumulated(evaluator.eval["precision"], evaluator.eval["recall"], params.iouThrs, protocol)

    @staticmethod
    def _classes():
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval

        return COCO, COCOeval

    def _evaluator(self, loaded, protocol: Protocol):
        return self._evaluator_class(self._truth, loaded, protocol.iou_type)

    def _prepared(self, ground_truth: dict) -> list[dict]:
        """Annotations with what the reference asks for and converted data sets often lack.

        Ids are counted from 1: pycocotools marks 'unmatched' by 0, so an object with id 0 is never found.
        """
        size_of = {image["id"]: (image["height"], image["width"]) for image in ground_truth["images"]}
        annotations = [dict(ann, id=number, iscrowd=ann.get("iscrowd", 0))
                       for number, ann in enumerate(ground_truth.get("annotations", []), start=1)]
        lacking = [ann for ann in annotations if ann.get("area") is None]
        for ann in lacking:
            ann["area"] = annotation_area(ann, size_of[ann["image_id"]])
        if lacking:
            self.notes.append(_areas_note(len(lacking)))
        return annotations

    def _indexed(self, dataset: dict):
        with contextlib.redirect_stdout(io.StringIO()):
            coco = self._coco_class()
            coco.dataset = dataset
            coco.createIndex()
        return coco


class FasterEngine(PycocotoolsEngine):
    """faster-coco-eval (Apache-2.0, C++), pycocotools' interface and LVIS's rules."""

    name = "faster-coco-eval"
    knows_federated = True

    @staticmethod
    def _classes():
        from faster_coco_eval import COCO, COCOeval_faster

        return COCO, COCOeval_faster

    def _evaluator(self, loaded, protocol: Protocol):
        return self._evaluator_class(self._truth, loaded, protocol.iou_type, lvis_style=protocol.federated)


def _accumulated(precision, recall, iou_thresholds, protocol: Protocol) -> Accumulated:
    categories = sorted(protocol.category_ids) if protocol.with_categories else [-1]
    shape = (len(iou_thresholds), -1, len(categories), 4, len(protocol.max_detections))
    precision = np.asarray(precision, np.float64).reshape(shape)
    return Accumulated(precision, np.asarray(recall, np.float64).reshape(shape[:1] + shape[2:]),
                       tuple(float(iou) for iou in iou_thresholds), tuple(categories), protocol.max_detections)


def _areas_note(num_annotations: int) -> str:
    return f"{num_annotations} annotations have no 'area': their mask's, else their box's, was used"


def _where(ground_truth) -> str:
    return "the given dict" if isinstance(ground_truth, dict) else str(ground_truth)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
