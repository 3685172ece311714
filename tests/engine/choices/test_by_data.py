"""Size and length of a run on one's own data follow from its boxes and its number of images."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frozen_det.engine.choices.by_data import epochs_by_updates, interval_of_validation, size_by_boxes


def content(sides, width=1000, height=500, **more):
    boxes = [dict(image_id=1, bbox=[0, 0, side, side], **more) for side in sides]
    return {"images": [dict(id=1, width=width, height=height)], "annotations": boxes}


@pytest.mark.parametrize(
    ("sides", "size"),
    [
        ([64] * 10, 512),  # 32 / (64 / 1000) = 500
        ([63] + [64] * 9, 512),
        ([62] * 2 + [200] * 8, 544),  # 516, and the second of ten is not yet the tenth part
        ([10] + [64] * 10, 512),
        ([400] * 3, 320),
        ([5] * 3, 640),
        ([], 640),
        ([0], 640),
    ],
)
def test_nine_of_ten_boxes_are_not_small_at_the_size_within_limits(sides, size):
    assert size_by_boxes(content(sides)).value == size


def test_crowds_and_ignored_boxes_do_not_count():
    small = content([5] * 50, iscrowd=1)["annotations"] + content([5] * 50, ignore=1)["annotations"]
    mixed = content([400] * 3)
    assert size_by_boxes({**mixed, "annotations": mixed["annotations"] + small}).value == 320


@pytest.mark.parametrize(
    ("folder", "size"),
    [("bccd", 320), ("small_sets/street_pedestrians", 640), ("small_sets/indoor_rooms", 576)],
)
def test_real_sets_get_sizes_by_their_objects(real_data, folder, size):
    path = real_data / folder / "annotations" / "train.json"
    if not path.is_file():
        pytest.skip(f"needs {folder} in FROZEN_DET_DATA")
    assert size_by_boxes(json.loads(path.read_text())).value == size


@pytest.mark.parametrize(
    ("images", "batch", "epochs"), [(15, 4, 250), (112, 4, 36), (205, 4, 24), (118_287, 4, 24), (1, 8, 1000)]
)
def test_a_few_images_are_passed_over_until_a_thousand_updates(images, batch, epochs):
    assert epochs_by_updates(images, batch, 24).value == epochs


@given(images=st.integers(1, 10**6), batch=st.integers(1, 64), epochs=st.integers(1, 300))
def test_the_length_is_the_shortest_that_is_long_enough(images, batch, epochs):
    found, steps = epochs_by_updates(images, batch, epochs).value, -(-images // batch)
    assert found >= epochs and found * steps >= 1000
    assert found == epochs or (found - 1) * steps < 1000


@pytest.mark.parametrize(
    "epochs, interval, wide, said", [(24, 2, 2, 12), (1000, 2, 67, 15), (36, 2, 3, 12), (5, 10, 10, 1)]
)
def test_a_run_is_validated_at_most_fifteen_times_and_never_more_often_than_its_config_says(
    epochs, interval, wide, said
):
    found = interval_of_validation(epochs, interval)
    assert (found.value, found.why) == (wide, f"{epochs} epochs are validated {said} times")
