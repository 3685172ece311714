"""The ids a run trains on are written down, and a run does not go on with others."""

import json
from types import SimpleNamespace

import pytest
from mmengine.logging import MMLogger

from frozen_det.engine.hooks.fraction_record import FractionRecordHook
from frozen_det.errors import InputError


def record(*ids) -> dict:
    return dict(
        share=0.1,
        seed=0,
        num_images=len(ids),
        of_images=30,
        annotation_file="a.json",
        annotation_sha256="ab",
        ids=list(ids),
    )


def runner(tmp_path, *records, resume=False):
    inner = [SimpleNamespace(fraction_record=one) for one in records]
    wrapped = SimpleNamespace(dataset=SimpleNamespace(datasets=inner))  # e.g. RepeatDataset of ConcatDataset
    return SimpleNamespace(
        work_dir=str(tmp_path),
        _resume=resume,
        logger=MMLogger.get_current_instance(),
        train_dataloader=SimpleNamespace(dataset=wrapped),
    )


def test_ids_of_all_datasets_inside_wrappers_are_written(tmp_path):
    FractionRecordHook().before_train(runner(tmp_path, record(1, 2, 3), record(7)))
    written = json.loads((tmp_path / "fraction_ids.json").read_text())
    assert written == {"datasets": [record(1, 2, 3), record(7)]}


def test_a_run_on_all_data_writes_nothing(tmp_path):
    FractionRecordHook().before_train(runner(tmp_path, None))
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_run_with_the_same_ids_goes_on_and_with_others_stops(tmp_path):
    FractionRecordHook().before_train(runner(tmp_path, record(1, 2)))
    FractionRecordHook().before_train(runner(tmp_path, record(1, 2), resume=True))
    with pytest.raises(InputError, match="not the same"):
        FractionRecordHook().before_train(runner(tmp_path, record(1, 3), resume=True))
    FractionRecordHook().before_train(runner(tmp_path, record(1, 3)))  # a new run writes its own
    assert json.loads((tmp_path / "fraction_ids.json").read_text())["datasets"][0]["ids"] == [1, 3]
