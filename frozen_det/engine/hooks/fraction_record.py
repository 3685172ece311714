"""`frozen_det.FractionRecordHook` writes which images a run with a data fraction was trained on.

``fraction_ids.json`` in the work directory: share, seed, the annotation file with its SHA-256, and the image ids. It
refuses to continue with a run whose images would be others now.
"""

import json
from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook

from ...errors import InputError
from ...registry import HOOKS
from ...weights.atomic_write import replacing

FILE_NAME = "fraction_ids.json"


@HOOKS.register_module()
class FractionRecordHook(Hook):
    """Writes the record of every training dataset that drew a fraction, before the first step.

    Raises:
        InputError: A resumed run whose earlier record names other images.
    """

    def before_train(self, runner) -> None:
        """Write the file, or compare it where the run is resumed."""
        records = list(_records(runner.train_dataloader.dataset))
        if not records or not is_main_process():
            return
        path = Path(runner.work_dir) / FILE_NAME
        if path.is_file() and runner._resume:
            _check_same(path, json.loads(path.read_text(encoding="utf-8"))["datasets"], records)
        with replacing(path) as partial:
            partial.write_text(json.dumps({"datasets": records}), encoding="utf-8")
        runner.logger.info(
            "fraction of the training data: %s; ids in %s",
            ", ".join(
                f"{one['num_images']} of {one['of_images']} images (share {one['share']:g}, seed {one['seed']})"
                for one in records
            ),
            path,
        )


def _records(dataset):
    """Records of a dataset and of those that it wraps."""
    inner = [getattr(dataset, "dataset", None), *(getattr(dataset, "datasets", None) or [])]
    inner = [one for one in inner if one is not None]
    for one in inner:
        yield from _records(one)
    if not inner and getattr(dataset, "fraction_record", None):
        yield dataset.fraction_record


def _check_same(path: Path, before: list[dict], now: list[dict]) -> None:
    if [one["ids"] for one in before] != [one["ids"] for one in now]:
        raise InputError(
            f"expected to resume on the {sum(len(one['ids']) for one in before)} images named in {path}, "
            f"got {sum(len(one['ids']) for one in now)} images that are not the same: the annotation "
            "file or the fraction changed. Set them back, or train in another --work-dir."
        )
