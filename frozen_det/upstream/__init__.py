"""Classification: training the backbones that are worth freezing. Importing it registers its types."""

from ..engine.hooks import averages  # noqa: F401
from ..engine.optimizers import lamb, rmsprop_tf, warm_up_step  # noqa: F401
from . import (  # noqa: F401
    classifier,
    collation,
    cub_images,
    datasets,
    fixres,
    fixres_transform,
    joined_images,
    joint_batches,
    losses,
    metrics,
    mixed_pictures,
    mixing,
    noisy_classifier,
    preprocessor,
    pseudo_labelled,
    pyramidnet,
    samplers,
    shards,
    small_image_transforms,
    square_transforms,
    student_noise,
    transforms,
    vgg_gap,
    warm_up_cosine,
)
