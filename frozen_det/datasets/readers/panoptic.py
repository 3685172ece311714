"""COCO's panoptic annotations without the package `panopticapi`, which no registry carries; ids from colours and back.

Kirillov et al., "Panoptic Segmentation" (arXiv 1801.00868); the format is that of cocodataset.org: a PNG beside each
image whose colours are segment ids, R + 256 G + 256^2 B, 0 for what belongs to nothing.
"""

import numpy as np
from mmdet.datasets.transforms import LoadAnnotations
from mmdet.datasets.transforms import LoadPanopticAnnotations as HostLoadPanopticAnnotations

from ...registry import TRANSFORMS


def rgb_to_id(rgb: np.ndarray) -> np.ndarray:
    """Segment ids (H, W) int32 of a PNG's colours (H, W, 3) uint8."""
    red, green, blue = np.moveaxis(rgb.astype(np.int32), -1, 0)
    return red + 256 * green + 256**2 * blue


def id_to_rgb(ids: np.ndarray) -> np.ndarray:
    """Colours (H, W, 3) uint8 of segment ids (H, W) in 0..256^3 - 1."""
    return np.stack([ids % 256, ids // 256 % 256, ids // 256**2], -1).astype(np.uint8)


@TRANSFORMS.register_module()
class LoadPanopticAnnotations(HostLoadPanopticAnnotations):
    """Boxes, labels, masks and the semantic map of a panoptic data set, as mmdet's transform of this name gives them.

    Args:
        with_bbox, with_label, with_mask, with_seg, box_type, imdecode_backend, backend_args: as mmdet's.
    """

    def __init__(
        self,
        with_bbox: bool = True,
        with_label: bool = True,
        with_mask: bool = True,
        with_seg: bool = True,
        box_type: str = "hbox",
        imdecode_backend: str = "cv2",
        backend_args: dict | None = None,
    ):
        # Past mmdet's own, which needs panopticapi to turn colours into ids.
        LoadAnnotations.__init__(
            self,
            with_bbox=with_bbox,
            with_label=with_label,
            with_mask=with_mask,
            with_seg=with_seg,
            with_keypoints=False,
            box_type=box_type,
            imdecode_backend=imdecode_backend,
            backend_args=backend_args,
        )
        self.rgb2id = rgb_to_id
