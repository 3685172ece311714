"""Datasets, transforms and samplers of frozen_det. Importing this registers them."""

from .. import coco, lvis  # noqa: F401
from ..readers import panoptic  # noqa: F401
from ..samplers import epoch, long_tail, seeding  # noqa: F401
from ..toy import toy_scenes  # noqa: F401
from ..transforms import copy_paste, large_scale_jitter, max_objects  # noqa: F401
