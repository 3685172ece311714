"""Commands that torchrun starts several times: refused where each process would do the whole work."""

import pytest

from frozen_det.errors import InputError
from frozen_det.host.processes import refuse_several, started_by_torchrun


@pytest.mark.parametrize(
    ("env", "count"),
    [
        ({}, 1),
        ({"WORLD_SIZE": "4"}, 1),  # of a batch system, say
        ({"WORLD_SIZE": "4", "TORCHELASTIC_RUN_ID": "none"}, 4),
        ({"WORLD_SIZE": "1", "TORCHELASTIC_RUN_ID": "none"}, 1),
    ],
)
def test_processes_are_counted_where_torchrun_started_them(monkeypatch, env, count):
    for name in ("WORLD_SIZE", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert started_by_torchrun() == count


@pytest.mark.parametrize(("launcher", "remedy"), [("none", "add --launcher pytorch"), (None, "without torchrun")])
def test_several_are_refused_unless_the_command_was_told(monkeypatch, launcher, remedy):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    with pytest.raises(InputError, match=f"expected one process of it, got 2 of torchrun.*{remedy}"):
        refuse_several("it", launcher)
    refuse_several("it", "pytorch")
    monkeypatch.setenv("WORLD_SIZE", "1")
    refuse_several("it", launcher)


@pytest.mark.parametrize("timeout", [0, -3, "60", True])
def test_a_timeout_that_is_no_number_of_seconds_is_refused(monkeypatch, timeout):
    import torch
    from mmengine.config import Config

    from frozen_det.engine.runner.processes import set_launcher

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for name, value in dict(RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT="29500").items():
        monkeypatch.setenv(name, value)
    cfg = Config(dict(env_cfg=dict(dist_cfg=dict(backend="nccl", timeout=timeout))))
    with pytest.raises(InputError, match="env_cfg.dist_cfg.timeout in seconds, above 0"):
        set_launcher(cfg, "pytorch")


@pytest.mark.parametrize(
    "command",
    [
        ["chain", "chain/given-efficientnetlite0_faster-rcnn-fpn_toy"],
        ["sweep", "quickstart"],
        ["analyze", "fgsm", "upstream/resnet20_plain_cifar10", "absent.pth"],
    ],
)
def test_what_is_one_process_is_refused_under_torchrun_before_it_writes(monkeypatch, tmp_path, capsys, command):
    from frozen_det.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"frozen-det {command[0]}: expected one process") and "without torchrun" in line
    assert list(tmp_path.iterdir()) == []
