"""Studies of classifiers: attacks, occlusion, shifted and unknown images, localisation, transfer, and their page.

A further study is one more module here, with a class registered in `STUDIES`; see :mod:`.study`.
"""

from . import adversarial  # noqa: F401 isort: skip - `all` and the page have studies in this order
from . import occlusion  # noqa: F401 isort: skip
from . import ood  # noqa: F401 isort: skip
from . import corruptions  # noqa: F401 isort: skip
from . import wsol  # noqa: F401 isort: skip
from . import transfer  # noqa: F401 isort: skip
