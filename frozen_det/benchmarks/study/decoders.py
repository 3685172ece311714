"""The decoders of the study, small enough for hundreds of trainings on a CPU."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class StudyDecoder:
    """A decoder.

    Attributes:
        detector: as of ``--detector``; None for that of `custom_coco`.
        options: overrides of the config.
    """

    detector: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


_DETECTOR = "model.detector"
_PROPOSALS = {
    f"{_DETECTOR}.train_cfg.rpn.sampler.num": 64,
    f"{_DETECTOR}.train_cfg.rpn_proposal.nms_pre": 250,
    f"{_DETECTOR}.train_cfg.rpn_proposal.max_per_img": 125,
    f"{_DETECTOR}.test_cfg.rpn.nms_pre": 250,
    f"{_DETECTOR}.test_cfg.rpn.max_per_img": 125,
}

_GROUPS = dict(_delete_=True, type="GN", num_groups=8)

DECODERS = {
    "light": StudyDecoder(
        None,
        {
            f"{_DETECTOR}.neck.out_channels": 64,
            f"{_DETECTOR}.rpn_head.feat_channels": 64,
            f"{_DETECTOR}.roi_head.bbox_head.fc_out_channels": 256,
            f"{_DETECTOR}.roi_head.bbox_roi_extractor.roi_layer.sampling_ratio": 1,
            f"{_DETECTOR}.train_cfg.rcnn.sampler.num": 64,
            **_PROPOSALS,
        },
    ),
    # The last batch of an odd number of images is one image, whose coarsest map has one cell: no statistics of a batch.
    "large": StudyDecoder(
        "smoke/cascade-rcnn_frozen-efficientnetlite0_nasfpn_plain-8e_toy",
        {f"{_DETECTOR}.{part}.norm_cfg": _GROUPS for part in ("neck", "rpn_head", "roi_head.bbox_head")},
    ),
    "DETR": StudyDecoder(
        "smoke/deformable-detr_frozen-efficientnetlite0_channelmapper_plain-24e_toy128",
        {"optim_wrapper.clip_grad.max_norm": 0.1},  # as its own config
    ),
}
