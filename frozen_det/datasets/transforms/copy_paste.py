"""Simple Copy-Paste (arXiv 2012.07177) in a plain pipeline: objects of a random image onto this one.

uint8 in, uint8 out; no second full image, no copies beyond the objects' boxes. It refuses to run without a dataset
to draw donors from, and to mix objects with and without masks.
"""

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.dataset import Compose

from ...errors import InputError, closest
from ...ops import pasting
from ...registry import DATASETS, TRANSFORMS
from ..samplers.seeding import sample_generator
from .copy_paste_patches import Patch, box_masks, patches_of
from .copy_paste_sources import SAMPLINGS, SELECTIONS, Donation, Donors, choose
from .cropped_masks import BoxedMasks
from .large_scale_jitter import LargeScaleJitter


@TRANSFORMS.register_module()
class CopyPaste(BaseTransform):
    """Paste objects of a donor image, drawn by index from the same dataset, onto the image.

    Its dataset hands itself over by ``bind(dataset)``, as ``frozen_det.CocoDataset`` does. Inside mmdet's
    MultiImageMixDataset it takes the donor from ``mix_results`` instead.

    Required keys: ``img`` (H, W, 3) uint8, ``gt_bboxes`` (HorizontalBoxes), ``gt_bboxes_labels``,
    ``gt_ignore_flags``; ``gt_masks`` of any kind and ``gt_seg_map`` where there are such.

    Modified keys: all of these, and ``img_shape``: the image grows at bottom and right as far as pasted objects
    reach. Masks come out as BoxedMasks, boxes as their tight boxes. Without ``gt_masks`` none are made up: boxes
    shrink to what is left of them. Added: ``gt_origins`` (N,), the sample each object comes from; ``donor_img_id``;
    ``num_pasted`` and ``num_occluded``; for pictures ``donor`` (the donor's info and window) and ``occluded_objects``
    (the places, before the paste, of those that went).

    Args:
        donor_pipeline: How a donor is loaded and jittered: one ``frozen_det.LargeScaleJitter`` (the fast way), or
            any transforms that set the required keys. None: a LargeScaleJitter with its defaults.
        donor_dataset: A dataset's config to draw donors from, instead of the bound one. For self-training: the
            labelled set, in the pipeline of the pseudo-labelled one.
        objects: 'subset': a random number, from none to all, of random objects; 'one'; 'all'.
        max_num_pasted: Upper bound of that number, inclusive; None for none.
        mask_occluded_thr, bbox_occluded_thr: A covered object goes if a side of its box moved by more than
            ``bbox_occluded_thr`` pixels and at most ``mask_occluded_thr`` pixels of it are left, and if none is left.
        occlusion_rule: 'per_object', or 'authors': as their parser has it, one object whose box moved takes all
            small objects of the image with it, and pixels are counted at the source's resolution.
        paste_by_box: Whether donors without masks give their boxes with all pixels in them.
        blending: None or 'gaussian', the paper's ablation.
        donor_sampling: 'uniform', 'rare_images' or 'rare_objects': see ``copy_paste_donors.Donors``.
        rare_threshold: Share of images below which a class counts as rare (LVIS: 1e-3).
        donor_cache_mb: Bound, in MiB for each worker, of a cache of decoded donor objects. It pays where the
            dataset's objects, or a good part of them, fit.
        fill_bgr: Colour of the corner that neither image reaches, in the image's channel order: the preprocessor's
            mean, reversed for BGR images.
        prob: Probability that a donor is drawn at all.
        planar: As in LargeScaleJitter.
    """

    def __init__(
        self,
        donor_pipeline: list | None = None,
        donor_dataset: dict | None = None,
        objects: str = "subset",
        max_num_pasted: int | None = 100,
        mask_occluded_thr: float = 300,
        bbox_occluded_thr: float = 10,
        occlusion_rule: str = "per_object",
        paste_by_box: bool = False,
        blending: str | None = None,
        donor_sampling: str = "uniform",
        rare_threshold: float = 1e-3,
        donor_cache_mb: float = 0,
        fill_bgr: tuple[float, float, float] = (103.53, 116.28, 123.675),
        prob: float = 1.0,
        planar: bool = False,
    ) -> None:
        _check("objects", objects, SELECTIONS)
        _check("occlusion_rule", occlusion_rule, ("per_object", "authors"))
        _check("donor_sampling", donor_sampling, SAMPLINGS)
        _check("blending", blending, (None, "gaussian"))
        self.donor_dataset = donor_dataset
        self.occlusion_rule = occlusion_rule
        self.mask_occluded_thr, self.bbox_occluded_thr = mask_occluded_thr, bbox_occluded_thr
        self.paste_by_box = paste_by_box
        self.blending = blending
        self.fill = np.rint(fill_bgr).astype(np.uint8)
        self.prob = prob
        self.planar = planar
        self.jitter = _donor_jitter(donor_pipeline)
        self._donor_settings = dict(
            selection=objects,
            max_num=max_num_pasted,
            paste_by_box=paste_by_box,
            border_px=pasting.BLUR_REACH_PX if blending else 0,
            sampling=donor_sampling,
            rare_threshold=rare_threshold,
            cache_mb=donor_cache_mb,
        )
        self.donors: Donors | None = None

    def bind(self, dataset) -> None:
        """Take the dataset that this pipeline belongs to; donors come from it, or from ``donor_dataset``.

        Raises:
            InputError: ``donor_dataset`` has other classes.
        """
        donors = dataset if self.donor_dataset is None else DATASETS.build(self.donor_dataset)
        ours, theirs = (getattr(d, "metainfo", {}).get("classes") for d in (dataset, donors))
        if ours is not None and theirs is not None and tuple(ours) != tuple(theirs):
            raise InputError(
                f"expected donors with the dataset's classes, {list(ours)[:5]} ..., got "
                f"{list(theirs)[:5]} ... in donor_dataset of frozen_det.CopyPaste; "
                "give both the same metainfo."
            )
        if len(donors):
            self.donors = Donors(donors, self.jitter, **self._donor_settings)

    def get_indexes(self, dataset) -> int:
        """A donor's index, for MultiImageMixDataset."""
        return int(sample_generator().integers(len(dataset)))

    def transform(self, results: dict) -> dict:
        """Draw a donation and paste it."""
        generator = sample_generator()
        skipped = generator.random() >= self.prob
        if "mix_results" in results:
            donation = self._mixed(results["mix_results"], generator)
        elif self.donors is None:
            raise InputError(
                "expected a dataset to draw donors from, got none for frozen_det.CopyPaste; use "
                "frozen_det.CocoDataset or another dataset that calls bind, or call bind(dataset)."
            )
        else:
            donation = Donation([], {}) if skipped else self.donors.draw(generator)
        return self.apply(results, Donation([], {}) if skipped else donation)

    def apply(self, results: dict, donation: Donation) -> dict:
        """Paste a given donation; draws nothing."""
        _check_loaded(results)
        patches = donation.patches
        if "gt_masks" in results and any(patch.made_up_mask for patch in patches):
            raise InputError(
                f"expected donors with masks for an image with masks ({results.get('img_path')}), got "
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
        """The donation of a donor that MultiImageMixDataset has loaded."""
        if len(mix_results) != 1:
            raise InputError(f"expected one donor in mix_results, got {len(mix_results)}.")
        how = self._donor_settings
        patches = patches_of(
            mix_results[0],
            lambda labels: choose(len(labels), how["selection"], how["max_num"], generator),
            self.paste_by_box,
            how["border_px"],
        )
        return Donation(patches, mix_results[0])

    def _paste_pixels(self, results: dict, patches: list[Patch]) -> None:
        """Image and segmentation map, grown to hold the patches; where they need not grow, they are written into."""
        image, seg_map = results["img"], results.get("gt_seg_map")
        size_hw = (
            max(image.shape[0], *(p.top + p.mask.shape[0] for p in patches)),
            max(image.shape[1], *(p.left + p.mask.shape[1] for p in patches)),
        )
        canvas = pasting.grown(pasting.interleaved(image), size_hw, self.fill)
        if seg_map is not None:
            seg_map = pasting.grown(seg_map, size_hw, results.get("ignore_index", 255))
        put = pasting.blend if self.blending else pasting.paste
        for patch in patches:
            put(canvas, patch.pixels, patch.mask, patch.left, patch.top)
            if seg_map is not None:
                if patch.seg_map is None:
                    raise InputError(
                        f"expected donors with a segmentation map for {results.get('img_path')}, got "
                        "one without; set with_seg=True in the donor_pipeline."
                    )
                area = seg_map[
                    patch.top : patch.top + patch.mask.shape[0], patch.left : patch.left + patch.mask.shape[1]
                ]
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
        kept = ignored | self._surviving(results, before, after)
        boxes_xyxy = after.boxes_xyxy.astype(np.float32)
        if not has_masks:
            # An untouched box keeps its fractions.
            boxes_xyxy = np.where(changed[:, None], boxes_xyxy, given_boxes)
        return kept, after[kept], boxes_xyxy[kept]

    def _surviving(self, results: dict, before: BoxedMasks, after: BoxedMasks) -> np.ndarray:
        """(N,) bool: which objects the occlusion rule keeps."""
        authors = self.occlusion_rule == "authors"
        scale_xy = np.array(results.get("scale_factor", (1.0, 1.0)) if authors else (1.0, 1.0))
        return pasting.surviving(
            before.boxes_xyxy / np.tile(scale_xy, 2),
            after.boxes_xyxy / np.tile(scale_xy, 2),
            after.areas / scale_xy.prod(),
            box_px=self.bbox_occluded_thr,
            area_px=self.mask_occluded_thr,
            any_object=authors,
        )

    def __repr__(self) -> str:
        settings = ", ".join(f"{key}={value!r}" for key, value in self._donor_settings.items())
        return f"CopyPaste({settings}, occlusion_rule={self.occlusion_rule!r}, blending={self.blending!r})"


def _donor_jitter(donor_pipeline: list | None):
    """The single LargeScaleJitter of a pipeline, or the pipeline as one callable."""
    pipeline = [LargeScaleJitter()] if donor_pipeline is None else donor_pipeline
    transforms = [TRANSFORMS.build(t) if isinstance(t, dict) else t for t in pipeline]
    if len(transforms) == 1 and isinstance(transforms[0], LargeScaleJitter):
        return transforms[0]
    return Compose(transforms)


def _check(name: str, value, known: tuple) -> None:
    if value not in known:
        raise InputError(
            f"expected one of {', '.join(map(repr, known))}, got {value!r} for {name} of "
            f"frozen_det.CopyPaste; {closest(value, known) or 'take one of these.'}"
        )


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
