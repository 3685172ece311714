"""Three evaluators behind one interface: hotcoco first, faster-coco-eval and pycocotools as fall-backs.

Each matches detections to objects and accumulates; none of the numbers is computed by an evaluator of ours. The
three agree to 1e-6 and better (tests/evaluation/test_engines.py). LVIS's federated rules (a category is judged
only in images where it is annotated, or listed as absent or as not exhaustively annotated) exist in hotcoco and
faster-coco-eval; pycocotools refuses that protocol. Engines see numbers from 1 in place of ids, see
:mod:`.ground_truth`.
"""

import contextlib
import io
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from ..errors import InputError, closest
from .accumulated import Accumulated
from .detections import Detections
from .ground_truth import GroundTruth, read_truth

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
        images, categories: numbers of what is evaluated.
    """

    iou_type: str
    federated: bool
    max_detections: tuple[int, ...]
    images: tuple[int, ...]
    categories: tuple[int, ...]
    iou_thresholds: tuple[float, ...] | None = None
    with_categories: bool = True


def open_engine(ground_truth, federated: bool = False, name: str = "auto"):
    """Load the ground truth into the first engine that is installed and knows the protocol.

    Args:
        ground_truth: path of a COCO or LVIS json, or its content as a dict.
        federated: whether LVIS's rules are needed.
        name: 'auto', 'hotcoco', 'faster-coco-eval' or 'pycocotools'.

    Raises:
        InputError: an unknown or unfit engine, none installed, or a ground truth that cannot be counted against.
    """
    engines = {engine.name: engine for engine in (HotcocoEngine, FasterEngine, PycocotoolsEngine)}
    if name != "auto":
        if name not in engines:
            raise InputError(
                f"expected an engine among {', '.join(engines)} or 'auto', got {name!r} "
                f"(engine=...); {closest(name, engines)}"
            )
        engines = {name: engines[name]}
    fitting = [engine for engine in engines.values() if engine.knows_federated or not federated]
    if not fitting:
        raise InputError(
            f"expected an engine that knows LVIS's federated rules, got {name!r} (engine=...); "
            "use engine='hotcoco' or 'faster-coco-eval'"
        )
    for engine in fitting:
        if engine.installed():
            return engine(read_truth(ground_truth, federated))
    raise InputError(
        f"expected one of {', '.join(engine.name for engine in fitting)} to be installed, got none; "
        f"`pip install {fitting[0].name}`"
    )


class HotcocoEngine:
    """hotcoco (MIT, Rust): takes detections as columns."""

    name = "hotcoco"
    knows_federated = True

    def __init__(self, truth: GroundTruth):
        import hotcoco

        self._hotcoco = hotcoco
        self.truth = truth
        self._truth = hotcoco.COCO(truth.dataset)

    @classmethod
    def installed(cls) -> bool:
        return _version("hotcoco") is not None

    @property
    def label(self) -> str:
        return f"hotcoco {_version('hotcoco')}"

    def load(self, detections: Detections, per_image_limit: int | None = None):
        """Pass numbered detections to the engine, the best of each image where there is a limit."""
        if per_image_limit is not None:
            detections = detections.best_per_image(per_image_limit)
        loaded = self._from_columns(detections)
        # hotcoco cuts a federated evaluation at 300 per image by itself unless the cut is marked as done.
        own_limit = per_image_limit is not None and per_image_limit != HOTCOCO_LVIS_LIMIT
        return loaded.cap_detections_per_image(None) if own_limit else loaded

    def _from_columns(self, detections: Detections):
        columns = np.column_stack(
            [detections.image_ids, detections.boxes_xywh, detections.scores, detections.category_ids]
        ).astype(np.float64, copy=False)
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
        evaluator = self.evaluated(loaded, protocol)
        evaluator.accumulate()
        arrays = evaluator.eval
        assert arrays is not None
        return _accumulated(arrays["precision"], arrays["recall"], evaluator.params.iou_thrs, protocol)

    def evaluated(self, loaded, protocol: Protocol, sizes: bool = True):
        """hotcoco's own evaluator with everything matched.

        Args:
            loaded: what :meth:`load` gave; protocol: what is matched.
            sizes: for small, medium and large objects too.
        """
        evaluator = self._hotcoco.COCOeval(self._truth, loaded, protocol.iou_type, lvis_style=protocol.federated)
        params = evaluator.params
        params.img_ids, params.cat_ids = list(protocol.images), sorted(protocol.categories)
        params.max_dets, params.use_cats = list(protocol.max_detections), protocol.with_categories
        if protocol.iou_thresholds is not None:
            params.iou_thrs = list(protocol.iou_thresholds)
        if not sizes:
            params.area_rng, params.area_rng_lbl = [[0, 1e10]], ["all"]
        evaluator.evaluate()
        return evaluator


class PycocotoolsEngine:
    """pycocotools, the reference of COCO."""

    name = "pycocotools"
    knows_federated = False

    def __init__(self, truth: GroundTruth):
        self.truth = truth
        self._coco_class, self._evaluator_class = self._classes()
        self._truth = self._indexed(truth.dataset)

    @classmethod
    def installed(cls) -> bool:
        return _version(cls.name) is not None

    @property
    def label(self) -> str:
        return f"{self.name} {_version(self.name)}"

    def load(self, detections: Detections, per_image_limit: int | None = None):
        """Pass numbered detections to the engine, the best of each image where there is a limit."""
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
            truth = self._truth
            if not protocol.with_categories:  # the reference then counts every category, requested or not
                truth, loaded = self._restricted(truth, protocol), self._restricted(loaded, protocol)
            evaluator = self._evaluator(truth, loaded, protocol)
            params = evaluator.params
            params.imgIds, params.catIds = list(protocol.images), sorted(protocol.categories)
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

    def _evaluator(self, truth, loaded, protocol: Protocol):
        return self._evaluator_class(truth, loaded, protocol.iou_type)

    def _restricted(self, coco, protocol: Protocol):
        categories = set(protocol.categories)
        return self._indexed(
            {
                **coco.dataset,
                "annotations": [ann for ann in coco.dataset["annotations"] if ann["category_id"] in categories],
            }
        )

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

    def _evaluator(self, truth, loaded, protocol: Protocol):
        return self._evaluator_class(truth, loaded, protocol.iou_type, lvis_style=protocol.federated)


def _accumulated(precision, recall, iou_thresholds, protocol: Protocol) -> Accumulated:
    categories = sorted(protocol.categories) if protocol.with_categories else [-1]
    shape = (len(iou_thresholds), -1, len(categories), 4, len(protocol.max_detections))
    precision = np.asarray(precision, np.float64).reshape(shape)
    return Accumulated(
        precision,
        np.asarray(recall, np.float64).reshape(shape[:1] + shape[2:]),
        tuple(float(iou) for iou in iou_thresholds),
        tuple(categories),
        protocol.max_detections,
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
