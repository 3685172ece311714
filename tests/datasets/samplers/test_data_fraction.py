"""A fraction keeps every class, is nested, and follows from the seed and the ids alone."""

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config, ConfigDict

from frozen_det.datasets.coco import CocoDataset
from frozen_det.datasets.samplers.data_fraction import draw_fraction, fraction_of, put_fraction
from frozen_det.errors import InputError

pytestmark = pytest.mark.usefixtures("mmdet_scope")

SHARES = st.floats(0.02, 1.0)
LABELS = st.dictionaries(st.integers(0, 500), st.sets(st.integers(0, 7), max_size=3), min_size=30, max_size=80)


def classes_of(labels, ids) -> set:
    return set().union(*(labels[image] for image in ids))


@settings(max_examples=60, deadline=None)
@given(LABELS, SHARES, st.integers(0, 9))
def test_every_class_keeps_an_image_and_the_share_is_kept_where_that_allows(labels, share, seed):
    drawn = draw_fraction(labels, share, seed)
    assert len(set(drawn)) == len(drawn) and set(drawn) <= set(labels)
    assert classes_of(labels, drawn) == classes_of(labels, labels)
    wanted, num_classes = round(share * len(labels)), len(classes_of(labels, labels))
    assert wanted <= len(drawn) <= max(wanted, num_classes)


@settings(max_examples=60, deadline=None)
@given(LABELS, SHARES, SHARES, st.integers(0, 9))
def test_a_smaller_share_is_part_of_a_larger_one(labels, one, other, seed):
    small, large = sorted((one, other))
    assert set(draw_fraction(labels, small, seed)) <= set(draw_fraction(labels, large, seed))


@settings(max_examples=40, deadline=None)
@given(LABELS, SHARES, st.randoms())
def test_the_order_in_which_images_are_listed_does_not_matter(labels, share, random):
    shuffled = list(labels)
    random.shuffle(shuffled)
    assert set(draw_fraction({image: labels[image] for image in shuffled}, share)) == set(draw_fraction(labels, share))


def test_another_seed_draws_other_images_and_the_whole_is_all_in_order():
    labels = {image: {image % 3} for image in range(100)}
    assert draw_fraction(labels, 1) == list(range(100))
    drawn = [draw_fraction(labels, 0.1, seed) for seed in range(20)]
    assert all(len(ids) == 10 and ids == sorted(ids) for ids in drawn)
    assert len({tuple(ids) for ids in drawn}) == 20
    # Every image has its chance: 200 places for 100 images, so none stands out far.
    assert max(sum(image in ids for ids in drawn) for image in range(100)) <= 8


def test_the_rarest_class_chooses_first_and_one_image_may_serve_two():
    labels = {1: {0}, 2: {0}, 3: {0, 1}, 4: {0}, 5: set()}
    for seed in range(10):
        assert draw_fraction(labels, 0.2, seed) == [3]


def test_images_without_objects_alone_are_drawn_by_the_share():
    assert len(draw_fraction(dict.fromkeys(range(40), ()), 0.25)) == 10


@pytest.mark.parametrize("share", [0, -0.1, 1.01, float("nan"), "0.1", True])
def test_a_share_outside_0_to_1_is_refused(share):
    with pytest.raises(InputError, match=r"expected a fraction in \(0, 1\]"):
        draw_fraction({1: {0}}, share)


def test_a_share_that_leaves_nothing_is_refused():
    with pytest.raises(InputError, match="leaves at least one image, got 0.004 of 100 images"):
        draw_fraction({image: {0} for image in range(100)}, 0.004)


# -- in a dataset and in a config -----------------------------------------------------------------------------------


@pytest.fixture
def root(tmp_path):
    """20 images of two classes; only image 7 shows the second; image 3 shows it as a crowd."""
    (tmp_path / "images").mkdir()
    images = [dict(id=i, file_name=f"{i}.jpg", width=50, height=40) for i in range(1, 21)]
    for image in images:
        (tmp_path / "images" / image["file_name"]).write_bytes(b"\xff\xd8\xff\xd9")
    boxes = [
        dict(id=i, image_id=i, category_id=5 if i in (3, 7) else 4, bbox=[1, 1, 20, 20], area=400, iscrowd=int(i == 3))
        for i in range(1, 21)
    ]
    boxes.append(dict(id=99, image_id=3, category_id=4, bbox=[1, 1, 20, 20], area=400, iscrowd=0))
    (tmp_path / "all.json").write_text(
        json.dumps(dict(images=images, annotations=boxes, categories=[dict(id=4, name="ant"), dict(id=5, name="bee")]))
    )
    return tmp_path


def dataset(root, **more):
    return CocoDataset("all.json", data_root=str(root), **more)


def ids_of(data) -> list:
    return [data.get_data_info(i)["img_id"] for i in range(len(data))]


def test_a_dataset_holds_its_fraction_and_records_which_images(root):
    data = dataset(root, fraction=dict(share=0.1, seed=3))
    assert len(data) == 2 and 7 in ids_of(data) and data.metainfo["classes"] == ("ant", "bee")
    record = data.fraction_record
    assert record["ids"] == ids_of(data) and (record["share"], record["seed"]) == (0.1, 3)
    assert (record["num_images"], record["of_images"]) == (2, 20)
    assert record["annotation_sha256"] == hashlib.sha256((root / "all.json").read_bytes()).hexdigest()
    assert ids_of(dataset(root, fraction=0.1)) == ids_of(dataset(root, fraction=dict(share=0.1, seed=0)))
    assert dataset(root).fraction_record is None and len(dataset(root)) == 20


@pytest.mark.parametrize("fraction", [2, dict(part=0.1), dict(share=0.1, seed="a"), [0.1]])
def test_a_dataset_refuses_what_is_no_fraction(root, fraction):
    with pytest.raises(InputError, match="expected"):
        dataset(root, fraction=fraction)


def test_validation_data_are_never_a_fraction(root):
    with pytest.raises(InputError, match="training data only"):
        dataset(root, fraction=0.5, test_mode=True)


def test_a_config_gives_the_fraction_to_the_datasets_inside_wrappers():
    leaf = dict(type="frozen_det.ToyScenes", split="train")
    cfg = Config(
        dict(
            train_dataloader=dict(
                dataset=dict(
                    type="RepeatDataset",
                    times=2,
                    dataset=dict(
                        type="ConcatDataset", datasets=[leaf, dict(type="frozen_det.CocoDataset", ann_file="x.json")]
                    ),
                )
            )
        )
    )
    put_fraction(cfg, 0.25, 4)
    inside = cfg.train_dataloader.dataset.dataset.datasets
    assert [one.fraction for one in inside] == [dict(share=0.25, seed=4)] * 2
    assert "fraction" not in cfg.train_dataloader.dataset and fraction_of(cfg) == dict(share=0.25, seed=4)
    put_fraction(cfg, 1, 4)
    assert fraction_of(cfg) is None and "fraction" not in inside[0]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (dict(train_dataloader=dict(dataset=dict(type="CocoDataset"))), "got 'CocoDataset'"),
        (dict(train_dataloader=dict(dataset=dict(type="Unheard"))), "got 'Unheard'"),
        (dict(model=dict()), "got none"),
    ],
)
def test_data_that_cannot_draw_a_fraction_are_refused(config, message):
    with pytest.raises(InputError, match=message):
        put_fraction(ConfigDict(config), 0.5)
