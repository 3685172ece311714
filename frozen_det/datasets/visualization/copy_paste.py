"""Pictures of Copy-Paste: the image, the paste source, the image after its jitter, the composed image; objects outlined
by where they come from. They are made from the sample's own results; no random number is drawn for them."""

from dataclasses import replace

import cv2
import numpy as np

from ...ops.pasting import interleaved
from ...ops.windows import JitterDraw, Window, jitter_window
from ..samplers.seeding import SampleIndex, sample_seed, seeded
from ..transforms.copy_paste import CopyPaste
from ..transforms.copy_paste_patches import box_masks
from ..transforms.cropped_masks import BoxedMasks
from ..transforms.large_scale_jitter import LargeScaleJitter
from ..transforms.source_objects import rasterised, rectangle, source_objects
from ..transforms.source_pixels import resampled

# RGB. Own objects are blue, pasted ones orange, objects that the paste covered up red, ignored regions grey.
COLOURS = {"own": (40, 150, 255), "pasted": (255, 140, 0), "occluded": (235, 30, 50), "ignored": (150, 150, 150)}
_PANEL_PX, _TITLE_PX, _GAP_PX = 512, 26, 8


def draw_copy_paste(results: dict) -> np.ndarray:
    """Draw what Copy-Paste did to a sample.

    Args:
        results: A sample after ``frozen_det.CopyPaste`` and before packing. Of images that came in memory the
            sources are gone, and only the composed image is drawn.

    Returns:
        (H, W, 3) uint8 RGB: titled panels side by side.
    """
    source_info, source_window = results["donor"]
    num_pasted = results["num_pasted"]
    panels = []
    if "img_path" in results and "instances" in results and results.get("jitter_window") is not None:
        window = results["jitter_window"]
        pixels, masks, ignored = _seen(results, _whole(window), "gt_masks" in results)
        panels.append(_panel(f"image {results.get('img_id', '')}", pixels, masks, _kinds("own", ignored)))
        pixels, masks, ignored = _seen(results, window, "gt_masks" in results)
        kinds = _kinds("own", ignored)
        for index in results["occluded_objects"]:
            kinds[index] = "occluded"
        panels.append(_panel("after its jitter", pixels, masks, kinds))
    if num_pasted and source_window is not None and "img_path" in source_info:
        pixels, masks, ignored = _seen(source_info, _whole(source_window), _has_masks(source_info))
        panels.insert(
            1, _panel(f"paste source {source_info.get('img_id', '')}", pixels, masks, _kinds("pasted", ignored))
        )
    masks = _masks_of(results)
    num_own = len(masks) - num_pasted
    kinds = [*_kinds("own", results["gt_ignore_flags"][:num_own]), *["pasted"] * num_pasted]
    title = f"composed: {num_pasted} pasted, {results['num_occluded']} covered up"
    panels.append(_panel(title, interleaved(results["img"]), masks, kinds))
    height = max(panel.shape[0] for panel in panels)
    gap = np.full((height, _GAP_PX, 3), 255, np.uint8)
    padded = [np.pad(p, ((0, height - p.shape[0]), (0, 0), (0, 0)), constant_values=255) for p in panels]
    return np.concatenate([part for panel in padded for part in (panel, gap)][:-1], axis=1)


def picture_of_sample(dataset, index: SampleIndex) -> np.ndarray | None:
    """The picture of one sample of a dataset, with the draws that training makes for it.

    Args:
        dataset: A dataset with ``get_data_info`` and ``pipeline.transforms``, without wrappers.
        index: Position, seed and epoch.

    Returns:
        As :func:`draw_copy_paste`; None if the pipeline has no ``frozen_det.CopyPaste`` or refuses the sample.
    """
    if not any(isinstance(transform, CopyPaste) for transform in dataset.pipeline.transforms):
        return None
    with seeded(sample_seed(index.seed, index.epoch, int(index))):
        results = dataset.get_data_info(int(index))
        for transform in dataset.pipeline.transforms:
            results = transform(results)
            if results is None:
                return None
            if isinstance(transform, CopyPaste):
                break
    return draw_copy_paste(results)


def _whole(window: Window) -> Window:
    """A window of the whole source, shrunk or enlarged to the size of a panel."""
    return jitter_window(JitterDraw(1.0, 0.0, 0.0, False), window.source_hw, (_PANEL_PX, _PANEL_PX), reduce=False)


def _has_masks(info: dict) -> bool:
    return bool(info["instances"]) and all("mask" in instance for instance in info["instances"])


def _seen(info: dict, window: Window, with_mask: bool) -> tuple[np.ndarray, BoxedMasks, np.ndarray]:
    """Pixels, masks and (n,) ignore flags of a source image as a window shows it."""
    source = {key: info[key] for key in ("img_path", "instances")}
    full = replace(window, reduction=1)
    pixels = resampled(LargeScaleJitter().pixels.read(source), full)
    objects = source_objects(source, with_mask)
    segmentations = objects.segmentations or [[rectangle(box)] for box in objects.boxes_xyxy]
    placed = [rasterised(segmentation, full) for segmentation in segmentations]
    kept = [i for i, p in enumerate(placed) if p is not None]
    masks = BoxedMasks.tightened([placed[i][0] for i in kept], [placed[i][1:] for i in kept], *window.size_hw)
    return pixels, masks, objects.ignore_flags[kept]


def _masks_of(results: dict) -> BoxedMasks:
    if "gt_masks" in results:
        return BoxedMasks.of(results["gt_masks"])
    return box_masks(results["gt_bboxes"].numpy(), *results["img"].shape[:2])


def _kinds(kind: str, ignored) -> list[str]:
    return ["ignored" if flag else kind for flag in ignored]


def _panel(title: str, pixels: np.ndarray, masks: BoxedMasks, kinds: list[str]) -> np.ndarray:
    """One image (h, w, 3) BGR with outlines, under its title, as RGB."""
    scale = _PANEL_PX / max(pixels.shape[:2])
    size_wh = tuple(max(1, round(side * scale)) for side in pixels.shape[1::-1])
    canvas = cv2.resize(
        np.ascontiguousarray(pixels[..., ::-1]),
        size_wh,
        interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
    )
    for crop, (left, top, _, _), kind in zip(masks.crops, masks.boxes_xyxy, kinds):
        if crop.size:
            # A rim of zeros, so that an object at the image's edge is closed.
            outlines, _ = cv2.findContours(np.pad(crop, 1), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
            moved = [np.rint((outline + (left - 0.5, top - 0.5)) * scale).astype(np.int32) for outline in outlines]
            cv2.polylines(canvas, moved, True, (0, 0, 0), 4, cv2.LINE_AA)
            cv2.polylines(canvas, moved, True, COLOURS[kind], 2, cv2.LINE_AA)
    head = np.full((_TITLE_PX, max(size_wh[0], 12 * len(title)), 3), 255, np.uint8)
    cv2.putText(head, title, (4, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    wide = np.pad(canvas, ((0, 0), (0, head.shape[1] - size_wh[0]), (0, 0)), constant_values=255)
    return np.concatenate([head, wide])
