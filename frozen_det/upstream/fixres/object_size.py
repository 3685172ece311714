"""The train-test discrepancy before any weights: how large objects look by the transforms that a config has.

Region of classification (share of the image's area that the network sees) and object size, in training and in the test,
over the sizes of real images; the expected ratio in closed form and simulated with and without rejected crops. Refuses
training transforms without a random resized crop, where there is no such discrepancy to speak of.
"""

from dataclasses import asdict, dataclass, field

import numpy as np

from ...errors import InputError
from ...pages.blocks import Figure, Section, Table, Text
from ...pages.plots import Curve, Plot, draw_svg
from .object_size_math import (
    RATIO,
    SCALE,
    central_share,
    eval_object_scale,
    expected_size_ratio,
    random_crop_sizes,
    suggested_test_size,
    train_object_scale,
)

_DRAWS = 100_000


@dataclass
class ObjectSizes:
    """What a training and a test transform do to objects.

    Attributes:
        train_size, test_size, test_resize: px.
        closed_form: expected object size in the test over training's, square images, no rejected crop.
        without_rejection: the same, simulated.
        square, four_to_three: simulated as torchvision draws, for images of these shapes.
        real, real_inverse: the same over the sizes of the config's own images, and the mean of its inverse.
        suggested: test size at which objects look as large as in training, on the config's own images.
        train_share, test_share: mean share of the image's area that is seen.
        histograms: name -> (centres of the bins, share of the images in each), for the plots.
    """

    train_size: int
    test_size: int
    test_resize: int
    closed_form: float
    without_rejection: float
    square: float
    four_to_three: float
    real: float
    real_inverse: float
    suggested: int
    train_share: float
    test_share: float
    histograms: dict = field(default_factory=dict)

    def to_dict(self) -> dict:
        """Plain values, for JSON."""
        return asdict(self)


def study_object_sizes(
    train_transform: dict, size: int, crop_ratio: float, image_sizes_hw, seed: int = 0, step: int = 32
) -> ObjectSizes:
    """Study a training transform against a test transform.

    Args:
        train_transform: config of a ``frozen_det.TrainTransform``.
        size, crop_ratio: of the test.
        image_sizes_hw: (height, width) of real images.
        seed: of the simulated crops.
        step: the suggested size is a multiple of it.

    Raises:
        InputError: a training transform without a random resized crop, or no image.
    """
    if not hasattr(train_transform, "get") or train_transform.get("type") != "frozen_det.TrainTransform":
        raise InputError(
            "expected a frozen_det.TrainTransform (random resized crop) as the training's transform, got "
            f"{train_transform!r}: without it objects look as large in training as they are."
        )
    if not image_sizes_hw:
        raise InputError("expected at least one readable image to study object sizes on, got none.")
    train_size, resize = train_transform.get("size", 224), int(size / crop_ratio)
    scale = tuple(train_transform.get("scale", SCALE))
    ratio = tuple(train_transform.get("ratio", RATIO))
    generator = np.random.default_rng(seed)

    def ratios(height: int, width: int, num: int, rejection: bool = True) -> tuple[np.ndarray, np.ndarray]:
        heights, widths = random_crop_sizes(num, height, width, generator, scale, ratio, rejection)
        found = eval_object_scale(height, width, resize) / train_object_scale(heights, widths, train_size)
        return found, heights * widths / (height * width)

    each = max(20, _DRAWS // len(image_sizes_hw))
    drawn = [ratios(height, width, each) for height, width in image_sizes_hw]
    real, seen = (np.concatenate(parts) for parts in zip(*drawn))
    central = np.array([central_share(height, width, size, resize) for height, width in image_sizes_hw])
    return ObjectSizes(
        train_size,
        size,
        resize,
        expected_size_ratio(train_size, size, resize, scale),
        float(ratios(400, 400, _DRAWS, False)[0].mean()),
        float(ratios(400, 400, _DRAWS)[0].mean()),
        float(ratios(375, 500, _DRAWS)[0].mean()),
        float(real.mean()),
        float((1 / real).mean()),
        suggested_test_size(size, float(real.mean()), step),
        float(seen.mean()),
        float(central.mean()),
        dict(
            train_share=_histogram(seen, 0, 1.0001),
            test_share=_histogram(central, 0, 1.0001),
            size_ratio=_histogram(real, 0, max(2.0, float(np.quantile(real, 0.999)))),
        ),
    )


def object_size_section(sizes: ObjectSizes) -> Section:
    """The study as part of a report page."""
    rows = [
        ["closed form, square image, no crop rejected", f"{sizes.closed_form:.3f}"],
        ["simulated, square image, no crop rejected", f"{sizes.without_rejection:.3f}"],
        ["simulated with torchvision's rejection, square image", f"{sizes.square:.3f}"],
        ["the same, 4:3 image", f"{sizes.four_to_three:.3f}"],
        ["the same, the sizes of this config's images", f"{sizes.real:.3f}"],
        ["mean of its inverse (how much larger training shows objects)", f"{sizes.real_inverse:.3f}"],
    ]
    return Section(
        "Object size",
        [
            Text(
                f"Trained on random resized crops of {sizes.train_size} px, tested at {sizes.test_size} px (short side "
                f"{sizes.test_resize}). Training shows {100 * sizes.train_share:.0f} % of an image's area on average, "
                f"the "
                f"test {100 * sizes.test_share:.0f} %. Objects would look as large as in training at about "
                f"{sizes.suggested} px."
            ),
            Table(["object size in the test over that in training", "mean"], rows),
            Figure(
                _plot(
                    sizes,
                    ("train_share", "test_share"),
                    ("training", "test"),
                    "share of the image's area seen",
                    "region",
                    True,
                ),
                "Region of classification: how many crops show less than a share of the image.",
                "region",
            ),
            Figure(
                _plot(sizes, ("size_ratio",), ("test over training",), "object size, test over training", "sizes"),
                "Object size in the test over training's, over crops and this config's images.",
                "object_sizes",
            ),
        ],
    )


def _plot(sizes: ObjectSizes, names, labels, x_label: str, name: str, cumulative: bool = False) -> str:
    """Distributions; cumulative ones where one of them is a single value, whose bin would dwarf the rest."""
    curves = []
    for key, label in zip(names, labels):
        places, shares = map(list, sizes.histograms[key])
        curves.append(Curve(label, places, np.cumsum(shares).tolist() if cumulative else shares))
    y_label = "crops, percent, cumulative" if cumulative else "crops, percent"
    return draw_svg(Plot(curves, x_label, y_label, y_from_zero=True), name)


def _histogram(values: np.ndarray, low: float, high: float, bins: int = 40) -> tuple[list[float], list[float]]:
    counts, edges = np.histogram(values, bins, (low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    return [round(float(x), 4) for x in centres], [round(100 * float(n) / len(values), 3) for n in counts]
