"""Ground truth beside predictions as one crisp picture: boxes, names, scores, masks. Pure functions on arrays.

Names never hide each other: one that does not fit is left out, the colour shows the class. Small images are enlarged
so that lines and names leave the objects in sight. It refuses nothing: an image without objects is drawn as it is.
"""

from dataclasses import dataclass, field

import numpy as np

from .drawing import class_colors
from .fonts import font_for, plain_font, tell_of_missing_font

PANEL_SIDE_PX = (360, 640)  # shorter side at least, longer side at most
GAP_PX = 8
IGNORED_COLOR = (150, 150, 150)


@dataclass
class DrawnObjects:
    """Objects of one image, pixels of the original image.

    Attributes:
        boxes_xyxy: (N, 4) float.
        labels: (N,) int, indices of class names.
        scores: (N,) in [0, 1], or None for ground truth.
        masks: N arrays (H, W) bool, or None.
        ignored: (N,) bool, crowd regions, drawn in grey; empty for none.
        colors: N (red, green, blue), or None for those of the labels.
    """

    boxes_xyxy: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None = None
    masks: list | np.ndarray | None = None
    ignored: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    colors: list[tuple[int, int, int]] | None = None


def draw_pair(image: np.ndarray, truth: DrawnObjects, predictions: DrawnObjects, classes) -> np.ndarray:
    """Ground truth left, predictions right.

    Args:
        image: (H, W, 3) uint8 RGB.
        classes: class names.

    Returns:
        (H', 2 W' + gap, 3) uint8 RGB.
    """
    left, right = (draw_objects(image, objects, classes) for objects in (truth, predictions))
    gap = np.full((left.shape[0], GAP_PX, 3), 128, np.uint8)
    return np.concatenate([left, gap, right], axis=1)


def draw_objects(image: np.ndarray, objects: DrawnObjects, classes) -> np.ndarray:
    """One panel: the image, (H, W, 3) uint8 RGB, scaled to PANEL_SIDE_PX, with its objects."""
    import cv2

    scale = _panel_scale(image.shape[:2])
    size_wh = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    canvas = cv2.resize(np.ascontiguousarray(image), size_wh, interpolation=how)
    return _drawn(canvas, objects, classes, scale, line_px=2, text_px=15)


def draw_on_image(image: np.ndarray, objects: DrawnObjects, classes) -> np.ndarray:
    """A copy of the image, (H, W, 3) uint8 RGB at its own size, with its objects; lines and names grow with it."""
    shorter = min(image.shape[:2])
    return _drawn(image.copy(), objects, classes, 1.0, max(1, round(shorter / 200)), max(10, round(shorter / 32)))


def _drawn(canvas: np.ndarray, objects: DrawnObjects, classes, scale: float, line_px: int, text_px: int) -> np.ndarray:
    """The objects on a canvas that is the image times `scale`."""
    from PIL import Image, ImageDraw

    size_wh = canvas.shape[1::-1]
    colors = _colors(objects, len(classes))
    # Large objects first, so that small ones stay on top.
    sides = np.maximum(objects.boxes_xyxy[:, 2:] - objects.boxes_xyxy[:, :2], 0)
    order = np.argsort(-sides.prod(axis=1), kind="stable")
    if objects.masks is not None:
        for index in order:
            _fill_mask(canvas, objects.masks[index], colors[index])
    picture = Image.fromarray(canvas)
    pen = ImageDraw.Draw(picture)
    boxes = [_pixel_box(box * scale, size_wh) for box in objects.boxes_xyxy]
    for index in order:
        pen.rectangle(boxes[index], outline=colors[index], width=line_px)
    taken: list[tuple] = []
    for index in order[::-1]:
        _write_name(pen, _name(objects, index, classes), boxes[index], colors[index], taken, size_wh, text_px)
    return np.asarray(picture)


def _panel_scale(size_hw) -> float:
    shortest, longest = PANEL_SIDE_PX
    return min(longest / max(size_hw), max(1.0, shortest / min(size_hw)))


def _colors(objects: DrawnObjects, num_classes: int) -> list[tuple]:
    if objects.colors is not None:
        return objects.colors
    palette = class_colors(num_classes)
    ignored = np.zeros(len(objects.labels), bool) if len(objects.ignored) == 0 else objects.ignored
    return [
        IGNORED_COLOR if hidden else tuple(palette[label].tolist())
        for label, hidden in zip(objects.labels.tolist(), ignored)
    ]


def _name(objects: DrawnObjects, index: int, classes) -> str:
    name = _drawable(str(classes[objects.labels[index]]), int(objects.labels[index]))
    if len(objects.ignored) and objects.ignored[index]:
        return f"{name} (crowd)"
    return name if objects.scores is None else f"{name} {objects.scores[index]:.2f}"


def _drawable(name: str, label: int) -> str:
    """The name, or the number of its label where no font has its letters."""
    if font_for(name, 12) is not None:
        return name
    tell_of_missing_font(name)
    return f"class {label}"


def _pixel_box(box, size_wh) -> list[int]:
    """Left, top, right, bottom pixel of the outline, on the panel and never inside out."""
    left, top = (int(np.clip(np.floor(side), 0, limit - 1)) for side, limit in zip(box[:2], size_wh))
    right, bottom = (int(np.clip(np.ceil(side) - 1, 0, limit - 1)) for side, limit in zip(box[2:], size_wh))
    return [left, top, max(left, right), max(top, bottom)]


def _fill_mask(canvas: np.ndarray, mask: np.ndarray, color) -> None:
    """Tint the mask's pixels and draw its outline, in place."""
    import cv2

    large = np.asarray(mask, np.uint8)
    if large.shape != canvas.shape[:2]:
        large = cv2.resize(large, canvas.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    left, top, width, height = cv2.boundingRect(large)
    part = large[top : top + height, left : left + width]
    inside, pixels = part > 0, canvas[top : top + height, left : left + width]
    pixels[inside] = (0.6 * pixels[inside] + 0.4 * np.array(color)).astype(np.uint8)
    outline, _ = cv2.findContours(part, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(left, top))
    cv2.drawContours(canvas, outline, -1, color, 1, cv2.LINE_AA)


def _write_name(pen, text: str, box: list[int], color, taken: list[tuple], size_wh, text_px) -> None:
    """Write a name on a plate at the box: above, inside or below, wherever no other name stands, else nowhere."""
    font = font_for(text, text_px) or plain_font(text_px)
    left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
    width, height = right - left + 6, font.size + 4
    x = max(0, min(box[0], size_wh[0] - width))
    places = [
        (x, box[1] - height),
        (x, box[1]),
        (x, box[3]),
        (max(0, box[2] - width), box[1] - height),
        (max(0, box[2] - width), box[3] - height),
    ]
    on_panel = [place for place in places if place[1] >= 0 and place[1] + height <= size_wh[1]] or [(x, 0)]
    free = [place for place in on_panel if not any(_overlap((*place, width, height), other) for other in taken)]
    if not free:
        return
    x, y = free[0]
    taken.append((x, y, width, height))
    pen.rectangle([x, y, x + width - 1, y + height - 1], fill=color)
    dark = 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2] > 140
    pen.text((x + 3 - left, y + height / 2), text, fill=(0, 0, 0) if dark else (255, 255, 255), font=font, anchor="lm")


def _overlap(one: tuple, other: tuple) -> bool:
    return (
        one[0] < other[0] + other[2]
        and other[0] < one[0] + one[2]
        and one[1] < other[1] + other[3]
        and other[1] < one[1] + one[3]
    )
