"""Joined training data (ConcatDataset) whose members list other classes are refused before the first step.

A label would mean one class in one member and another in the next. mmdet joins them silently.
"""

from mmengine.hooks import Hook

from ...evaluation.coco_metric import one_metainfo


class JoinedDataHook(Hook):
    """Compares the class lists of all members that a run's training data are joined of.

    Raises:
        InputError: they differ.
    """

    def before_train(self, runner) -> None:
        """Look at the training data; validation data are looked at by the metric."""
        check_members(runner.train_dataloader.dataset)


def check_members(dataset) -> None:
    """Compare the members of a joined data set, at any depth of wrappers; see :class:`JoinedDataHook`."""
    members = list(getattr(dataset, "datasets", None) or ())
    metainfos = [one.metainfo for one in members if isinstance(getattr(one, "metainfo", None), dict)]
    if metainfos:
        one_metainfo(metainfos)
    for inner in [*members, getattr(dataset, "dataset", None)]:
        if inner is not None:
            check_members(inner)
