"""The command that a program names next works as it is printed."""

import sys

import pytest

from frozen_det.cli.shared.program import program


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """A checkout with an environment in it, which is not activated."""
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True)
    for name in ("frozen-det", "python"):
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    return folder


def test_it_is_the_path_below_the_working_directory_where_the_environment_is_not_activated(environment, monkeypatch):
    monkeypatch.setattr(sys, "argv", [".venv/bin/frozen-det", "quickstart"])
    assert program() == ".venv/bin/frozen-det"


def test_it_is_the_plain_name_where_the_shell_finds_it(environment, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(environment / "frozen-det"), "quickstart"])
    monkeypatch.setenv("PATH", f"/usr/bin:{environment}")
    assert program() == "frozen-det"


def test_it_is_not_the_name_of_another_installation(environment, monkeypatch, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "frozen-det").write_text("#!/bin/sh\n")
    (other / "frozen-det").chmod(0o755)
    monkeypatch.setenv("PATH", str(other))
    for called in (".venv/bin/frozen-det", "tools/quickstart.py"):
        monkeypatch.setattr(sys, "argv", [called])
        assert program() == ".venv/bin/frozen-det"


def test_it_is_the_module_where_the_environment_has_no_such_file(environment, monkeypatch):
    (environment / "frozen-det").unlink()
    monkeypatch.setattr(sys, "argv", ["frozen_det/cli/__main__.py"])
    assert program() == ".venv/bin/python -m frozen_det.cli"


def test_a_path_with_a_blank_is_quoted(environment, monkeypatch, tmp_path):
    monkeypatch.chdir(environment.parent.parent)
    spaced = tmp_path / "my env" / "bin"
    spaced.parent.mkdir()
    environment.rename(spaced)
    monkeypatch.setattr(sys, "argv", [str(spaced / "frozen-det")])
    assert program() == "'my env/bin/frozen-det'"
