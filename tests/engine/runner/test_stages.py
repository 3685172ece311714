"""Stages: run once, reused while settings, inputs and results stay, gone on with when interrupted."""

import json

import pytest

from frozen_det.engine.runner import stages as stages_module
from frozen_det.engine.runner.stages import Stage, Stages, file_digest, set_aside
from frozen_det.errors import InputError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "input.txt").write_text("one")
    return tmp_path


def run(folder, settings="a", fail=False, said=None):
    """A stage that writes `out.txt`, and one that reads it; returns the names of those that worked."""
    stages = Stages(folder / "work", log=(said if said is not None else []).append)
    worked = []
    with stages("first", settings, [folder / "input.txt"]) as stage:
        if stage.todo:
            worked.append("first again" if stage.goes_on else "first")
            if fail:
                raise RuntimeError("interrupted")
            (folder / "work" / "out.txt").write_text((folder / "input.txt").read_text().upper())
            stage.outputs = [folder / "work" / "out.txt"]
    with stages("second", "b", stage.outputs) as stage:
        if stage.todo:
            worked.append("second")
    return worked


def test_what_is_done_is_not_done_again(folder):
    said = []
    assert run(folder) == ["first", "second"]
    assert run(folder, said=said) == []
    assert said[0].startswith("[first] reused (took 0 s")
    assert [one["name"] for one in json.loads((folder / "work" / "stages.json").read_text())] == ["first", "second"]


def test_other_settings_run_a_stage_again_and_the_next_only_if_its_input_changed(folder):
    run(folder)
    assert run(folder, settings="other") == ["first"], "it made the same bytes, so what follows stands"
    (folder / "input.txt").write_text("two")
    assert run(folder, settings="other") == ["first", "second"]


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("edited")])
def test_a_result_that_is_gone_or_edited_is_made_again(folder, damage):
    run(folder)
    damage(folder / "work" / "out.txt")
    assert run(folder) == ["first"]
    assert (folder / "work" / "out.txt").read_text() == "ONE"


def test_of_a_large_result_the_size_alone_is_looked_at(folder):
    def run_large(folder):
        stages = Stages(folder / "work", log=str)
        with stages("large", "a") as stage:
            if stage.todo:
                (folder / "work" / "big.bin").write_bytes(b"12345")
                stage.large = [folder / "work" / "big.bin"]
            assert list(stage.large) == [folder / "work" / "big.bin"]
            assert list(stage.outputs) == []
            return stage.todo

    assert [run_large(folder), run_large(folder)] == [True, False]
    (folder / "work" / "big.bin").write_bytes(b"54321")
    assert not run_large(folder), "as many bytes"
    (folder / "work" / "big.bin").write_bytes(b"1234")
    assert run_large(folder) and (folder / "work" / "big.bin").read_bytes() == b"12345"


def test_an_interrupted_stage_goes_on_only_under_the_same_settings(folder):
    with pytest.raises(RuntimeError):
        run(folder, fail=True)
    assert json.loads((folder / "work" / "stages.json").read_text()) == []
    with pytest.raises(RuntimeError):
        run(folder, settings="other", fail=True)
    assert run(folder) == ["first", "second"], "begun under other settings: from the start"
    with pytest.raises(RuntimeError):
        run(folder, settings="third", fail=True)
    assert run(folder, settings="third") == ["first again"]


def test_a_work_directory_may_be_moved(folder):
    run(folder)
    (folder / "work").rename(folder / "moved")
    stages = Stages(folder / "moved", log=lambda line: None)
    with stages("first", "a", [folder / "input.txt"]) as stage:
        assert not stage.todo and stage.outputs == (folder / "moved" / "out.txt",)


@pytest.mark.parametrize("text", ["", "[1]", '{"config": "x", "seconds": {}}', '{"stages": {"first": {"key": "x"}}}'])
def test_a_record_of_another_kind_counts_as_none(folder, text):
    run(folder)
    (folder / "work" / "chain.json").write_text(text)
    assert run(folder) == ["first", "second"]


def test_an_input_that_does_not_exist_is_named(folder):
    (folder / "input.txt").unlink()
    with pytest.raises(InputError, match=r"expected the file .*input\.txt.* does not exist"):
        run(folder)


def test_earlier_results_are_moved_and_never_overwritten(tmp_path):
    for _ in range(2):
        (tmp_path / "a.pth").write_text("a")
        set_aside([tmp_path / "a.pth", tmp_path / "gone.pth"], tmp_path, log=lambda line: None)
    assert len(list(tmp_path.glob("previous-*/a.pth"))) == 2 and not (tmp_path / "a.pth").exists()
    assert set_aside([tmp_path / "gone.pth"], tmp_path) is None


def test_the_digest_of_a_file_is_its_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a").startswith("ba7816bf8f01cfea")


@pytest.mark.parametrize("alone", [False, True])
def test_another_process_works_unless_the_first_is_to_work_alone_and_keeps_no_record(folder, monkeypatch, alone):
    """The first process's decision comes to it; it waits for the others at the end, and holds no lock."""
    waited = []
    monkeypatch.setattr(stages_module, "is_main_process", lambda: False)
    monkeypatch.setattr(stages_module, "barrier", lambda: waited.append(True))
    monkeypatch.setattr(stages_module, "by_first", lambda decide: Stage("first", todo=True, goes_on=False))
    stages = Stages(folder / "work")
    with stages("first", "a", [folder / "absent.txt"], alone=alone) as stage:
        assert stage.todo is not alone and waited == []
    assert waited == [True] and not (folder / "work").exists()
    with pytest.raises(RuntimeError) as lost, stages("first", "a", alone=alone):
        raise RuntimeError("Connection closed by peer")
    assert "Stopped in the stage 'first'; the same command resumes there." in lost.value.on_disk


def test_what_the_first_process_finds_done_no_other_does(folder, monkeypatch):
    monkeypatch.setattr(stages_module, "is_main_process", lambda: False)
    monkeypatch.setattr(stages_module, "barrier", lambda: pytest.fail("nobody worked"))
    done = Stage("first", todo=False, goes_on=False, outputs=(folder / "input.txt",))
    monkeypatch.setattr(stages_module, "by_first", lambda decide: done)
    with Stages(folder / "work")("first") as stage:
        assert not stage.todo and stage.outputs == (folder / "input.txt",)
