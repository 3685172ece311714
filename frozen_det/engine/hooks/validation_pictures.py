"""``frozen_det.ValidationPicturesHook``: the same validation images each time, ground truth beside predictions.

It writes ``<work_dir>/pictures/<epoch or iter>/*.jpg`` with an ``index.json`` and hands the pictures to TensorBoard,
W&B and the like. A data set without boxes, or whose samples cannot be looked up, gets no pictures and one log line.
"""

from pathlib import Path

import numpy as np
from mmengine.hooks import Hook

from ...datasets.images.pixels import PixelReader
from ...datasets.visualization.detections import DrawnObjects, draw_pair
from ...errors import InputError
from ...evaluation.run_lengths import run_length
from ...registry import HOOKS
from ...weights.atomic_write import replacing, write_json

FOLDER = "pictures"
BACKEND_WIDTH_PX = 640  # event files keep every picture as PNG: small ones


@HOOKS.register_module()
class ValidationPicturesHook(Hook):
    """Draw a fixed set of validation images after each validation.

    Args:
        num_images: how many, spread evenly over the validation set, images with objects first.
        score_threshold: draw predictions from this score on, in [0, 1].
        max_predictions: at most this many of the best per image.
        interval: draw at every n-th validation.
        quality: of the JPEG files, 1 to 95.
    """

    priority = "BELOW_NORMAL"

    def __init__(
        self,
        num_images: int = 8,
        score_threshold: float = 0.3,
        max_predictions: int = 50,
        interval: int = 1,
        quality: int = 82,
    ):
        for name, value, low, high in (
            ("num_images", num_images, 1, 1000),
            ("interval", interval, 1, 10**9),
            ("score_threshold", score_threshold, 0, 1),
            ("quality", quality, 1, 95),
            ("max_predictions", max_predictions, 1, 10**6),
        ):
            if not low <= value <= high:
                raise InputError(f"expected {name} from {low} to {high}, got {value} (ValidationPicturesHook.{name})")
        self.num_images, self.score_threshold, self.max_predictions = num_images, score_threshold, max_predictions
        self.interval, self.quality = interval, quality
        self._chosen: dict | None = None  # image id -> the data set's entry and its place among the pictures
        self._num_validations = 0
        self._drawn: list[dict] = []

    # -- the host's calls, in the order they come ---------------------------------------------------------------

    def before_val_epoch(self, runner) -> None:
        """Choose the images once."""
        self._num_validations += 1
        self._drawn = []
        if self._chosen is None:
            self._chosen = self._choose(runner)

    def after_val_iter(self, runner, batch_idx: int, data_batch=None, outputs=None) -> None:
        """Draw those of the batch that were chosen."""
        if not self._chosen or (self._num_validations - 1) % self.interval:
            return
        for sample in outputs or ():
            info = self._chosen.get(_image_of(sample.metainfo))
            if info is not None and "pred_instances" in sample:
                self._draw(runner, info, sample)

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Write what the pictures show (each process of a distributed run draws its own images)."""
        if not self._drawn:
            return
        name = "index.json" if runner.rank == 0 else f"index_{runner.rank}.json"
        write_json(
            _folder(runner) / name,
            {
                "score_threshold": self.score_threshold,
                "epoch": runner.epoch,
                "iter": runner.iter,
                "pictures": self._drawn,
            },
        )

    # -- choosing and drawing -----------------------------------------------------------------------------------

    def _choose(self, runner) -> dict:
        dataset = runner.val_loop.dataloader.dataset
        if not hasattr(dataset, "get_data_info"):
            runner.logger.info(f"validation pictures: none, {type(dataset).__name__} has no get_data_info")
            return {}
        infos = spread_over(dataset, self.num_images)
        if any("instances" not in info or "img_id" not in info or not info.get("img_path") for info in infos):
            runner.logger.info("validation pictures: none, the data set's samples have no objects, ids or files")
            return {}
        return {_image_of(info): {**info, "place": place} for place, info in enumerate(infos)}

    def _draw(self, runner, info: dict, sample) -> None:
        dataset = runner.val_loop.dataloader.dataset
        transforms = getattr(getattr(dataset, "pipeline", None), "transforms", ())
        image = PixelReader.of(transforms, getattr(dataset, "backend_args", None)).rgb(info["img_path"])
        classes = dataset.metainfo["classes"]
        # A detector without masks gets the truth without them: halves that look alike compare best.
        truth = truth_of(info, image.shape[:2], with_masks="masks" in sample.pred_instances)
        predictions = predictions_of(sample.pred_instances, self.score_threshold, self.max_predictions)
        pair = draw_pair(image, truth, predictions, classes)
        folder = _folder(runner)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{info['place']:02d}_{Path(info['img_path']).stem}"
        _write_jpeg(folder / f"{name}.jpg", pair, self.quality)
        self._drawn.append(
            {
                "file": f"{name}.jpg",
                "image": Path(info["img_path"]).name,
                "img_id": info["img_id"],
                "num_objects": len(truth.labels),
                "num_predictions": len(predictions.labels),
            }
        )
        if runner.rank == 0:
            _hand_to_backends(runner, f"validation/{Path(info['img_path']).stem}", pair)


def _image_of(info: dict) -> tuple:
    """What identifies an image; the members of a joined data set may have the same ids."""
    return info.get("img_id"), info.get("img_path")


def spread_over(dataset, num_images: int) -> list[dict]:
    """Entries of ``num_images`` images spread evenly over a data set; in each stretch the first one with objects."""
    edges = np.linspace(0, len(dataset), min(num_images, len(dataset)) + 1).round().astype(int)
    chosen = []
    for start, end in zip(edges[:-1].tolist(), edges[1:].tolist()):
        infos = (dataset.get_data_info(index) for index in range(start, end))
        chosen.append(next((info for info in infos if info.get("instances")), None) or dataset.get_data_info(start))
    return chosen


def truth_of(info: dict, size_hw, with_masks: bool = True) -> DrawnObjects:
    """Annotated objects of a data set's entry, crowd regions as ignored ones."""
    from pycocotools import mask as rle_tools

    instances = info["instances"]
    with_masks = with_masks and bool(instances) and all(one.get("mask") for one in instances)
    return DrawnObjects(
        np.array([one["bbox"] for one in instances], float).reshape(-1, 4),
        np.array([one["bbox_label"] for one in instances], int),
        masks=[rle_tools.decode(run_length(one["mask"], size_hw)) for one in instances] if with_masks else None,
        ignored=np.array([bool(one.get("ignore_flag", 0)) for one in instances], bool),
    )


def predictions_of(predicted, score_threshold: float, max_predictions: int) -> DrawnObjects:
    """The best predictions of one image from a score on, boxes on the original image."""
    scores = predicted.scores.detach().cpu().numpy()
    kept = np.argsort(-scores, kind="stable")[:max_predictions]
    kept = kept[scores[kept] >= score_threshold]
    masks = predicted.masks if "masks" in predicted else None
    return DrawnObjects(
        predicted.bboxes.detach().cpu().numpy()[kept],
        predicted.labels.cpu().numpy()[kept],
        scores[kept],
        None if masks is None else [_mask(masks[index]) for index in kept.tolist()],
    )


def _mask(mask) -> np.ndarray:
    """A bool tensor (H, W) or a run-length mask as an array (H, W)."""
    from pycocotools import mask as rle_tools

    return rle_tools.decode(mask) if isinstance(mask, dict) else mask.detach().cpu().numpy()


def _folder(runner) -> Path:
    """``<work_dir>/pictures/epoch_003``, ``.../iter_001200``, or ``.../val`` without training."""
    if runner._train_loop is None or isinstance(runner._train_loop, dict):
        name = "val"
    elif hasattr(runner.train_loop, "max_epochs") and runner.train_loop.max_epochs > 1:
        name = f"epoch_{runner.epoch:03d}"
    else:
        name = f"iter_{runner.iter:06d}"
    return Path(runner.work_dir) / FOLDER / name


def _write_jpeg(path: Path, image: np.ndarray, quality: int) -> None:
    from PIL import Image

    with replacing(path) as partial:
        Image.fromarray(image).save(partial, quality=quality, optimize=True, subsampling=0)


def _hand_to_backends(runner, name: str, image: np.ndarray) -> None:
    """To every backend but the local one, which would write the same picture to disk again, as PNG."""
    import cv2
    from mmengine.visualization import LocalVisBackend

    height = max(1, round(image.shape[0] * BACKEND_WIDTH_PX / image.shape[1]))
    small = cv2.resize(image, (BACKEND_WIDTH_PX, height), interpolation=cv2.INTER_AREA)
    by_epoch = _folder(runner).name.startswith("epoch")
    for backend in runner.visualizer._vis_backends.values():
        if not isinstance(backend, LocalVisBackend):
            backend.add_image(name, small, step=runner.epoch if by_epoch else runner.iter)
