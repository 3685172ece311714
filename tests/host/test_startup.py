"""Who finds the stand-in for mmcv's ops, and when: under `frozen-det run`, by a start-up file, in no other process."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOST = ("mmcv", "mmdet", "mmengine", "onedl")
FOUND = "import importlib.util as u; print('found' if u.find_spec('mmcv._ext') else 'absent', flush=True)"


class Environment:
    """A virtual environment of its own, without start-up file."""

    def __init__(self, folder: Path):
        self.folder = folder  # not the packages: OpenCV does not start from a working folder that holds it
        venv.create(folder, with_pip=False, symlinks=True)
        self.python = str(folder / "bin" / "python")
        self.packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
        (self.packages / "checkout.pth").write_text(f"{ROOT}\n")

    def run(self, *command: str, **variables: str):
        own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        return subprocess.run(
            [self.python, *command], capture_output=True, text=True, cwd=self.folder, env={**own, **variables}
        )

    def frozen_det(self, *arguments: str, **variables: str):
        return self.run("-W", "error", "-m", "frozen_det.cli", *arguments, **variables)

    def says(self, *command: str, **variables: str) -> list[str]:
        done = self.run(*command, **variables)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout.split()


@pytest.fixture
def with_mmcv(tmp_path):
    """An environment with nothing but an mmcv that has no compiled ops."""
    made = Environment(tmp_path / "env")
    (made.packages / "mmcv").mkdir()
    (made.packages / "mmcv" / "__init__.py").write_text("")
    return made


@pytest.fixture(scope="module")
def without_host(tmp_path_factory):
    """The installed packages but for those of the host."""
    made = Environment(tmp_path_factory.mktemp("without_host") / "env")
    import torch

    for path in Path(torch.__file__).parents[1].iterdir():
        if not path.name.startswith(HOST) and path.suffix != ".pth" and "frozen_det" not in path.name:
            (made.packages / path.name).symlink_to(path)
    return made


# ---- frozen-det run ----


def test_under_run_the_program_and_the_processes_it_starts_find_the_ops(with_mmcv, tmp_path):
    (tmp_path / "tool.py").write_text(
        f"import subprocess, sys\n{FOUND}\nsubprocess.run([sys.executable, '-c', {FOUND!r}], check=True)\n"
    )
    assert with_mmcv.says(str(tmp_path / "tool.py")) == ["absent", "absent"]
    ours = ["-m", "frozen_det.cli", "run"]
    assert with_mmcv.says(*ours, "--", "python", str(tmp_path / "tool.py")) == ["found", "found"]
    assert with_mmcv.says(*ours, "sh", "-c", f'{with_mmcv.python} "{tmp_path}/tool.py"') == ["found", "found"]


def test_under_run_a_checkout_that_is_not_installed_is_found_too(with_mmcv):
    (with_mmcv.packages / "checkout.pth").unlink()
    start = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from frozen_det.cli import main; main(sys.argv[1:])"
    assert with_mmcv.says("-c", start, "run", "--", "python", "-c", FOUND) == ["found"]


def test_run_hands_on_options_exit_code_and_the_users_own_path(with_mmcv, tmp_path):
    (tmp_path / "mine.py").write_text("import sys; print(*sys.argv[1:]); sys.exit(7)\n")
    done = with_mmcv.frozen_det("run", "--", "python", "-m", "mine", "--a", "--", "b", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (7, "--a -- b\n", "")


def test_another_sitecustomize_further_along_the_path_still_runs(with_mmcv, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("print('theirs', flush=True)\n")
    said = with_mmcv.says("-m", "frozen_det.cli", "run", "python", "-c", FOUND, PYTHONPATH=str(tmp_path))
    assert said == ["theirs", "theirs", "found"]  # once for frozen-det itself


def test_a_python_without_frozen_det_says_that_it_has_no_stand_in_and_goes_on(tmp_path):
    other = Environment(tmp_path / "other")
    (other.packages / "checkout.pth").unlink()
    done = other.run("-c", "print(1)", PYTHONPATH=str(ROOT / "frozen_det" / "host" / "at_start"))
    assert done.stdout == "1\n" and done.stderr.count("\n") == 1 and "cannot import frozen_det" in done.stderr


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "expected a program after --, got none; e.g. frozen-det run -- python"),
        (["--"], "expected a program after --, got none"),
        (["--", "pythn"], "'pythn' is none on PATH; did you mean 'python', 'torchrun'?"),
        (["--", "tools/train.py"], "'tools/train.py' is none on PATH; write python before it"),
    ],
)
def test_run_without_a_program_that_exists_is_one_line(arguments, message, capsys):
    from frozen_det.cli import main

    assert main(["run", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1


# ---- the start-up file ----


def test_a_start_up_file_is_written_and_deleted_by_doctor_alone(with_mmcv):
    assert with_mmcv.says("-c", FOUND) == ["absent"]
    assert with_mmcv.frozen_det("doctor", "--install-startup").returncode == 0
    assert with_mmcv.says("-c", FOUND) == ["found"]
    assert str(with_mmcv.packages) in with_mmcv.frozen_det("doctor").stdout
    assert "is deleted" in with_mmcv.frozen_det("doctor", "--remove-startup").stdout
    assert with_mmcv.says("-c", FOUND) == ["absent"]
    assert "did not exist" in with_mmcv.frozen_det("doctor", "--remove-startup").stdout


@pytest.mark.parametrize("room", ["frozen_det", "frozen_det.host"])
def test_a_start_up_file_of_an_earlier_release_works_silently_and_doctor_states_how_to_delete_it(with_mmcv, room):
    (with_mmcv.packages / "frozen_det_ops.pth").write_text(
        f'import sys; exec("try:\\n    from {room} import mmcv_ops\\n    mmcv_ops.install()\\nexcept ImportError:\\n'
        '    pass")\n'
    )
    assert with_mmcv.says("-W", "error", "-c", FOUND) == ["found"]
    assert "Type: frozen-det doctor --remove-startup" in with_mmcv.frozen_det("doctor").stdout
    assert with_mmcv.frozen_det("doctor", "--remove-startup").returncode == 0
    assert with_mmcv.says("-c", FOUND) == ["absent"]


# ---- without a host ----


def test_in_an_empty_environment_help_and_doctor_answer(tmp_path):
    empty = Environment(tmp_path / "env")
    shown = empty.frozen_det("--help")
    assert shown.returncode == 0 and "\n  train " in shown.stdout and shown.stderr == ""
    assert empty.frozen_det("train", "--help").returncode == 0
    told = empty.frozen_det("doctor")
    assert told.returncode == 1 and told.stderr == "" and "\ntorch        not installed\n" in told.stdout
    assert "mmengine, mmcv, mmdet are missing" in told.stdout and "Type: pip install -c" in told.stdout
    refused = empty.frozen_det("train", "quickstart")
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
    assert "Type: pip install 'frozen-det[onedl]'" in refused.stderr


def test_without_a_host_doctor_names_it_and_every_other_command_is_one_line(without_host):
    told = without_host.run("-m", "frozen_det.cli", "doctor")
    assert told.returncode == 1 and "advice     mmengine, mmcv, mmdet are missing" in told.stdout
    assert told.stdout.count("advice") == 1
    for arguments in (["toy-scenes"], ["predict", "a.jpg", "--config", "quickstart", "--checkpoint", "b.pth"]):
        done = without_host.run("-m", "frozen_det.cli", *arguments)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith(f"frozen-det {arguments[0]}: expected MMDetection 3.x"), done.stderr


def test_without_a_host_the_package_is_imported_and_what_needs_one_says_what_to_type(without_host):
    done = without_host.run("-c", "import frozen_det; print(frozen_det.__version__); import frozen_det.models")
    assert done.stdout.count(".") == 2
    assert done.stderr.splitlines()[-1].startswith("frozen_det.host.presence.HostMissingError: expected MMDetection")
    assert "Type: pip install" in done.stderr.splitlines()[-1]


def test_missing_parts_are_named_alone(monkeypatch):
    from frozen_det.host import presence

    monkeypatch.setattr(presence, "PARTS", ("sys", "no_such_package"))
    with pytest.raises(ImportError, match="`frozen-det x` needs, but no_such_package cannot be found in"):
        presence.require_host("`frozen-det x`")
    assert sys.prefix in str(pytest.raises(presence.HostMissingError, presence.require_host).value)
