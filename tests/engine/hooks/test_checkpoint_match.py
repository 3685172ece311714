"""Checkpoint, model and data: tested, validated, resumed exactly or refused; `load_from` takes what fits, counted."""

import logging

import pytest
import torch
from mmengine.hooks import Hook

from frozen_det.engine.hooks.checkpoint_match import MatchedLabels
from frozen_det.errors import InputError
from tests.engine.toy_runs import ToyData, ToyDetector, save, toy_runner

AB = ("kiwi", "plum")


class Steps(Hook):
    """Counts what was computed."""

    def __init__(self):
        self.count = 0

    def after_train_iter(self, *args, **kwargs):
        self.count += 1

    after_val_iter = after_test_iter = after_train_iter


def labels(runner, loop="test"):
    return getattr(runner, f"{loop}_evaluator").metrics[0].found


def without(name):
    return lambda state: {key: value for key, value in state.items() if key != name}


def renamed(old, new):
    return lambda state: {key.replace(old, new): value for key, value in state.items()}


def with_nan(state):
    return {**state, "head.bias": state["head.bias"] / 0}


MISFITS = [
    (without("head.bias"), "1 missing (head.bias)"),
    (renamed("head", "roi_head"), "2 missing (head.weight, head.bias), 2 unexpected (roi_head.weight, roi_head.bias)"),
    (lambda s: {**s, "neck.weight": torch.ones(1)}, "1 unexpected (neck.weight)"),
    (lambda s: {**s, "head.bias": torch.ones(3)}, "1 of another shape (head.bias: (3) in the file, (2) in the model)"),
    (with_nan, "NaN or infinite values in 1 of 4 tensors: head.bias"),
    (lambda s: {k: torch.zeros_like(v) for k, v in s.items()}, "nothing but zeros in 4 of 4"),
    (lambda s: {**s, "head.bias": 3}, "1 other objects: head.bias"),
    (lambda s: {}, "expected tensors"),
]


@pytest.mark.parametrize(("change", "message"), MISFITS)
@pytest.mark.parametrize("how", ["test", "val", "resume"])
def test_a_checkpoint_that_is_not_the_models_is_refused_before_anything_runs(tmp_path, change, message, how):
    path, steps = save(tmp_path / "a.pth", AB, change=change), Steps()
    runner = toy_runner(
        tmp_path, **{"train" if how == "resume" else how: AB}, load_from=path, resume=how == "resume", hooks=[steps]
    )
    with pytest.raises(InputError) as raised:
        (runner.train if how == "resume" else getattr(runner, how))()
    assert message in str(raised.value) and path in str(raised.value) and "\n" not in str(raised.value)
    assert steps.count == 0


@pytest.mark.parametrize("how", ["test", "val"])
def test_classes_in_another_order_are_matched_by_name(tmp_path, how):
    path = save(tmp_path / "a.pth", ("a", "b", "c"))
    runner = toy_runner(tmp_path, **{how: ("c", "a", "b")}, load_from=path)
    getattr(runner, how)()
    assert labels(runner, how) == [1, 2, 0]
    assert [int(one.pred_instances.labels) for one in runner.model(list(torch.eye(3)), mode="predict")] == [0, 1, 2]


@pytest.mark.parametrize("classes", [AB, list(AB)])
def test_equal_classes_are_left_alone(tmp_path, classes):
    runner = toy_runner(tmp_path, test=classes, load_from=save(tmp_path / "a.pth", AB))
    runner.test()
    assert labels(runner) == [0, 1]


@pytest.mark.parametrize("data", [("kiwi", "pear"), ("kiwi",), ("kiwi", "plum", "pear")])
@pytest.mark.parametrize("how", ["test", "val", "resume"])
def test_other_classes_are_refused_with_both_lists(tmp_path, data, how):
    path, steps = save(tmp_path / "a.pth", AB), Steps()
    runner = toy_runner(
        tmp_path,
        **{"train" if how == "resume" else how: data},
        load_from=path,
        resume=how == "resume",
        model=ToyDetector(2),
        hooks=[steps],
    )
    with pytest.raises(InputError, match=r"knows 2 \('kiwi', 'plum'\), ToyData has"):
        (runner.train if how == "resume" else getattr(runner, how))()
    assert steps.count == 0


def test_a_resumed_run_keeps_the_order_of_its_classes(tmp_path):
    runner = toy_runner(tmp_path, train=AB[::-1], load_from=save(tmp_path / "a.pth", AB), resume=True)
    with pytest.raises(InputError, match="each label would mean another class"):
        runner.train()


def test_a_checkpoint_without_class_names_is_refused_and_data_without_them_are_not(tmp_path):
    path = save(tmp_path / "a.pth", AB, dataset_meta={})
    with pytest.raises(InputError, match="--classes-from"):
        toy_runner(tmp_path, test=AB, load_from=path).test()
    runner = toy_runner(tmp_path, test=ToyData(None, 2), load_from=path, model=ToyDetector(2))
    runner.test()
    assert labels(runner) == [0, 1]


def test_a_plain_state_dict_is_filled_in_whole(tmp_path):
    torch.save({"module." + name: value for name, value in ToyDetector().state_dict().items()}, tmp_path / "a.pth")
    runner = toy_runner(tmp_path, test=ToyData(None, 2), model=ToyDetector(), load_from=str(tmp_path / "a.pth"))
    runner.test()
    assert labels(runner) == [0, 1]


@pytest.mark.parametrize("val", [("kiwi", "pear"), ("kiwi", "plum", "pear")])
def test_validation_data_of_other_classes_stop_training_before_its_first_step(tmp_path, val):
    steps = Steps()
    with pytest.raises(InputError, match="expected the same classes"):
        toy_runner(tmp_path, train=AB, val=val, hooks=[steps]).train()
    assert steps.count == 0


def test_validation_in_another_order_is_matched_while_training_and_testing_keep_theirs(tmp_path):
    runner = toy_runner(tmp_path, train=AB, val=AB[::-1], test=AB)
    runner.train()
    assert labels(runner, "val") == [1, 0]
    runner.test()
    assert labels(runner) == [0, 1]


def test_checkpoints_say_which_class_each_label_is(tmp_path):
    toy_runner(tmp_path, train=AB).train()
    assert torch.load(tmp_path / "epoch_1.pth", weights_only=False)["meta"]["label_classes"] == ["kiwi", "plum"]


# ---- initial weights -----------------------------------------------------------------------------------------


def begin(tmp_path, caplog, path, classes=("a", "b", "c")):
    runner = toy_runner(tmp_path, train=classes, load_from=path)
    runner.logger.addHandler(caplog.handler)
    with caplog.at_level(logging.INFO):
        runner.train()
    return runner, [r.getMessage() for r in caplog.records if "initial weights" in r.getMessage()]


class Wide(ToyDetector):
    """Two classes behind the stem of three."""

    def __init__(self):
        super().__init__(3)
        self.head = torch.nn.Linear(3, 2)


def test_load_from_goes_across_class_counts_and_counts_what_it_took(tmp_path, caplog):
    path = save(tmp_path / "a.pth", AB, model=Wide(), change=lambda s: {**s, "old.weight": torch.ones(1)})
    _, said = begin(tmp_path, caplog, path)
    assert said == [
        f"initial weights from the checkpoint {path}: 2 tensors loaded; 2 of the model are new; 3 "
        "of the file left out (old.weight, head.weight: (2, 3) in the file, (3, 3) in the model, "
        "head.bias: (2) in the file, (3) in the model), 2 of them of another shape"
    ]


def test_load_from_that_fits_says_so_and_warns_of_other_classes(tmp_path, caplog):
    path = save(tmp_path / "a.pth", AB)
    _, said = begin(tmp_path, caplog, path, ("plum", "kiwi"))
    assert said == [
        f"initial weights from the checkpoint {path}: 4 tensors loaded; nothing is new; nothing is left out"
    ]
    assert any("another order of them ('kiwi', 'plum')" in r.getMessage() for r in caplog.records)


def test_load_from_that_fills_nothing_is_refused(tmp_path):
    path = save(tmp_path / "a.pth", AB, change=lambda s: {f"x{k}y": v for k, v in s.items()})
    with pytest.raises(InputError, match="none of its 4 tensors fits.*model.backbone.weights"):
        toy_runner(tmp_path, train=AB, load_from=path).train()


def test_load_from_refuses_weights_that_cannot_be_right(tmp_path):
    with pytest.raises(InputError, match="NaN or infinite"):
        toy_runner(tmp_path, train=AB, load_from=save(tmp_path / "a.pth", AB, change=with_nan)).train()


# ---- predictions ---------------------------------------------------------------------------------------------------


def test_a_classifiers_scores_change_places_with_the_names(tmp_path):
    path = save(tmp_path / "a.pth", ("a", "b", "c"), model=ToyDetector(3, probabilities=True))
    runner = toy_runner(tmp_path, test=("c", "a", "b"), model=ToyDetector(3, probabilities=True), load_from=path)
    runner.test()
    assert labels(runner) == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]  # a, b, c as the data count them


def test_losses_and_maps_pass_and_what_has_no_labels_is_refused():
    match = MatchedLabels((1, 0))
    loss = {"loss": torch.ones(1)}
    assert match(None, (), loss) is loss
    with pytest.raises(InputError, match="without them"):
        match(None, (), [object()])


def test_category_ids_are_those_that_joined_data_agree_on():
    from types import SimpleNamespace

    from frozen_det.engine.runner.label_classes import category_ids

    one, other, none = (SimpleNamespace(cat2label=ids) for ids in ({90: 1, 7: 0}, {90: 0, 7: 1}, {}))
    assert category_ids(SimpleNamespace(dataset=one)) == (7, 90)
    assert category_ids(SimpleNamespace(datasets=[one, one])) == (7, 90)
    assert category_ids(SimpleNamespace(datasets=[one, other])) is category_ids(none) is category_ids(object()) is None
