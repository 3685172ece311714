"""Passes by hand: two images, cats and dogs, boxes here and there."""

from frozen_det.evaluation.detections import Detections
from frozen_det.evaluation.evaluated_pass import EvaluatedPass
from frozen_det.evaluation.ground_truth import read_truth

HERE, THERE = [10, 10, 20, 20], [50, 50, 20, 20]
CAT, DOG = 7, 3  # ids of a file need not be 1, 2, ...


def truth_dict(objects, classes=(("cat", CAT), ("dog", DOG)), images=("a", "b"), **image):
    """Objects: (image, category id, box, crowd)."""
    return {
        "images": [dict(id=one, file_name=f"{one}.jpg", height=100, width=100, **image) for one in images],
        "categories": [dict(id=number, name=name, frequency="f") for name, number in classes],
        "annotations": [
            dict(id=n, image_id=image, category_id=c, bbox=box, area=box[2] * box[3], iscrowd=crowd)
            for n, (image, c, box, crowd) in enumerate(objects, start=1)
        ],
    }


def evaluated(objects, found, federated=False, image_ids=None, **others):
    """Found: (image, category id, box, score)."""
    content = truth_dict(objects, **others)
    truth = read_truth(content, federated)
    results = [dict(image_id=i, category_id=c, bbox=box, score=score) for i, c, box, score in found]
    ids = [one["id"] for one in content["categories"]]
    return EvaluatedPass(
        truth, Detections.from_coco_results(results), image_ids or truth.image_ids, ids, federated, content=content
    )
