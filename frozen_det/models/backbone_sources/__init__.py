"""Where backbones come from: timm, torchvision, mmdet and own networks, with weights and licence.

A further source is one more module here, with a class registered in `BACKBONE_SOURCES`; see :mod:`.source`.
"""

from . import timm_models  # noqa: F401 isort: skip - messages name sources in this order
from . import torchvision_models  # noqa: F401 isort: skip
from . import mmdet_models, stored_weights  # noqa: F401 isort: skip
