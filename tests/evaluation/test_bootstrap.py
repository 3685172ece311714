"""AP of resampled images against hotcoco and pycocotools on sets that hold the copies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frozen_det.errors import InputError
from frozen_det.evaluation.bootstrap import average_precisions, matched, resamples
from frozen_det.evaluation.detections import Detections
from frozen_det.evaluation.engines import open_engine
from frozen_det.evaluation.evaluate import evaluate_detections

NUM_IMAGES, NUM_CLASSES = 9, 3


def columns(entries) -> Detections:
    return Detections(
        np.array([entry[0] for entry in entries], np.int64),
        np.array([entry[1] for entry in entries], np.float64).reshape(-1, 4),
        np.array([entry[2] for entry in entries], np.float64),
        np.array([entry[3] for entry in entries], np.int64),
    )


def drawn(seed: int) -> tuple[dict, list]:
    """Objects, and boxes near them, some of a wrong class; equal scores in different images, none within one."""
    draw = np.random.default_rng(seed)
    images = [dict(id=7 * number + 3, width=100, height=100, file_name=f"{number}.jpg") for number in range(NUM_IMAGES)]
    annotations, found = [], []
    for image in images:
        scores = iter(draw.permutation(20) / 20)
        for _ in range(draw.integers(0, 5)):
            category = int(draw.integers(NUM_CLASSES)) + 1
            box = np.concatenate([draw.integers(0, 60, 2), draw.integers(5, 40, 2)]).astype(float)
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=image["id"],
                    category_id=category,
                    bbox=box.tolist(),
                    area=float(box[2:].prod()),
                    iscrowd=0,
                )
            )
            for _ in range(draw.integers(0, 4)):
                near = box + draw.normal(0, 3, 4)
                near[2:] = np.maximum(near[2:], 1)
                label = int(draw.integers(NUM_CLASSES)) + 1 if draw.random() < 0.2 else category
                found.append((image["id"], near, float(next(scores)), label))
    categories = [dict(id=number + 1, name=str(number)) for number in range(NUM_CLASSES)]
    return dict(images=images, annotations=annotations, categories=categories), found


def with_copies(truth: dict, found: list, counts) -> tuple[dict, list]:
    images, annotations, detections = [], [], []
    for image, count in zip(truth["images"], counts, strict=True):
        for _ in range(count):
            number = len(images) + 1
            images.append({**image, "id": number})
            annotations += [
                {**one, "image_id": number} for one in truth["annotations"] if one["image_id"] == image["id"]
            ]
            detections += [(number, *one[1:]) for one in found if one[0] == image["id"]]
    annotations = [{**one, "id": number} for number, one in enumerate(annotations, 1)]
    return dict(images=images, annotations=annotations, categories=truth["categories"]), detections


@pytest.mark.parametrize("engine", ["hotcoco", "pycocotools"])
@given(seed=st.integers(0, 10_000), draw=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_a_resample_is_the_evaluation_of_a_set_with_copies(engine, seed, draw):
    truth, found = drawn(seed)
    counts = resamples(NUM_IMAGES, 2, draw)
    counts[0] = 1
    ours = average_precisions(matched(truth, columns(found)), counts)
    for row, own in zip(counts, ours, strict=True):
        copied, detections = with_copies(truth, found, row)
        if not copied["annotations"] or not detections:
            continue
        theirs = evaluate_detections(open_engine(copied, name=engine), columns(detections))
        per_class = [one["AP"] for one in theirs.classes["bbox"]]
        assert [-1.0 if np.isnan(one) else one for one in own] == pytest.approx(per_class, abs=1e-12)
        assert np.nanmean(own) == pytest.approx(theirs.numbers["bbox"]["mAP"], abs=1e-12)


def test_a_class_that_a_resample_lacks_has_no_number():
    truth, found = drawn(1)
    empty = np.zeros((1, NUM_IMAGES), int)
    assert np.isnan(average_precisions(matched(truth, columns(found)), empty)).all()


def test_an_image_is_drawn_as_often_as_there_are_images_in_all():
    counts = resamples(12, 50, seed=3)
    assert counts.shape == (50, 12) and (counts.sum(1) == 12).all()
    assert (counts == resamples(12, 50, seed=3)).all() and (counts != resamples(12, 50, seed=4)).any()


def test_crowds_are_refused():
    truth, found = drawn(1)
    truth["annotations"][0]["iscrowd"] = 1
    with pytest.raises(InputError, match="iscrowd=1"):
        matched(truth, columns(found))
