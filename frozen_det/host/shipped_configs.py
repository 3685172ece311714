"""Where the configs that ship are, and `_base_ = "frozen_det::NAME.py"` in a config that mmengine reads.

The scope works as mmdet's does: from a checkout and from a wheel, in a text and in a list, for configs and for the
parts that they are built from (`frozen_det::_base_/models/retinanet.py`). A name that no config has is refused with the
closest. Types keep mmdet's scope, as in every config of this package.
"""

from pathlib import Path

from ..errors import InputError, closest

SCOPE = "frozen_det::"
# The repository's folder when run from a checkout, the installed copy of it otherwise.
_PACKAGE = Path(__file__).resolve().parent.parent
FOLDERS = (_PACKAGE.parent / "configs", _PACKAGE / "configs")


def shipped_folder() -> Path:
    """The folder of the configs that ship."""
    return next((one for one in FOLDERS if one.is_dir()), FOLDERS[0])


def scoped_file(name: str, where: str) -> Path:
    """The file of ``frozen_det::NAME``, with its folder, with `.py` or without.

    Args:
        name: as written in `_base_`.
        where: the file that says so.

    Raises:
        InputError: no such config.
    """
    folder = shipped_folder()
    known = {file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.py")}
    asked = name.removeprefix(SCOPE)
    key = asked.removesuffix(".py").removeprefix("configs/")
    if key in known:
        return folder / f"{key}.py"
    last = key.rpartition("/")[2]
    near = next((f"did you mean {SCOPE}{one}.py?" for one in sorted(known) if one.rpartition("/")[2] == last), "")
    if not near:
        hint = closest(key, known, 1).removeprefix("did you mean '").removesuffix("'?")
        near = f"did you mean {SCOPE}{hint}.py?" if hint else "see frozen_det.list_configs()."
    raise InputError(
        f"{where}: expected a config that ships after {SCOPE} in _base_, but there is no {asked!r}; {near}"
    )


def teach(module) -> None:
    """Let mmengine's `Config` (in the module `mmengine.config.config`) know the scope."""
    if "_knows_frozen_det" in vars(module.Config):
        return
    module.Config._knows_frozen_det = True
    host = module.Config._get_cfg_path

    def find(cfg_path: str, filename: str) -> tuple[str, str | None]:
        scope, sign, rest = str(cfg_path).partition("::")
        if sign and scope.replace("-", "_").lower() == "frozen_det":
            if scope != "frozen_det":
                raise InputError(f"{filename}: expected {SCOPE}{rest} in _base_, got {cfg_path!r}.")
            return str(scoped_file(cfg_path, filename)), None  # without a scope of types
        return host(cfg_path, filename)

    module.Config._get_cfg_path = staticmethod(find)
