"""A tuning that is gone on with: the options that it was begun with, and what a used folder says."""

import re

from frozen_det.cli import main
from tests.upstream.fixres_runs import checkpoint_of, classifier_config, pictures


def test_a_tuning_goes_on_with_the_options_it_was_begun_with(tmp_path, capsys):
    cfg, work = classifier_config(pictures(tmp_path / "trees")), tmp_path / "work"
    cfg.dump(str(tmp_path / "small.py"))
    parent = checkpoint_of(cfg, tmp_path / "parent.pth")
    words = ["fixres", str(tmp_path / "small.py"), str(parent), "--epochs", "1", "--lr", "0.1", "--work-dir", str(work)]
    assert main([*words, "--test-size", "16"]) == 0
    before = (work / "epoch_1.pth").read_bytes()
    for other, says in (
        (["--test-size", "20"], r"epoch_1\.pth, with fixres\.test_size=16, to go on with, got 20: give"),
        (["--test-size", "16", "--transform", "v2"], r"with fixres\.transform='v1', to go on with, got 'v2'"),
        (["--test-size", "16", "--affine"], r"with affine=\S+, to go on with, got True"),
    ):
        assert main([*words, *other, "--resume"]) == 2
        assert re.search(says, capsys.readouterr().err)
    assert main([*words, "--test-size", "16"]) == 2  # a new run
    assert "(epoch_1.pth). the same command with --resume resumes that run" in capsys.readouterr().err
    assert main([*words, "--test-size", "16", "--resume"]) == 0
    assert (work / "epoch_1.pth").read_bytes() == before
