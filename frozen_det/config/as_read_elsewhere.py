"""Checks a config that mmengine read without this package, as mmdet's own tools do.

There a child's `data_root` or an `image_size` on the command line does not reach what a base has already computed. It
cannot be put right any more once a Runner is built; it is refused, with the keys to set.
"""

from pathlib import Path

from ..errors import InputError
from .finding import is_shipped
from .load import READ_HERE, check_config, with_own_names
from .reading import read
from .shared_values import changed, comparable, leaves, own_names
from .top_level import check_names


def check_read_elsewhere(cfg, unused: tuple[str, ...] = ()) -> None:
    """Refuse what has no effect in a config that mmengine read alone; one that this package read passes.

    Args:
        cfg: of a Runner, overrides merged.
        unused: beginnings of keys that this run does not read (`test_` in a training).

    Raises:
        InputError: names that reach nothing, and all that :func:`.load.check_config` refuses.
    """
    if cfg.__dict__.get(READ_HERE):
        return
    path = Path(cfg.filename) if getattr(cfg, "filename", None) else None
    if path is not None and path.is_file():
        _check_own_names(cfg, path, unused)
    count, of_host = cfg.get("accumulate"), (cfg.get("optim_wrapper") or {}).get("accumulative_counts", 1)
    if count is not None and count != of_host:
        raise InputError(
            f"accumulate is {count} in {path}, but mmengine alone does not read it. Train with "
            f"`frozen-det train`, or set optim_wrapper.accumulative_counts={count} and divide "
            "auto_scale_lr.base_batch_size by it."
        )
    check_config(cfg, str(path or "the config"), of_host=True)


def _check_own_names(cfg, path: Path, unused: tuple[str, ...]) -> None:
    plain, files = read(path)
    if not plain:
        return  # what runs was made in code
    check_names(plain, files)
    given = {
        name: cfg[name] for name in own_names(plain) if name in cfg and comparable(cfg[name]) != comparable(plain[name])
    }
    wanted, files_wanted = with_own_names(plain, files, given)
    now, before = dict(leaves(cfg)), dict(leaves(plain))
    stale = [
        key
        for key in changed(plain, wanted)
        if not key.startswith(unused) and key in now and key in before and now[key] == before[key]
    ]
    if stale:
        after = dict(leaves(wanted))
        names = sorted(
            {
                *given,
                *(
                    name
                    for file, of in zip(files, files_wanted)
                    for name in own_names(plain)
                    if comparable(file.values.get(name)) != comparable(of.values.get(name))
                ),
            }
        )
        raise InputError(
            f"{path}: setting {', '.join(names)} has no effect here: mmengine evaluates a base before its "
            "child and its overrides. Run it with `frozen-det`, or set "
            f"{', '.join(f'{key}={after.get(key)}' for key in stale[:6])} as well."
        )
    _check_length(cfg, plain, files)


def _check_length(cfg, plain, files) -> None:
    """The length alone changed by an override, where a shipped schedule was written for another."""
    now, before = cfg.get("train_cfg") or {}, plain.get("train_cfg") or {}
    if (
        now.get("max_epochs") != before.get("max_epochs")
        and cfg.get("param_scheduler") == plain.get("param_scheduler")
        and any(is_shipped(file.path) for file in files)
    ):
        raise InputError(
            f"train_cfg.max_epochs={now.get('max_epochs')} leaves param_scheduler as it is for "
            f"{before.get('max_epochs')} epochs, for mmengine alone does not stretch it. Train with "
            "`frozen-det train`, or set param_scheduler too."
        )
