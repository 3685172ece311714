"""Finds a config by path or by the name of one that ships; distinguishes shipped and stock configs from a user's own.

Refuses a name that no config has, with the closest ones.
"""

from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path

from ..errors import InputError, closest
from ..host.shipped_configs import FOLDERS, SCOPE, shipped_folder


def list_configs(pattern: str = "*") -> list[str]:
    """Names of the configs that ship, as every function and command takes them.

    Args:
        pattern: shell pattern that the whole name must match, e.g. ``detection/*resnet50*``.

    Returns:
        sorted names with their folder, e.g. ``detection/NAME``; without parts that other configs are built from.
    """
    folder = shipped_folder()
    files = (file.relative_to(folder).with_suffix("") for file in folder.rglob("*.py"))
    names = (file.as_posix() for file in files if not file.parts[0].startswith("_"))
    return sorted(name for name in names if fnmatchcase(name, pattern))


def default_work_dir(cfg) -> str:
    """``work_dirs/<name of the config>``, as mmdet has it."""
    return str(Path("work_dirs") / Path(cfg.filename).stem)


def find_config(name) -> Path:
    """The file of a config given by path or by the name of one that ships (`quickstart`, `detection/NAME`).

    Raises:
        InputError: no such config; the closest names are given.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    folder, shipped = shipped_folder(), {}
    for full in list_configs():
        for known in {full, full.rpartition("/")[2]}:
            shipped.setdefault(known, []).append(full)
    key = str(name).removeprefix(SCOPE).removesuffix(".py").removeprefix("configs/")
    if len(shipped.get(key, ())) > 1:
        raise InputError(
            f"expected the name of one config, but {key!r} is the name of {' and '.join(shipped[key])}. "
            "Write the folder, too."
        )
    if key in shipped:
        return folder / f"{shipped[key][0]}.py"
    raise InputError(
        f"expected a config file or the name of one that ships, but there is no {str(name)!r}; "
        f"{closest(key, shipped) or 'see the folder configs/'}"
    )


def is_shipped(path) -> bool:
    """Whether a file is one of this package's configs."""
    return any(folder in Path(path).resolve().parents for folder in FOLDERS)


def is_stock(path) -> bool:
    """Whether a file is one of mmdet's (or another OpenMMLab library's) own configs, installed or in a checkout."""
    path = Path(path).resolve()
    if ".mim" in path.parts:
        return True
    folder = stock_folder()
    return (
        folder is not None
        and "configs" in path.parts
        and (folder / Path(*path.parts[_last_index(path.parts, "configs") + 1 :])).is_file()
    )


def _last_index(parts: tuple, name: str) -> int:
    return len(parts) - 1 - parts[::-1].index(name)


@lru_cache
def stock_folder() -> Path | None:
    from importlib.util import find_spec

    found = find_spec("mmdet")
    folder = Path(found.origin).parent / ".mim" / "configs" if found and found.origin else None
    return folder if folder is not None and folder.is_dir() else None
