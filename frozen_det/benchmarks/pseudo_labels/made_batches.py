"""Joint batches of made rows: labels, order and collation of a student's loader, without its images."""

import time
from itertools import islice

import torch
from torch.utils.data import BatchSampler


def joint_batches(manifest: str, batch_size: int, ratio: int = 3, num_batches: int = 100) -> dict:
    """Draw joint batches of labels as a student would, without reading images.

    Args:
        manifest: of labels with ``top_k``.
        batch_size, ratio: of :class:`~frozen_det.upstream.noisy_student.joint_batches.JointSampler`.
        num_batches: how many are drawn, at most an epoch's.

    Returns:
        What the benchmark's result says of batches, but their memory.
    """
    from ...upstream.noisy_student.joint_batches import JointDataset, JointSampler, joint_batch_size
    from ...upstream.noisy_student.pseudo_labelled import PseudoLabelled

    grey = torch.zeros(3, 8, 8, dtype=torch.uint8)

    class Labels(PseudoLabelled):
        def __getitem__(self, index):
            return self._sample(index, grey)

        def __getitems__(self, indices):
            return [self[index] for index in indices]

    begin = time.perf_counter()
    pseudo = Labels(manifest)
    mapped = time.perf_counter() - begin
    joint = JointDataset(pseudo, pseudo)
    batches = BatchSampler(JointSampler(joint, batch_size, ratio, seed=0), joint_batch_size(batch_size, ratio), False)
    begin, rows, size, indices = time.perf_counter(), 0, 0, []
    for indices in islice(batches, num_batches):
        samples = joint.__getitems__(indices)["data_samples"]
        rows += len(indices)
        size = sum(values.nbytes for key, values in samples.items() if key.startswith("soft_"))
    seconds = time.perf_counter() - begin
    return dict(
        mapped_seconds=mapped,
        batch_rows=rows / seconds,
        batch_mib=size / 2**20,
        batch_whole_mib=len(indices) * joint.num_classes * 4 / 2**20,
    )
