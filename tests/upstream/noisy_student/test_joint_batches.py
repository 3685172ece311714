import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from frozen_det.datasets.samplers.seeding import SampleIndex
from frozen_det.errors import InputError
from frozen_det.upstream.datasets import ImageFolder, collate_images
from frozen_det.upstream.noisy_student.joint_batches import JointDataset, JointSampler, joint_batch_size

from ..image_sets import write_folder


class Pseudo(torch.utils.data.Dataset):
    """Seven pseudo-labelled images that say what they were asked with."""

    num_classes, transform = 3, None

    def __init__(self, size=7):
        self.size, self.asked = size, []

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        self.asked.append(index)
        return dict(
            inputs=torch.full((3, 8, 8), int(index), dtype=torch.uint8),
            data_samples=dict(
                label=2, index=int(index), path=f"pool/{int(index)}", soft_labels=torch.tensor([0.1, 0.2, 0.7])
            ),
        )


@pytest.fixture
def joint(tmp_path):
    root = write_folder(tmp_path, dict(ash=4, birch=3, cedar=3))
    return JointDataset(ImageFolder(str(root), "train"), Pseudo(), epochs=10)


def batches(joint, batch_size=2, ratio=3, epoch=0, seed=5):
    sampler = JointSampler(joint, batch_size, ratio, seed=seed)
    sampler.set_epoch(epoch)
    return list(DataLoader(joint, joint_batch_size(batch_size, ratio), sampler=sampler, collate_fn=collate_images))


def test_each_batch_has_its_labelled_images_first_and_ratio_times_as_many_others(joint):
    found = batches(joint)
    assert len(found) == 5  # one pass over 10 labelled images
    for batch in found:
        samples = batch["data_samples"]
        assert samples["is_pseudo"].tolist() == [False] * 2 + [True] * 6
        assert batch["inputs"].shape == (8, 3, 8, 8) and len(samples["path"]) == 8
        assert torch.equal(samples["soft_labels"][0], torch.eye(3)[samples["label"][0]])
        assert samples["soft_labels"][5].tolist() == pytest.approx([0.1, 0.2, 0.7])
    assert sorted(int(i) for batch in found for i in batch["data_samples"]["index"][:2]) == list(range(10))


def test_over_passes_every_image_comes_equally_often(joint):
    sampler = JointSampler(joint, 2, 3, seed=1)
    shown = np.zeros(17, int)
    for epoch in range(7):  # 7 * 5 batches with 2 and 6 images: 7 passes over 10 and 30 over 7
        sampler.set_epoch(epoch)
        for index in sampler:
            shown[int(index)] += 1
    assert shown[:10].tolist() == [7] * 10 and shown[10:].tolist() == [30] * 7


def test_an_epoch_follows_from_its_number_alone_so_a_resumed_run_goes_on(joint):
    sampler = JointSampler(joint, 2, 3, seed=1)
    whole = []
    for epoch in range(3):
        sampler.set_epoch(epoch)
        whole.append([(int(i), i.seed, i.epoch) for i in sampler])
    resumed = JointSampler(joint, 2, 3, seed=1)
    resumed.set_epoch(2)
    assert [(int(i), i.seed, i.epoch) for i in resumed] == whole[2] != whole[1]


def test_an_order_takes_four_bytes_a_copy_and_is_that_of_eight(joint, monkeypatch):
    wanted = [(int(i), i.seed) for i in JointSampler(joint, 2, 3, seed=1)]
    permuted, kinds = torch.randperm, []

    def wide(size, generator, dtype):
        kinds.append(dtype)
        return permuted(size, generator=generator)

    monkeypatch.setattr(torch, "randperm", wide)
    assert [(int(i), i.seed) for i in JointSampler(joint, 2, 3, seed=1)] == wanted and set(kinds) == {torch.int32}


def test_an_image_that_comes_again_in_an_epoch_has_draws_of_its_own(joint):
    sampler = JointSampler(joint, 2, 3, seed=1)
    keys = [(int(i), i.seed, i.epoch) for i in sampler]  # 30 places for 7 images
    assert len(set(keys)) == len(keys)


def test_ranks_share_an_epoch_without_overlap(joint, monkeypatch):
    alone = JointSampler(joint, 4, 1, seed=2)
    shares = []
    for rank in (0, 1):
        monkeypatch.setattr("frozen_det.datasets.samplers.seeding.get_dist_info", lambda rank=rank: (rank, 2))
        shares.append([int(i) for i in JointSampler(joint, 2, 1, seed=2)])
    assert len(shares[0]) == len(shares[1]) == len(alone) // 2
    assert sorted(shares[0] + shares[1]) == sorted(int(i) for i in alone)


def test_transforms_get_the_progress_of_training(joint):
    class Rising:
        share = None

        def set_progress(self, share):
            self.share = share

        def __call__(self, image):
            return torch.from_numpy(np.array(image).transpose(2, 0, 1))

    joint.labelled.transform = Rising()
    joint[SampleIndex(3, 0, 4)]
    assert joint.labelled.transform.share == pytest.approx(0.4)


def test_a_share_of_pseudo_labels_is_rounded_and_none_at_all_is_possible(joint):
    assert joint_batch_size(5, 0.5) == 7 and joint_batch_size(4, 0) == 4
    assert not any(batch["data_samples"]["is_pseudo"].any() for batch in batches(joint, 4, 0))


def test_it_travels_to_workers(joint):
    joint.pseudo.asked = []
    again = pickle.loads(pickle.dumps(joint))
    assert len(again) == 17 and again[12]["data_samples"]["path"] == ["pool/2"]


def test_other_classes_and_empty_parts_are_refused(joint):
    joint.pseudo.num_classes = 5
    with pytest.raises(InputError, match="3 classes.*soft labels of 5"):
        JointDataset(joint.labelled, joint.pseudo)
    with pytest.raises(InputError, match="got 10 and 0.*min_confidence"):
        joint.pseudo.size = 0
        JointSampler(joint, 2, 3, seed=0)
    with pytest.raises(InputError, match="ratio from 0 on"):
        JointSampler(joint, 2, -1, seed=0)
