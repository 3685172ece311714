"""Classification: training the backbones that are worth freezing. Importing it registers its types."""

from ..engine.hooks import averages  # noqa: F401
from ..engine.optimizers import lamb, rmsprop_tf, warm_up_cosine, warm_up_step  # noqa: F401
from . import (  # noqa: F401
    batch_mixing,
    classifier,
    cub_images,
    datasets,
    folder_values,
    joined_images,
    losses,
    metric,
    mixed_pictures,
    preprocessor,
    pyramidnet,
    samplers,
    shards,
    transforms,
    vgg_gap,
)
from .fixres import classifier as fixres_classifier  # noqa: F401
from .fixres import equalisation as fixres_equalisation  # noqa: F401
from .fixres import transform as fixres_transform  # noqa: F401
from .noisy_student import augmentation, joint_batches, noisy_classifier, pseudo_labelled  # noqa: F401
