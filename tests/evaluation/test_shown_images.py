"""Images are distinguished by id and file: joined data sets give the AP over their union, foreign files are refused."""

import copy
import json

import numpy as np
import pytest

from frozen_det.engine.runner.joined_data import check_members
from frozen_det.errors import InputError
from frozen_det.evaluation import CocoMetric, evaluate_stored

from .test_coco_metric import evaluate, samples_of_masks


def shown(truth: dict, folder: str) -> list[dict]:
    """Perfect detections of every image of ``truth``, whose files lie in ``folder``."""
    return [{**sample, "img_path": f"{folder}/{sample['img_id']}.jpg"} for sample in samples_of_masks(truth)]


def blank(samples: list[dict]) -> list[dict]:
    """The same images with nothing detected."""
    return [
        {**one, "pred_instances": {name: value[:0] for name, value in one["pred_instances"].items()}}
        for one in copy.deepcopy(samples)
    ]


@pytest.mark.parametrize("engine", ["hotcoco", "faster-coco-eval", "pycocotools"])
def test_joined_data_with_the_same_ids_are_judged_by_their_union(small_truth, tmp_path, engine):
    samples = shown(small_truth, "a") + blank(shown(small_truth, "b"))
    metric = CocoMetric(metric=["bbox", "segm"], engine=engine, outfile_prefix=str(tmp_path / "run"))
    numbers = evaluate(metric, samples, small_truth)
    # Two of four zebras (51 of 101 recall steps), one of two ants.
    np.testing.assert_allclose([numbers["coco/bbox_mAP"], numbers["coco/segm_mAP"]], 51 / 101)
    assert "distinguished by their files" in " ".join(metric._notes_given)
    again = evaluate_stored(tmp_path / "run").flat()
    np.testing.assert_allclose(list(again.values()), [numbers[f"coco/{name}"] for name in again], atol=1e-12)
    assert evaluate(metric, samples, small_truth) == numbers  # the next validation


def test_a_file_that_two_data_sets_annotate_is_judged_by_both(small_truth):
    other = copy.deepcopy(small_truth)
    other["annotations"] = other["annotations"][1:]  # the first zebra is missing in the second set
    samples = shown(small_truth, "a") + [
        {**one, "instances": its["instances"]} for one, its in zip(shown(small_truth, "a"), shown(other, "a"))
    ]
    for sample in samples[:3]:
        sample["pred_instances"]["scores"] /= 2  # the false alarm in the second set ranks before the two right ones
    numbers = evaluate(CocoMetric(classwise=True), samples, small_truth)
    assert numbers["coco/bbox_ant_precision"] == pytest.approx(1)
    assert numbers["coco/bbox_zebra_precision"] == pytest.approx(2 / 3)
    metric = CocoMetric()
    assert evaluate(metric, shown(small_truth, "a") * 2, small_truth)["coco/bbox_mAP"] == pytest.approx(1)
    assert "3 repeated images were counted once" in metric._notes_given


def test_a_file_of_other_data_is_refused(small_truth, tmp_path):
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(small_truth))

    def against_file(samples):
        evaluate(CocoMetric(ann_file=str(path)), samples, small_truth)

    against_file(shown(small_truth, "a"))
    with pytest.raises(InputError, match=r"each id of .*truth.json for one image, got 7 for a/7.jpg and b/7.jpg"):
        against_file(shown(small_truth, "a") + shown(small_truth, "b"))
    with pytest.raises(InputError, match="image 7 to be 7.jpg, as in .*, got a/17.jpg"):
        against_file([{**shown(small_truth, "a")[0], "img_path": "a/17.jpg"}])
    against_file([{**shown(small_truth, "a")[0], "img_path": "converted\\7.png"}])  # folder and ending may differ
    with pytest.raises(InputError, match="100 x 200 px .height x width., as in .*, got 200 x 100"):
        against_file([{**shown(small_truth, "a")[0], "ori_shape": (200, 100)}])
    twice = samples_of_masks(small_truth)
    with pytest.raises(InputError, match="id 7 several times and no 'img_path'"):
        against_file(twice + twice)


def test_members_that_list_other_classes_are_refused_before_anything_runs(small_truth):
    metainfo = [{"classes": ("zebra", "ant")}, {"classes": ("ant", "zebra")}]
    with pytest.raises(InputError, match="the same classes in the same order"):
        CocoMetric().dataset_meta = metainfo
    metric = CocoMetric()
    metric.dataset_meta = [{"classes": ("zebra", "ant"), "palette": number} for number in range(2)]
    assert metric.dataset_meta["classes"] == ("zebra", "ant")

    class Set:
        def __init__(self, classes=None, **inner):
            self.__dict__.update(inner, metainfo=None if classes is None else {"classes": classes})

    same, other = Set(("zebra", "ant")), Set(("ant", "zebra"))
    check_members(Set(datasets=[same, same]))
    with pytest.raises(InputError, match="ConcatDataset"):
        check_members(Set(dataset=Set(datasets=[same, other])))  # e.g. RepeatDataset of ConcatDataset


@pytest.mark.parametrize("classes", ["abc", ("a", "b", "b"), (), None, ("a", 1)])
def test_classes_that_do_not_name_each_label_once_are_refused(classes):
    with pytest.raises(InputError, match="expected the classes of the data set as a list of distinct names"):
        CocoMetric().dataset_meta = {"classes": classes}


def test_predictions_that_do_not_fit_are_refused(small_truth):
    import torch

    def with_first(**changes):
        samples = shown(small_truth, "a")
        samples[0]["pred_instances"].update(changes)
        evaluate(CocoMetric(), samples, small_truth)

    with pytest.raises(InputError, match="labels from 0 to 2 .3 classes., got 0 to 3 in image 7"):
        with_first(labels=torch.tensor([0, 3]))
    with pytest.raises(InputError, match="got -1 to 1"):
        with_first(labels=torch.tensor([-1, 1]))
    with pytest.raises(InputError, match=r"n boxes \(n, 4\)"):
        with_first(scores=torch.ones(1))
    with pytest.raises(InputError, match=r"whole numbers as labels, got 0\.5 in image 7"):
        with_first(labels=torch.tensor([0.5, 1]))
    samples = shown(small_truth, "a")
    del samples[0]["pred_instances"]["labels"]
    with pytest.raises(InputError, match="in the predictions, got no labels for image 7"):
        evaluate(CocoMetric(), samples, small_truth)
    samples = shown(small_truth, "a")
    samples[0]["pred_instances"]["scores"] = samples[0]["pred_instances"]["scores"].bfloat16()  # numpy has none
    assert evaluate(CocoMetric(), samples, small_truth)["coco/bbox_mAP"] == pytest.approx(1)


def test_fewer_masks_than_boxes_are_refused(small_truth):
    samples = samples_of_masks(small_truth)
    samples[0]["pred_instances"]["masks"] = samples[0]["pred_instances"]["masks"][1:]
    with pytest.raises(InputError, match="expected a mask for each of the"):
        evaluate(CocoMetric(metric="segm"), samples, small_truth)
