"""The pipeline steps tell what each transform changed, with the draws that the data loader would make."""

import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope

from frozen_det.datasets.samplers.seeding import SampleIndex, SeededDataset
from frozen_det.datasets.toy.toy_scenes import ToyScenes
from frozen_det.datasets.visualization.pipeline_trace import describe_value, innermost, trace_steps
from frozen_det.errors import InputError

PIPELINE = [
    dict(type="LoadImageFromFile"),
    dict(type="LoadAnnotations", with_bbox=True),
    dict(type="RandomCrop", crop_size=(60, 60), allow_negative_crop=True),
    dict(type="PackDetInputs"),
]


def _dataset(root, pipeline):
    with DefaultScope.overwrite_default_scope("mmdet"):
        return ToyScenes("train", str(root), dict(num_train=12, num_val=6), pipeline=pipeline)


def test_each_transform_is_a_pipeline_step_and_the_last_result_is_the_loaders_sample(toy_root):
    dataset = _dataset(toy_root, PIPELINE)
    stations = list(trace_steps(dataset, SampleIndex(3, 1, 0)))
    assert [station.name for station in stations] == [
        "annotation",
        "LoadImageFromFile",
        "LoadAnnotations",
        "RandomCrop",
        "PackDetInputs",
    ]
    assert torch.equal(stations[-1].result["inputs"], dataset[SampleIndex(3, 1, 0)]["inputs"])


def test_dropped_objects_and_changed_shapes_are_reported(toy_root):
    dataset = _dataset(toy_root, PIPELINE)
    crops = [list(trace_steps(dataset, SampleIndex(i, 1, 0)))[3].lines for i in range(12)]
    assert all("~ img_shape: (224, 224) -> (60, 60)" in lines for lines in crops)
    counts = {i: len(dataset.get_data_info(i)["instances"]) for i in range(12)}
    kept = {i: len(dataset[SampleIndex(i, 1, 0)]["data_samples"].gt_instances) for i in range(12)}
    for i, lines in enumerate(crops):
        assert (f"objects: {counts[i]} -> {kept[i]}" in lines) == (counts[i] != kept[i])
    assert any(counts[i] != kept[i] for i in range(12))


def test_kept_and_removed_objects_are_reported(toy_root):
    stations = list(
        trace_steps(_dataset(toy_root, [lambda s: s, lambda s: {"img_id": s["img_id"]}]), SampleIndex(0, 0, 0))
    )
    assert stations[1].lines == ["nothing changed"]
    assert len(stations[2].lines) == 1 and stations[2].lines[0].startswith("- img_path, ")


def test_equal_boxes_in_another_tensor_are_no_change_and_moved_ones_are(toy_root):
    def times(factor):
        return lambda s: {**s, "gt_bboxes": type(s["gt_bboxes"])(s["gt_bboxes"].tensor * factor)}

    stations = list(trace_steps(_dataset(toy_root, [*PIPELINE[:2], times(1), times(2)]), SampleIndex(0, 0, 0)))
    assert stations[3].lines == ["nothing changed"]
    assert len(stations[4].lines) == 1 and stations[4].lines[0].startswith("~ gt_bboxes: HorizontalBoxes")


def test_a_refused_sample_ends_the_walk(toy_root):
    stations = list(trace_steps(_dataset(toy_root, [lambda s: None, lambda s: 1 / 0]), SampleIndex(0, 0, 0)))
    assert len(stations) == 2 and stations[-1].refused and "refused" in stations[-1].lines[0]


def test_an_index_that_is_not_there_is_refused(toy_root):
    with pytest.raises(InputError, match="expected an index from 0 to 11, got 12"):
        list(trace_steps(_dataset(toy_root, []), SampleIndex(12, 0, 0)))


def test_wrappers_are_looked_through_and_named(toy_root):
    from mmengine.dataset import ConcatDataset, RepeatDataset

    dataset = _dataset(toy_root, [])
    assert innermost(ConcatDataset([dataset])) == (dataset, ["ConcatDataset"])
    assert innermost(RepeatDataset(dataset, 2)) == (dataset, ["RepeatDataset"])
    assert innermost(SeededDataset(dataset))[0].pipeline is dataset.pipeline
    with pytest.raises(InputError, match="expected a dataset with a pipeline, got list"):
        innermost([1])


@pytest.mark.parametrize(
    "value,text",
    [
        (np.array([[1.5, 2], [3, -4]], np.float32), "(2, 2) float32 -4..3"),
        (np.zeros((0, 4)), "(0, 4) float64"),
        (torch.tensor([7]), "(1,) int64 7..7"),
        ([{"a": 1, "b": 2}], "1 entries with a, b"),
        ("x" * 99, "'" + "x" * 86 + "..."),
    ],
)
def test_values_are_described_by_shape_type_and_range(value, text):
    assert describe_value(value) == text
