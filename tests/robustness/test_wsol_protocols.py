"""Named protocols of localisation against the same steps written out by hand."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from frozen_det.errors import InputError
from frozen_det.robustness.bootstrap import Bootstrap
from frozen_det.robustness.boxed_images import read_boxed
from frozen_det.robustness.wsol import study_wsol
from frozen_det.robustness.wsol_protocols import crop_geometry, protocol_of

from .study_networks import classifier
from .test_wsol import Colours, data, seen


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """Red and green rectangles in images twice as wide as high; the green ones reach the right border."""
    return data(tmp_path_factory.mktemp("wide"), boxes=((4, 16, 24, 32), (96, 0, 32, 32)))


def network_sees(one, resize, crop):
    """(3, crop, crop) float in 0..1 and the class's map, by PIL and numpy."""
    with Image.open(one.path) as image:
        squashed = image.convert("RGB").resize((resize, resize), Image.Resampling.BILINEAR)
    start = (resize - crop) // 2
    pixels = np.asarray(squashed, np.float32)[start : start + crop, start : start + crop] / 255  # (H, W, 3)
    weights = np.array([1.0, 0, -1]) if one.category == "red" else np.array([0, 1.0, -1])
    return (pixels.reshape(crop // 4, 4, crop // 4, 4, 3).mean((1, 3)) @ weights).astype(np.float32)


def test_cutmix_resizes_to_a_square_and_boxes_the_largest_component_above_015_of_the_maximum(wide):
    import cv2

    wanted = []
    for one in read_boxed(wide, "val")[0]:
        large = cv2.resize(np.maximum(network_sees(one, 256, 224), 0), (224, 224), interpolation=cv2.INTER_LINEAR)
        parts, _ = ndimage.label(large >= 0.15 * large.max(), np.ones((3, 3)))
        largest = parts == 1 + np.argmax(ndimage.sum(parts > 0, parts, range(1, parts.max() + 1)))
        rows, columns = np.where(largest.any(1))[0], np.where(largest.any(0))[0]
        height, width = one.size_hw
        x1, x2 = (columns[0] + 16) * width / 256, (columns[-1] + 17) * width / 256
        y1, y2 = (rows[0] + 16) * height / 256, (rows[-1] + 17) * height / 256
        ((tx1, ty1, tx2, ty2),) = one.boxes_xyxy
        inside = (min(x2, tx2) - max(x1, tx1)) * (min(y2, ty2) - max(y1, ty1))
        wanted.append(100 * inside / ((x2 - x1) * (y2 - y1) + (tx2 - tx1) * (ty2 - ty1) - inside))
    found = study_wsol(classifier(Colours()), seen(("red", "green")), wide, protocol="cutmix", log=lambda line: None)
    assert found.notes["protocol"] == "cutmix" and found.notes["map_side"] == 56
    assert found.numbers["mean IoU"].value == pytest.approx(np.mean(wanted), abs=1e-4)
    assert found.numbers["GT-known localisation"].value == 100 == found.numbers["top-1 localisation"].value


def test_the_candidates_own_crop_cannot_reach_the_sides_of_a_wide_image(wide):
    found = study_wsol(classifier(Colours()), seen(("red", "green")), wide, log=lambda line: None)
    assert found.numbers["GT-known localisation"].value == 0


def test_wsolevaluation_squashes_and_takes_the_best_threshold(wide):
    from frozen_det.ops.max_box_acc import score_map
    from tests.ops.test_max_box_acc import by_loops

    one_box, any_box = [], []
    for one in read_boxed(wide, "val")[0]:
        height, width = one.size_hw
        truth = [int(value * 224 / side) for value, side in zip(one.boxes_xyxy[0], (width, height) * 2)]
        first, best = by_loops(score_map(network_sees(one, 224, 224)), [truth], 1000 // 50)
        one_box.append(first), any_box.append(best)
    study = dict(log=lambda line: None, protocol="wsolevaluation")
    found = study_wsol(classifier(Colours()), seen(("red", "green")), wide, **study)
    assert found.notes["threshold"] == "the best of 1000" and found.numbers["top-1"].value == 100
    curve = found.series["GT-known localisation"]
    assert curve.x[:3] == [0, 0.05, 0.1]
    assert curve.y == pytest.approx(100 * (np.array(one_box) >= 0.5).mean(0))
    assert found.numbers["MaxBoxAcc"].value == found.numbers["MaxBoxAccV2"].value == 100


def test_a_protocol_that_is_none_is_refused():
    with pytest.raises(InputError, match="did you mean 'cutmix'"):
        protocol_of("cutmx", seen(("red",)))


def test_the_best_threshold_of_a_resample_may_be_another_one():
    values = np.array([[100.0, 0], [100, 0], [0, 100]])
    boot = Bootstrap(3, 0)
    assert boot.best(values).value == pytest.approx(200 / 3)
    again = [max(values[drawn].mean(0)) for drawn in boot.indices]
    assert boot.best(values).replicates == pytest.approx(again, abs=1e-4)


def test_crops_are_torchvisions():
    from torchvision.transforms import v2

    for size_hw in ((375, 500), (500, 333), (200, 201)):
        (scale_x, scale_y), (left, top) = crop_geometry(size_hw, 256, 224)
        image = torch.arange(size_hw[0] * size_hw[1]).view(1, *size_hw)
        resized = v2.Resize(256)(image.float().expand(3, -1, -1))
        assert resized.shape[-2:] == (round(scale_y * size_hw[0]), round(scale_x * size_hw[1]))
        assert torch.equal(v2.CenterCrop(224)(resized), resized[:, top : top + 224, left : left + 224])
