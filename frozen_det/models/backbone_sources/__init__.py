"""Sources of backbones: timm, torchvision, mmdet and the networks of this package, with weights and licence.

To add a source, add a module with a class registered in `BACKBONE_SOURCES`; see :mod:`.source`.
"""

from . import timm_models  # noqa: F401 isort: skip - messages list sources in this order
from . import torchvision_models  # noqa: F401 isort: skip
from . import mmdet_models, stored_weights  # noqa: F401 isort: skip
