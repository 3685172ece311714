"""Classification: training the backbones that are worth freezing. Importing it registers its types."""

from . import (
    averages,  # noqa: F401
    classifier,  # noqa: F401
    collation,  # noqa: F401
    cub_images,  # noqa: F401
    datasets,  # noqa: F401
    fixres,  # noqa: F401
    fixres_transform,  # noqa: F401
    joined_images,  # noqa: F401
    joint_batches,  # noqa: F401
    losses,  # noqa: F401
    metrics,  # noqa: F401
    mixed_pictures,  # noqa: F401
    mixing,  # noqa: F401
    noisy_classifier,  # noqa: F401
    optimisers,  # noqa: F401
    preprocessor,  # noqa: F401
    pseudo_labelled,  # noqa: F401
    pyramidnet,  # noqa: F401
    rmsprop_tf,  # noqa: F401
    samplers,  # noqa: F401
    shards,  # noqa: F401
    small_image_transforms,  # noqa: F401
    square_transforms,  # noqa: F401
    student_noise,  # noqa: F401
    transforms,  # noqa: F401
    vgg_gap,  # noqa: F401
    warm_up_cosine,  # noqa: F401
    warm_up_step,  # noqa: F401
)
