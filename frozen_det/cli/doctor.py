"""Check the installation: versions, the ops in use, whether the combination was tested, and what to type if not.

frozen-det doctor
frozen-det doctor --install-startup    (mmcv finds the ops in every Python process, not only under `frozen-det run`)
"""

import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from typing import NamedTuple


class Stack(NamedTuple):
    """Versions that were run together; `torch` by its beginning, so that a build's local part does not matter."""

    torch: str
    mmengine: str
    mmcv: str
    mmdet: str
    line: str
    how: str


# Newest first. What ran on each is listed in docs/hosts.md.
TESTED = (
    Stack("2.15.", "0.10.12", "2.3.6", "3.5.1", "onedl", "`make test-newest`"),
    Stack("2.11.", "0.10.12", "2.3.6", "3.5.1", "onedl", "`make test`"),
    Stack("2.1.2", "0.10.7", "2.1.0", "3.3.0", "openmmlab", "`make test-openmmlab`"),
)

# The parts of the host and the distributions that carry each: the maintained line first, then the original one.
HOST = {
    "mmengine": ("onedl-mmengine", "mmengine", "mmengine-lite"),
    "mmcv": ("onedl-mmcv", "mmcv", "mmcv-lite"),
    "mmdet": ("onedl-mmdetection", "mmdet"),
}
INSTALL = {
    "onedl": "pip install -c constraints.txt 'frozen-det[onedl,quickstart]'  # the file is in the repository",
    "openmmlab": "pip install -c constraints-openmmlab.txt 'frozen-det[openmmlab,quickstart]'  "
    "# the file is in the repository",
}
REINSTALL = "pip install --no-cache-dir --force-reinstall --no-deps onedl-mmdetection onedl-mmcv onedl-mmengine"
_NO_STARTUP = "no start-up file: mmdet's own tools run by `frozen-det run -- python tools/train.py ...`"


class Finding(NamedTuple):
    """Something that is off: what, what to type, and whether anything can run before it is put right."""

    what: str
    type_this: str
    broken: bool = False


def add_arguments(parser) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--json", action="store_true", help="machine-readable")
    group.add_argument(
        "--install-startup",
        action="store_true",
        help="write a start-up file (.pth) into this environment: all its Python processes import frozen_det first",
    )
    group.add_argument("--remove-startup", action="store_true", help="delete that file, also one of an earlier release")


def run(args) -> int:
    import json

    from ..host import startup

    if args.install_startup:
        print(f"{startup.install()}: every Python process of {sys.prefix} imports frozen_det when it starts")
        return 0
    if args.remove_startup:
        print(f"{startup.startup_file()} {'is deleted' if startup.remove() else 'did not exist'}")
        return 0
    facts = examine()
    if args.json:
        print(json.dumps(facts))
    else:
        width = max(map(len, facts["versions"])) + 2
        for name, version in facts["versions"].items():
            print(f"{name:<{width}}{version or 'not installed'}")
        print(
            f"\nhost       {facts['host']}\nops        {facts['ops']}\nstart-up   {facts['startup'] or _NO_STARTUP}\n"
            f"device     {facts['device']}\ndisk free  {facts['disk_free_gib']} GiB\n"
            f"tested     {facts['tested_by']}"
        )
        for advice in facts["advice"]:
            print(f"advice     {advice}")
    return 0 if not facts["broken"] else 1


def examine() -> dict:
    """Versions, host, ops, start-up file, device, disk and advice, as plain values."""
    import platform
    import shutil
    from importlib import metadata

    from .. import __version__
    from ..host import startup

    torch = _torch()
    # A folder that an interrupted pip left behind is a distribution without a name.
    installed = {
        _name(found.metadata["Name"]): found.version for found in metadata.distributions() if found.metadata["Name"]
    }
    versions = {
        "python": platform.python_version(),
        "frozen_det": __version__,
        "torch": torch.__version__ if torch else None,
        "torchvision": installed.get("torchvision"),
    }
    versions |= {
        part: next((f"{installed[name]} ({name})" for name in names if name in installed), None)
        for part, names in HOST.items()
    }
    versions |= {
        name: installed.get(name) for name in ("timm", "numpy", "hotcoco", "pycocotools", "safetensors", "onnxruntime")
    }
    findings = list(diagnose(installed, _requirements_of))
    line = line_of(installed)
    ops, trouble = _ops(line) if find_spec("mmcv") else ("none: mmcv is not installed", [])
    findings += trouble
    tested = tested_as(installed)
    if tested is None and line != "incomplete":
        findings.append(
            Finding(
                "this combination was never run; docs/hosts.md lists those that were",
                INSTALL.get(line, INSTALL["onedl"]),
            )
        )
    on_gpu = torch is not None and torch.cuda.is_available()
    if startup.is_of_earlier_release():
        findings.append(
            Finding(
                f"an earlier release left {startup.startup_file()}, which runs in every Python process here",
                "frozen-det doctor --remove-startup",
            )
        )
    broken = any(found.broken for found in findings)
    advice = [f"{found.what}. Type: {found.type_this}" for found in findings]
    if versions["onnxruntime"] is None and not broken:
        advice.append("only for ONNX. Type: pip install 'frozen-det[export]'")
    if not on_gpu and not broken:
        advice.append(
            "on a CPU this spares the system time of giving large buffers back after each step (glibc). "
            "Type: export MALLOC_TRIM_THRESHOLD_=4294967296 MALLOC_MMAP_THRESHOLD_=4294967296"
        )
    tested_by = f"this combination, by {tested.how}" if tested else "not this combination"
    return {
        "versions": versions,
        "host": line,
        "ops": ops,
        "startup": str(startup.startup_file()) if startup.startup_file().exists() else None,
        "device": _device(torch, on_gpu),
        "tested": tested is not None,
        "tested_by": tested_by,
        "broken": broken,
        "disk_free_gib": round(shutil.disk_usage(".").free / 2**30, 1),
        "advice": advice,
    }


def _torch():
    """The module; None where it is not installed or cannot be imported, which is a finding of its requirement."""
    try:
        import torch
    except ImportError:
        return None
    return torch


def _device(torch, on_gpu: bool) -> str:
    if torch is None:
        return "not known without torch"
    if on_gpu:
        return f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}"
    return f"CPU, {torch.get_num_threads()} threads"


def line_of(installed: Mapping[str, str]) -> str:
    """'onedl', 'openmmlab', 'mixed' or 'incomplete'.

    Args:
        installed: version of each installed distribution, by its name in lower case with dashes.
    """
    maintained = [names[0] in installed for names in HOST.values()]
    original = [any(name in installed for name in names[1:]) for names in HOST.values()]
    if any(maintained) and any(original):
        return "mixed"
    return "onedl" if all(maintained) else "openmmlab" if all(original) else "incomplete"


def tested_as(installed: Mapping[str, str]) -> Stack | None:
    """The entry of TESTED that is installed, if any."""
    if line_of(installed) not in ("onedl", "openmmlab"):
        return None
    host = tuple(next(installed[name] for name in names if name in installed) for names in HOST.values())
    return next(
        (
            stack
            for stack in TESTED
            if installed.get("torch", "").startswith(stack.torch) and (stack.mmengine, stack.mmcv, stack.mmdet) == host
        ),
        None,
    )


def diagnose(installed: Mapping[str, str], requirements: Callable[[str], Sequence[str]]) -> Iterator[Finding]:
    """All that is off with a set of installed distributions.

    Args:
        installed: as for :func:`line_of`.
        requirements: distribution's name -> what its metadata requires, e.g. ``["torch==2.11.0", ...]``.
    """
    yield from _host(installed)
    if find_spec("packaging") is None:  # it compares versions; what is absent is found without it
        yield from _absent(installed, requirements("frozen-det"))
        return
    yield from _ranges_of_mmdet(installed)
    yield from _arrays(installed)
    yield from _build_tools(installed)
    yield from _below_range(installed, requirements("frozen-det"))
    yield from _pairing(installed, requirements("torchvision"))


def _host(installed) -> Iterator[Finding]:
    missing = [part for part, names in HOST.items() if not any(name in installed for name in names)]
    if missing:
        wanted = "openmmlab" if "mmdet" in installed else "onedl"
        what = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
        yield Finding(f"{what}, and frozen_det is a plugin of MMDetection 3.x", INSTALL[wanted], broken=True)
    for part, names in HOST.items():
        present = [name for name in names if name in installed]
        if len(present) > 1:
            yield Finding(
                f"{' and '.join(present)} are both installed and write into one folder, {part}: what is "
                "imported is a mixture",
                f"pip uninstall -y {' '.join(present)} && {REINSTALL}",
                broken=True,
            )
    parts = {part: [name for name in names if name in installed] for part, names in HOST.items()}
    if line_of(installed) == "mixed" and all(len(found) == 1 for found in parts.values()):
        given = [found[0] for found in parts.values()]
        original = [name for name in given if not name.startswith("onedl-")]
        yield Finding(
            f"the host mixes onedl-* and original packages ({', '.join(given)}), which is not supported",
            f"pip uninstall -y {' '.join(original)} && {REINSTALL}",
        )


def _ranges_of_mmdet(installed) -> Iterator[Finding]:
    """The original mmdet asserts the versions it was released with; its metadata does not say so."""
    if "mmdet" not in installed or "onedl-mmdetection" in installed:
        return
    for names, low, high, type_this in (
        (HOST["mmcv"], "2.0.0rc4", "2.2.0", INSTALL["openmmlab"]),
        (HOST["mmengine"], "0.7.1", "1.0.0", "pip install mmengine==0.10.7"),
    ):
        for name in names:
            if name in installed and not _version(low) <= _version(installed[name]) < _version(high):
                yield Finding(
                    f"mmdet {installed['mmdet']} refuses {name} {installed[name]}: it wants >={low},<{high}",
                    type_this,
                    broken=True,
                )


def _arrays(installed) -> Iterator[Finding]:
    numpy, torch = installed.get("numpy"), installed.get("torch")
    if numpy and torch and _version(numpy) >= _version("2") and _version(torch) < _version("2.3"):
        yield Finding(
            f"torch {torch} was built for numpy 1 and fails on arrays of numpy {numpy}",
            "pip install 'numpy<2' 'opencv-python<4.12'",
            broken=True,
        )


def _build_tools(installed) -> Iterator[Finding]:
    tools = installed.get("setuptools")
    if "mmengine" in installed and (tools is None or _version(tools) >= _version("82")):
        yield Finding(
            f"mmengine {installed['mmengine']} uses pkg_resources, which came with setuptools before 82; "
            f"installed is {tools or 'none'}",
            "pip install 'setuptools<81'",
        )


def _absent(installed, required: Sequence[str]) -> Iterator[Finding]:
    names = [_name(re.match(r"[\w.-]+", text)[0]) for text in required if "extra ==" not in text]
    absent = [name for name in names if name not in installed]
    if absent:
        yield Finding(f"{', '.join(absent)} missing", "pip install frozen-det", broken=True)


def _below_range(installed, required: Sequence[str]) -> Iterator[Finding]:
    """Installed versions outside the ranges of pyproject.toml; the host's own lines are judged by TESTED instead."""
    host = {name for names in HOST.values() for name in names if not name.startswith("onedl-")}
    outside = {}
    for text in required:
        requirement = _requirement(text)
        name = _name(requirement.name)
        if name in host:
            continue
        if name in installed and not requirement.specifier.contains(installed[name], prereleases=True):
            outside.setdefault(name, f"{name}{requirement.specifier}")
        elif name not in installed and "extra" not in str(requirement.marker or ""):
            yield Finding(f"{name} is missing", f"pip install '{name}{requirement.specifier}'", broken=True)
    for name, wanted in outside.items():
        yield Finding(
            f"{name} {installed[name]} is outside the range that frozen_det states, {wanted}", f"pip install '{wanted}'"
        )


def _pairing(installed, required_by_torchvision: Sequence[str]) -> Iterator[Finding]:
    """torchvision's operators are built against one torch."""
    for requirement in map(_requirement, required_by_torchvision):
        torch = installed.get("torch")
        if _name(requirement.name) == "torch" and torch and not requirement.specifier.contains(torch, prereleases=True):
            yield Finding(
                f"torchvision {installed.get('torchvision')} was built for torch{requirement.specifier}, but "
                f"torch {torch} is installed: its NMS and RoIAlign cannot load",
                "pip install --upgrade torchvision torch",
                broken=True,
            )


def _ops(line: str) -> tuple[str, list[Finding]]:
    from ..host import mmcv_ops

    try:
        if mmcv_ops.in_use():
            return "stand-ins on torchvision and torch (mmcv has no compiled ops)", []
        return "mmcv's own compiled ops", []
    except Exception as error:  # whatever a foreign binary raises on import
        again = "onedl-mmcv" if line != "openmmlab" else "mmcv-lite==2.1.0"
        return f"mmcv's ops cannot be imported: {error}", [
            Finding(
                "mmcv's ops do not load; install the wheel without ops to use our replacements",
                f"pip install --no-cache-dir --force-reinstall --no-deps {again}",
                broken=True,
            )
        ]


def _requirements_of(name: str) -> Sequence[str]:
    from importlib import metadata

    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def _name(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _version(text: str):
    from packaging.version import Version

    return Version(text)


def _requirement(text: str):
    from packaging.requirements import Requirement

    return Requirement(text)
