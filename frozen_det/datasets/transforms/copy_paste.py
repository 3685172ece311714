"""Simple Copy-Paste (arXiv 2012.07177) in a plain pipeline: objects of a random image onto this one.

uint8 in, uint8 out; no second full image, no copies beyond the objects' boxes. It refuses to run without a dataset
to draw paste sources from, and to mix objects with and without masks.
"""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.dataset import Compose

from ...errors import InputError, closest
from ...ops import pasting
from ...registry import TRANSFORMS
from ..samplers.seeding import sample_generator
from .copy_paste_patches import Patch, box_masks, patches_of
from .copy_paste_sources import SELECTIONS, Donation, PasteSources, choose
from .cropped_masks import BoxedMasks
from .large_scale_jitter import LargeScaleJitter

# Colour of the corner that neither image reaches: ImageNet's mean, blue first, which the preprocessor makes zero.
_FILL_BGR = (104, 116, 124)


@TRANSFORMS.register_module()
class CopyPaste(BaseTransform):
    """Paste objects of another image, drawn by index from the same dataset, onto the image.

    Its dataset hands itself over by ``bind(dataset)``, as ``frozen_det.CocoDataset`` does. Inside mmdet's
    MultiImageMixDataset it takes that image from ``mix_results`` instead.

    Required keys: ``img`` (H, W, 3) uint8, ``gt_bboxes`` (HorizontalBoxes), ``gt_bboxes_labels``,
    ``gt_ignore_flags``; ``gt_masks`` of any kind and ``gt_seg_map`` where there are such.

    Modified keys: all of these, and ``img_shape``: the image grows at bottom and right as far as pasted objects
    reach. Masks come out as BoxedMasks, boxes as their tight boxes. Without ``gt_masks`` none are made up: boxes
    shrink to what is left of them. Added: ``gt_origins`` (N,), the sample each object comes from; ``donor_img_id``;
    ``num_pasted`` and ``num_occluded``; for pictures ``donor`` (the other image's info and window) and
    ``occluded_objects`` (the places, before the paste, of those that went).

    Args:
        donor_pipeline: How the other image is loaded and jittered: one ``frozen_det.LargeScaleJitter`` (the fast way),
            or any transforms that set the required keys. None: a LargeScaleJitter with its defaults.
        objects: 'subset': a random number, from none to all, of random objects; 'one'; 'all'. At most 100.
        paste_by_box: Whether images without masks give their boxes with all pixels in them.
        donor_cache_mb: Bound, in MiB for each worker, of a cache of decoded objects. It pays where the dataset's
            objects, or a good part of them, fit.
        planar: As in LargeScaleJitter.
    """

    def __init__(
        self,
        donor_pipeline: list | None = None,
        objects: str = "subset",
        paste_by_box: bool = False,
        donor_cache_mb: float = 0,
        planar: bool = False,
    ) -> None:
        if objects not in SELECTIONS:
            raise InputError(
                f"expected one of {', '.join(map(repr, SELECTIONS))}, got {objects!r} for objects of "
                f"frozen_det.CopyPaste; {closest(objects, SELECTIONS) or 'take one of these.'}"
            )
        self.objects, self.paste_by_box, self.cache_mb, self.planar = objects, paste_by_box, donor_cache_mb, planar
        self.jitter = _source_jitter(donor_pipeline)
        self.sources: PasteSources | None = None

    def bind(self, dataset) -> None:
        """Take the dataset that this pipeline belongs to; what is pasted comes from it."""
        if len(dataset):
            how = dict(selection=self.objects, paste_by_box=self.paste_by_box, cache_mb=self.cache_mb)
            self.sources = PasteSources(dataset, self.jitter, **how)

    def get_indexes(self, dataset) -> int:
        """The other image's index, for MultiImageMixDataset."""
        return int(sample_generator().integers(len(dataset)))

    def transform(self, results: dict) -> dict:
        """Draw a donation and paste it."""
        generator = sample_generator()
        generator.random()  # keeps the order of the draws, and so the samples, of earlier versions
        if "mix_results" in results:
            return self.apply(results, self._mixed(results["mix_results"], generator))
        if self.sources is None:
            raise InputError(
                "expected a dataset to draw paste sources from, got none for frozen_det.CopyPaste; use "
                "frozen_det.CocoDataset or another dataset that calls bind, or call bind(dataset)."
            )
        return self.apply(results, self.sources.draw(generator))

    def apply(self, results: dict, donation: Donation) -> dict:
        """Paste a given donation; draws nothing."""
        _check_loaded(results)
        patches = donation.patches
        if "gt_masks" in results and any(patch.made_up_mask for patch in patches):
            raise InputError(
                f"expected paste sources with masks for an image with masks ({results.get('img_path')}), got "
                "boxes only; set with_mask=False in frozen_det.LargeScaleJitter to train on boxes."
            )
        own_origin = results.get("sample_idx", -1)
        origins = results.get("gt_origins", np.full(len(results["gt_bboxes_labels"]), own_origin, np.int64))
        results.update(
            gt_origins=origins,
            num_pasted=len(patches),
            num_occluded=0,
            occluded_objects=np.zeros(0, np.int64),
            donor_img_id=donation.data_info.get("img_id") if patches else None,
            donor=(donation.data_info, donation.window),
        )
        if patches:
            self._paste_pixels(results, patches)
            self._merge_objects(results, patches, donation.data_info.get("sample_idx", -1))
        if self.planar:
            results["img"] = pasting.planar(results["img"])
        return results

    def _mixed(self, mix_results: list[dict], generator: np.random.Generator) -> Donation:
        """The donation of an image that MultiImageMixDataset has loaded."""
        if len(mix_results) != 1:
            raise InputError(f"expected one image in mix_results, got {len(mix_results)}.")
        chosen = lambda labels: choose(len(labels), self.objects, generator)  # noqa: E731
        return Donation(patches_of(mix_results[0], chosen, self.paste_by_box), mix_results[0])

    def _paste_pixels(self, results: dict, patches: list[Patch]) -> None:
        """Image and segmentation map, grown to hold the patches; where they need not grow, they are written into."""
        image, seg_map = results["img"], results.get("gt_seg_map")
        size_hw = (
            max(image.shape[0], *(p.top + p.mask.shape[0] for p in patches)),
            max(image.shape[1], *(p.left + p.mask.shape[1] for p in patches)),
        )
        canvas = pasting.grown(pasting.interleaved(image), size_hw, _FILL_BGR)
        if seg_map is not None:
            seg_map = pasting.grown(seg_map, size_hw, results.get("ignore_index", 255))
        for patch in patches:
            pasting.paste(canvas, patch.pixels, patch.mask, patch.left, patch.top)
            if seg_map is not None:
                if patch.seg_map is None:
                    raise InputError(
                        f"expected paste sources with a segmentation map for {results.get('img_path')}, got "
                        "one without; set with_seg=True in the donor_pipeline."
                    )
                height, width = patch.mask.shape
                area = seg_map[patch.top : patch.top + height, patch.left : patch.left + width]
                np.copyto(area, patch.seg_map, where=patch.mask.view(bool))
        results["img"], results["img_shape"] = canvas, size_hw
        if seg_map is not None:
            results["gt_seg_map"] = seg_map

    def _merge_objects(self, results: dict, patches: list[Patch], donor_origin: int) -> None:
        """The surviving objects of the image, then the pasted ones."""
        height, width = results["img_shape"]
        covered = np.zeros((height, width), np.uint8)
        for patch in patches:
            pasting.cover(covered, patch.mask, patch.left, patch.top)
        kept, masks, boxes_xyxy = self._uncover(results, covered)
        pasted = BoxedMasks.tightened([p.mask for p in patches], [(p.left, p.top) for p in patches], height, width)
        boxes_xyxy = np.concatenate([boxes_xyxy, pasted.boxes_xyxy.astype(np.float32)])
        results["gt_bboxes"] = HorizontalBoxes(torch.from_numpy(boxes_xyxy))
        if "gt_masks" in results:
            results["gt_masks"] = BoxedMasks.cat([masks, pasted])
        labels = np.array([patch.label for patch in patches], np.int64)
        results["gt_bboxes_labels"] = np.concatenate([results["gt_bboxes_labels"][kept], labels])
        results["gt_ignore_flags"] = np.concatenate([results["gt_ignore_flags"][kept], np.zeros(len(labels), bool)])
        results["gt_origins"] = np.concatenate(
            [results["gt_origins"][kept], np.full(len(labels), donor_origin, np.int64)]
        )
        results["occluded_objects"] = np.flatnonzero(~kept)
        results["num_occluded"] = int((~kept).sum())

    def _uncover(self, results: dict, covered: np.ndarray) -> tuple[np.ndarray, BoxedMasks, np.ndarray]:
        """The image's own objects after the paste.

        Returns:
            (N,) bool, which objects are kept; of those, the masks and (n, 4) float32 boxes.
        """
        height, width = covered.shape
        given_boxes = results["gt_bboxes"].numpy().astype(np.float32).reshape(-1, 4)
        has_masks = "gt_masks" in results
        before = BoxedMasks.of(results["gt_masks"]) if has_masks else box_masks(given_boxes, height, width)
        ignored = np.asarray(results["gt_ignore_flags"], bool)
        crops, changed = list(before.crops), np.zeros(len(before), bool)
        for index, (crop, (left, top, _, _)) in enumerate(zip(before.crops, before.boxes_xyxy)):
            # A crowd stays whole: it marks where further objects may be, pasted ones or not.
            rest = None if ignored[index] else pasting.uncovered(crop, covered, left, top)
            if rest is not None:
                crops[index], changed[index] = rest, True
        after = BoxedMasks.tightened(crops, before.boxes_xyxy[:, :2], height, width)
        kept = ignored | pasting.surviving(before.boxes_xyxy, after.boxes_xyxy, after.areas)
        boxes_xyxy = after.boxes_xyxy.astype(np.float32)
        if not has_masks:
            # An untouched box keeps its fractions.
            boxes_xyxy = np.where(changed[:, None], boxes_xyxy, given_boxes)
        return kept, after[kept], boxes_xyxy[kept]

    def __repr__(self) -> str:
        return f"CopyPaste(objects={self.objects!r}, paste_by_box={self.paste_by_box}, cache_mb={self.cache_mb})"


def _source_jitter(donor_pipeline: list | None):
    """The single LargeScaleJitter of a pipeline, or the pipeline as one callable."""
    pipeline = [LargeScaleJitter()] if donor_pipeline is None else donor_pipeline
    transforms = [TRANSFORMS.build(t) if isinstance(t, dict) else t for t in pipeline]
    if len(transforms) == 1 and isinstance(transforms[0], LargeScaleJitter):
        return transforms[0]
    return Compose(transforms)


def _check_loaded(results: dict) -> None:
    image = results.get("img")
    if image is None or not isinstance(results.get("gt_bboxes"), HorizontalBoxes):
        raise InputError(
            f"expected a loaded image with horizontal boxes ({results.get('img_path')}), got the keys "
            f"{sorted(results)}; put frozen_det.LargeScaleJitter before frozen_det.CopyPaste."
        )
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise InputError(
            f"expected an (H, W, 3) uint8 image ({results.get('img_path')}), got {image.shape} "
            f"{image.dtype} before frozen_det.CopyPaste; leave normalisation to the preprocessor."
        )
