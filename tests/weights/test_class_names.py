"""Classes of a checkpoint and of data: read in every spelling, matched by name or refused with both lists."""

import numpy as np
import pytest

from frozen_det.errors import InputError
from frozen_det.weights.class_names import order_of, refuse_other_order, stated_category_ids, stated_classes

AB = ("kiwi", "plum")


@pytest.mark.parametrize(
    "meta",
    [
        {"dataset_meta": {"classes": ("kiwi", "plum")}},
        {"dataset_meta": {"classes": ["kiwi", "plum"]}},
        {"dataset_meta": {"CLASSES": ("kiwi", "plum"), "PALETTE": []}},
        {"CLASSES": ("kiwi", "plum")},
        {"classes": np.array(["kiwi", "plum"])},
        {"dataset_meta": {"classes": {0: "kiwi", 1: "plum"}}},
        {"dataset_meta": {"classes": {"1": "plum", "0": "kiwi"}}},
        {"label_classes": ["kiwi", "plum"], "dataset_meta": {"classes": ("plum", "kiwi")}},
    ],
)
def test_the_names_are_read_in_every_spelling(meta):
    assert stated_classes({"meta": meta}, "f.pth") == AB


@pytest.mark.parametrize(
    "checkpoint",
    [
        {},
        [1],
        {"meta": None},
        {"meta": {"epoch": 3}},
        {"meta": {"dataset_meta": None}},
        {"meta": {"dataset_meta": {"classes": ()}}},
    ],
)
def test_a_checkpoint_without_names_states_none(checkpoint):
    assert stated_classes(checkpoint, "f.pth") is None


def test_a_text_is_one_class_and_not_its_letters():
    assert stated_classes({"meta": {"CLASSES": "plum"}}, "f.pth") == ("plum",)


@pytest.mark.parametrize("classes", [3, [1.5], [None, "a"], {"a": "b"}, b"ab", {"a", "b"}, frozenset(("a", "b"))])
def test_what_is_no_list_of_names_is_refused(classes):
    with pytest.raises(InputError, match="f.pth"):
        stated_classes({"meta": {"CLASSES": classes}}, "f.pth")


def test_another_order_is_matched_by_name():
    assert order_of(("a", "b", "c"), ("c", "a", "b"), "m", "d") == (1, 2, 0)
    assert order_of(AB, AB, "m", "d") is None


@pytest.mark.parametrize(
    "data",
    [("kiwi", "pear"), ("kiwi",), ("kiwi", "plum", "pear"), ("Kiwi", "plum"), ("kiwi", "plum "), ("kiwi", "kiwi")],
)
def test_other_names_or_another_number_are_refused_with_both_lists(data):
    with pytest.raises(InputError) as raised:
        order_of(AB, data, "base.pth", "val.json")
    said = str(raised.value)
    assert f"base.pth knows 2 ('kiwi', 'plum'), val.json has {len(data)} ({', '.join(map(repr, data))})" in said
    assert "--classes-from" in said and "\n" not in said


def test_long_lists_are_shortened_and_what_differs_is_named():
    model = tuple(f"thing {i}" for i in range(80))
    with pytest.raises(InputError) as raised:
        order_of(model, (*model[:-1], "other"), "m", "d")
    assert "... (80)" in str(raised.value) and "only in the checkpoint: 'thing 79'" in str(raised.value)
    assert "only in the data: 'other'" in str(raised.value) and "'thing 40'" not in str(raised.value)


def test_a_repeated_name_cannot_be_matched():
    with pytest.raises(InputError, match="expected the same classes"):
        order_of(("a", "a", "b"), ("a", "b", "a"), "m", "d")
    assert order_of(("a", "a", "b"), ("a", "a", "b"), "m", "d") is None


def test_a_model_without_names_is_refused_where_they_are_usual():
    with pytest.raises(InputError, match=r"expected the class names in the meta of m, got none.*'kiwi', 'plum'"):
        order_of(None, AB, "m", "d")
    assert order_of(None, AB, "m", "d", optional=True) is None
    assert order_of(AB, None, "m", "d") is None


def test_numbers_stand_for_classes_without_names():
    for one, other in ((("0", "1"), AB), (AB, ("0", "1"))):
        assert order_of(one, other, "m", "d", optional=True) is None
        with pytest.raises(InputError, match=r"\('kiwi', 'plum'\)"):  # a detector's classes always have names
            order_of(one, other, "m", "d")
    with pytest.raises(InputError, match="another|others"):
        order_of(("0", "1", "2"), AB, "m", "d")
    with pytest.raises(InputError, match="others"):
        order_of(("1", "2"), AB, "m", "d")


def test_where_labels_train_another_order_is_refused_too():
    refuse_other_order(AB, AB, "m", "d")
    with pytest.raises(InputError, match=r"in their order \('kiwi', 'plum'\), got another one in d \('plum', 'kiwi'\)"):
        refuse_other_order(AB, ("plum", "kiwi"), "m", "d")
    many = tuple(f"thing {i}" for i in range(30))
    with pytest.raises(InputError, match=r"\.\.\. \(30\).*metainfo=dict"):
        refuse_other_order(many, many[::-1], "m", "d")


def test_category_ids_are_the_stated_ones_or_count_from_1():
    assert stated_category_ids({"meta": {"category_ids": [90, "x"]}}, 2, "a.pth") == (90, "x")
    assert stated_category_ids({"meta": {}}, 2, "a.pth") == stated_category_ids({}, 2, "a.pth") == (1, 2)


@pytest.mark.parametrize("ids", [[1], [1, 1], [1, None], [1, True], "ab", 7, {1: 2, 3: 4}])
def test_category_ids_that_are_not_one_for_each_class_are_refused(ids):
    with pytest.raises(InputError, match="expected meta.category_ids of a.pth as 2 different ids"):
        stated_category_ids({"meta": {"category_ids": ids}}, 2, "a.pth")
