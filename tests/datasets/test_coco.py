"""CocoDataset: classes from the data, mmdet's boxes, counted drops, clear errors, seeded samples."""

import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset as HostCocoDataset
from torch.utils.data import DataLoader

from frozen_det.datasets.coco import CocoDataset
from frozen_det.datasets.samplers.seeding import SampleIndex
from frozen_det.errors import InputError

pytestmark = pytest.mark.usefixtures("mmdet_scope")

LOAD = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_bbox=True), dict(type="PackDetInputs")]


def _dataset(root, **kwargs):
    return CocoDataset(kwargs.pop("ann_file", "annotations/train.json"), data_root=str(root), **kwargs)


def _add_box(content, bbox, area=None, **more):
    box = {
        "id": 100 + len(content["annotations"]),
        "image_id": 2,
        "category_id": 7,
        "bbox": bbox,
        "area": bbox[2] * bbox[3] if area is None else area,
        "iscrowd": 0,
        **more,
    }
    content["annotations"].append(box)
    return content


def test_classes_and_labels_follow_the_order_of_the_json(coco_root):
    dataset = _dataset(coco_root())
    assert dataset.metainfo["classes"] == ("cat", "dog") and len(dataset) == 2
    instances = dataset.get_data_info(0)["instances"]
    assert [(i["bbox_label"], i["bbox"]) for i in instances] == [(0, [2, 3, 12, 11]), (1, [20, 5, 32, 25])]
    assert dataset.cat_ids == [7, 3]


def test_labels_follow_the_classes_requested_by_name(coco_root):
    dataset = _dataset(coco_root(), metainfo=dict(classes=("dog", "cat")))
    assert [i["bbox_label"] for i in dataset.get_data_info(0)["instances"]] == [1, 0]
    assert dataset.get_cat_ids(1) == [0]


def test_validation_takes_the_classes_of_training(coco_root, coco_content):
    coco_root()
    other = {**coco_content, "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "emu"}]}
    root = coco_root(other, "val")
    for classes_from in ("annotations/train.json", str(root / "annotations/train.json")):
        dataset = _dataset(root, ann_file="annotations/val.json", classes_from=classes_from)
        assert dataset.metainfo["classes"] == ("cat", "dog")
        # Id 3 is cat in this json; emu is not asked for.
        assert [[i["bbox_label"] for i in dataset.get_data_info(n)["instances"]] for n in (0, 1)] == [[0], [0]]


def test_classes_of_foreign_data_are_refused(coco_root, coco_content):
    coco_root()
    root = coco_root({**coco_content, "categories": [{"id": 3, "name": "yak"}, {"id": 7, "name": "emu"}]}, "val")
    with pytest.raises(InputError, match="to share classes, got 'yak', 'emu' and 'cat', 'dog'"):
        _dataset(root, ann_file="annotations/val.json", classes_from="annotations/train.json")


@pytest.mark.parametrize(
    "classes,message",
    [
        (("cat", "dgo"), "got 'dgo', which it lacks; did you mean 'dog'"),
        (("zebra",), "it holds 'cat', 'dog'"),
        (("cat", "cat"), "each class once.*'cat'"),
        ((), "each class once"),
        ("cat", "its comma"),
    ],
)
def test_classes_that_do_not_fit_are_refused_with_the_closest(coco_root, classes, message):
    with pytest.raises(InputError, match=message):
        _dataset(coco_root(), metainfo=dict(classes=classes))


def test_classes_are_known_before_the_annotations_are_loaded(coco_root):
    dataset = _dataset(coco_root(), lazy_init=True)
    assert dataset.metainfo["classes"] == ("cat", "dog") and not dataset._fully_initialized
    dataset.full_init()
    assert len(dataset) == 2


def test_unusable_boxes_are_dropped_counted_and_logged_in_one_line(coco_root, coco_content, log_lines):
    _add_box(coco_content, [1, 1, 0.5, 9])
    _add_box(coco_content, [1, 1, 9, 0.5])
    _add_box(coco_content, [1, 1, 9, 9], iscrowd=1)
    _add_box(coco_content, [1, 1, 9, 9], ignore=True)
    _add_box(coco_content, [35, 25, 20, 20])
    dataset = _dataset(coco_root(coco_content))
    assert [i["ignore_flag"] for i in dataset.get_data_info(1)["instances"]] == [0, 1, 0]
    assert dataset.get_data_info(1)["instances"][2]["bbox"] == [35, 25, 55, 45]
    assert len(log_lines) == 1
    for part in (
        "2 of 2 images",
        "5 of 8 boxes",
        "2 boxes below 1 px",
        "1 crowds",
        "1 boxes marked",
        "1 boxes sticking out",
    ):
        assert part in log_lines[0]


def test_a_box_outside_its_image_is_an_error_or_dropped_and_counted(coco_root, coco_content, log_lines):
    root = coco_root(_add_box(coco_content, [40, 3, 5, 5]))
    with pytest.raises(
        InputError,
        match=r"train.json: annotation id 103: .* image 2 of 40 x 30 px, got .*"
        r"\[40, 3, 5, 5\]; .*on_outside_box='drop'",
    ):
        _dataset(root)
    dataset = _dataset(root, on_outside_box="drop")
    assert len(dataset.get_data_info(1)["instances"]) == 1 and "1 boxes outside their image" in log_lines[-1]


def test_nan_and_missing_keys_stop_the_dataset(coco_root, coco_content):
    with pytest.raises(InputError, match=r"\(id 103\): expected finite numbers"):
        _dataset(coco_root(_add_box(coco_content, [float("nan"), 3, 5, 5], area=1)))
    del coco_content["annotations"][0]["bbox"]
    with pytest.raises(InputError, match=r"annotations\[0\] \(id 1\): expected the keys"):
        _dataset(coco_root(coco_content))


def test_filters_count_what_they_leave_out(coco_root, coco_content, log_lines):
    coco_content["images"] += [
        {"id": 3, "file_name": "c.jpg", "height": 30, "width": 40},
        {"id": 4, "file_name": "d.jpg", "height": 8, "width": 40},
    ]
    dataset = _dataset(coco_root(coco_content), filter_cfg=dict(filter_empty_gt=True, min_size=16))
    assert [dataset.get_data_info(i)["img_id"] for i in range(len(dataset))] == [1, 2]
    assert "1 images with a side below 16 px, 1 images without an object" in log_lines[0]
    assert len(_dataset(coco_root(coco_content), filter_cfg=dict(filter_empty_gt=True), test_mode=True)) == 4


def test_an_unknown_filter_is_refused(coco_root):
    with pytest.raises(InputError, match="'filter_empty'; did you mean 'filter_empty_gt'"):
        _dataset(coco_root(), filter_cfg=dict(filter_empty=True))


def test_no_image_left_shows_what_was_held_and_requested(coco_root, coco_content):
    coco_content["annotations"] = coco_content["annotations"][1:]
    with pytest.raises(InputError) as error:
        _dataset(coco_root(coco_content), metainfo=dict(classes=("cat",)), filter_cfg=dict(filter_empty_gt=True))
    for part in (
        "got none of 2",
        "holds: cat 0, dog 2",
        "classes 'cat'",
        "'filter_empty_gt': True",
        "2 boxes of other classes",
        "2 images without an object",
    ):
        assert part in str(error.value)
    with pytest.raises(InputError, match="got none of 0"):
        _dataset(coco_root({**coco_content, "images": [], "annotations": []}))


def test_missing_files_are_refused_with_the_expected_tree(coco_root, tmp_path):
    root = coco_root()
    (root / "images" / "b.jpg").unlink()
    with pytest.raises(InputError, match=r"got 1 that are not there, the first .*b\.jpg(.|\n)*COCO json  "):
        _dataset(root)
    assert len(_dataset(root, on_broken_image="skip")) == 1
    with pytest.raises(InputError, match="1 that are not there"):
        _dataset(root, on_broken_image="skip", test_mode=True)
    with pytest.raises(InputError, match=r"expected an annotation file at .*no\.json(.|\n)*Known trees"):
        _dataset(root, ann_file="no.json")
    with pytest.raises(InputError, match="expected ann_file.*or split"):
        _dataset(root, ann_file="")


@pytest.mark.parametrize("content", [None, b"", b"no image"])
def test_a_broken_image_is_one_error_that_names_file_and_index(coco_root, content):
    path = coco_root() / "images" / "b.jpg"
    dataset = _dataset(path.parent.parent, pipeline=LOAD)
    path.write_bytes(path.read_bytes()[:-200] if content is None else content)
    assert dataset[0]["inputs"].shape == (3, 30, 40)
    with pytest.raises(InputError, match=r"sample 1 of .*train\.json, got .*b\.jpg: .*on_broken_image='skip'"):
        dataset[1]


@pytest.mark.parametrize("test_mode", [False, True])
@pytest.mark.parametrize("content", [None, b"", b"<svg width='40' height='30'/>", "a loop"])
def test_a_broken_image_that_is_looked_at_is_refused_before_the_first_sample(coco_root, content, test_mode):
    path = coco_root() / "images" / "b.jpg"
    whole = path.read_bytes()
    path.unlink()
    if content == "a loop":
        path.symlink_to(path)
    else:
        path.write_bytes(whole[:-200] if content is None else content)
    settings = dict(pipeline=LOAD, test_mode=test_mode)
    with pytest.raises(InputError, match=r"as one of .*train\.json, got .*b\.jpg: .*on_broken_image='skip'"):
        _dataset(path.parent.parent, **settings)
    if not test_mode:
        assert len(_dataset(path.parent.parent, on_broken_image="skip", **settings)) == 2


def test_a_truncated_image_is_found_even_where_the_decoder_would_forgive_it(coco_root):
    path = coco_root() / "images" / "b.jpg"
    dataset = _dataset(path.parent.parent, pipeline=[lambda sample: sample])
    path.write_bytes(path.read_bytes()[:-200])
    assert dataset[0]["img_id"] == 1
    with pytest.raises(InputError, match="sample 1 of .*truncated"):
        dataset[1]


def test_a_broken_image_is_skipped_in_training_with_a_warning(coco_root, log_lines):
    path = coco_root() / "images" / "b.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    root = path.parent.parent
    dataset = _dataset(root, pipeline=LOAD, on_broken_image="skip")
    assert dataset[SampleIndex(1, 0, 0)]["data_samples"].img_id == 1
    assert "skipped" in log_lines[-1] and "truncated" in log_lines[-1]
    with pytest.raises(InputError, match="truncated"):
        _dataset(root, pipeline=LOAD, on_broken_image="skip", test_mode=True)


def test_the_error_of_a_worker_is_an_input_error_too(coco_root):
    path = coco_root() / "images" / "b.jpg"
    dataset = _dataset(path.parent.parent, pipeline=LOAD)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="sample 1 of"):
        list(DataLoader(dataset, batch_size=None, num_workers=1))


@pytest.mark.slow
def test_a_fault_of_the_pipeline_itself_is_not_blamed_on_the_image(coco_root):
    def broken(sample):
        raise KeyError("a bug")

    with pytest.raises(KeyError, match="a bug"):
        _dataset(coco_root(), pipeline=[broken])[0]


def test_transforms_with_bind_get_the_dataset_also_inside_wrappers(coco_root):
    class Bound:
        dataset = None

        def bind(self, dataset):
            self.dataset = dataset
            self.length_then = len(dataset)

        def __call__(self, sample):
            return sample

    class Wrapper:
        def __init__(self, *transforms):
            self.transforms = transforms

        def __call__(self, sample):
            return sample

    direct, nested = Bound(), Bound()
    dataset = _dataset(coco_root(), pipeline=[direct, Wrapper(nested)], lazy_init=True)
    assert direct.dataset is None
    dataset.full_init()
    assert direct.dataset is dataset and nested.dataset is dataset and direct.length_then == 2


def test_replacements_for_refused_samples_follow_from_the_index(coco_root, coco_content):
    coco_content["images"] += [{**coco_content["images"][0], "id": i, "file_name": f"{i}.jpg"} for i in range(3, 40)]

    def refuse_first(sample):
        return None if sample["sample_idx"] == 0 else sample["sample_idx"]

    dataset = _dataset(coco_root(coco_content), pipeline=[refuse_first])
    chosen = [dataset[SampleIndex(0, 5, epoch)] for epoch in range(8)]
    np.random.seed(77)
    assert [dataset[SampleIndex(0, 5, epoch)] for epoch in range(8)] == chosen and len(set(chosen)) > 2


def test_a_user_tree_is_found_by_split(coco_root):
    coco_root()
    root = coco_root(name="val")
    train, val = (CocoDataset(split=split, data_root=str(root), pipeline=LOAD) for split in ("train", "val"))
    assert len(train) == 2 and torch.equal(train[0]["inputs"], val[0]["inputs"])
    assert val.classes_from == str(root / "annotations/train.json")
    with pytest.raises(InputError, match="split to be one of train, val"):
        CocoDataset(split="test", data_root=str(root))
    with pytest.raises(InputError, match="either ann_file or split"):
        CocoDataset("annotations/train.json", split="train", data_root=str(root))


@pytest.mark.parametrize("key", ["on_broken_image", "on_outside_box"])
def test_an_unknown_choice_is_refused(coco_root, key):
    with pytest.raises(InputError, match=f"expected {key} to be one of"):
        _dataset(coco_root(), **{key: "drpo"})


@pytest.mark.parametrize("filter_cfg", [None, dict(filter_empty_gt=True, min_size=400)])
@pytest.mark.parametrize("classes", [None, ("person", "car")])
def test_parity_with_mmdet_on_coco(real_data, filter_cfg, classes):
    arguments = dict(
        ann_file="annotations/instances.json",
        data_root=str(real_data / "coco128"),
        data_prefix=dict(img="images/"),
        filter_cfg=filter_cfg,
        **(dict(metainfo=dict(classes=classes)) if classes else {}),
    )
    ours, hosts = CocoDataset(**arguments), HostCocoDataset(**arguments)
    assert len(ours) == len(hosts) > 0
    assert all(ours.get_data_info(i) == hosts.get_data_info(i) for i in range(len(ours)))
