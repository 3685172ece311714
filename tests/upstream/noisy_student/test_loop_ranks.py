"""A round of Noisy Student and the last step by two and four processes, each stage against one process.

Each loop starts from the teacher of one process, so that every stage has the same input as there; the teacher itself is
trained beside it. The transformer has no norm over the batch and nothing is drawn but the images' augmentation, which
follows from the image: what is left are sums in another order. A ResNet's BatchNorms see other batches.
"""

import json
import os

import pytest
import torch

from frozen_det.config import load_config
from tests.engine.ranks import run_launches

from ..image_sets import write_folder

PART, LIMIT = 2, 1e-6
NETWORKS = dict(
    transformer=dict(
        type="timm", name="vit_tiny_patch16_224", img_size=12, patch_size=4, embed_dim=24, num_heads=2, depth=1,
        dynamic_img_size=True,
    ),
    residual=dict(type="frozen_det.CifarResNet", depth=8),
)  # fmt: skip


def commands(folder, name: str, world: int) -> list[list[str]]:
    """Train the teacher, and the loop from the one that one process has trained; in one process the loop alone."""
    options = {
        "data_root": str(folder / "quick"),
        "train_dataloader.batch_size": 4 // world,
        "model.backbone": NETWORKS[name],
        "model.noise": None,
    }
    cfg = load_config("noisy_student/quick", {"data_root": str(folder / "quick"), "labelling.part_size": PART})
    cfg.rounds = cfg.rounds[:1]
    cfg.teacher.options = cfg.rounds[0].options = options
    cfg.fixres.norm = () if name == "transformer" else None
    work_dir = folder / f"{name}-{world}"
    if world > 1:
        cfg.teacher.weights = str(folder / f"{name}-1" / "teacher" / "epoch_2.pth")
    cfg.dump(work_dir.with_suffix(".py"))
    loop = ["noisy_student", str(work_dir.with_suffix(".py")), "--work-dir", str(work_dir)]
    if world == 1:
        return [loop]
    load_config("noisy_student/resnet8_noisy_folder", options).dump(folder / f"teacher-{name}-{world}.py")
    teacher = ["train", str(folder / f"teacher-{name}-{world}.py"), "--work-dir", str(work_dir / "teacher")]
    return [[*one, "--launcher", "pytorch"] for one in ([*teacher, "--no-report"], loop)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("ranks")
    for split, count in dict(train=4, test=2, pool=4).items():
        write_folder(
            found / "quick", dict(ash=count, birch=count, cedar=count), split=split, size=12 + (split == "pool")
        )
    launches = [
        dict(world=world, commands=commands(found, name, world))
        for name, world in (
            ("transformer", 1),
            ("transformer", 2),
            ("transformer", 4),
            ("residual", 1),
            ("residual", 2),
        )
    ]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    for done in run_launches(found / "launches.json", launches, env):
        assert done["codes"] == [0] * done["world"], "\n".join(text[-3000:] for text in done["texts"])
        print(f"{done['world']} processes: {done['cpu_s']:.1f} s")
    return found


def weights(path, part: str = "state_dict") -> dict:
    return torch.load(path, map_location="cpu", weights_only=False)[part]


def gap(one: dict, other: dict) -> float:
    """Largest difference of any entry, over the largest value."""
    assert one.keys() == other.keys()
    entries = [(value.double(), other[name].double()) for name, value in one.items() if torch.is_tensor(value)]
    off = max(float((found - wanted).abs().max()) for found, wanted in entries)
    return off / max(float(wanted.abs().max()) for _, wanted in entries)


STAGES = dict(teacher="teacher/epoch_2.pth", student="round-1/student/epoch_2.pth", fixres="fixres/epoch_1.pth")


def gaps(folder, name: str, world: int) -> dict[str, float]:
    ends = {
        stage: gap(weights(folder / f"{name}-{world}" / path), weights(folder / f"{name}-1" / path))
        for stage, path in STAGES.items()
    }
    print(name, world, {stage: f"{value:.1e}" for stage, value in ends.items()})
    return ends


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize("world", [2, 4])
def test_without_batch_norms_teacher_student_and_the_last_step_are_those_of_one_process(folder, world):
    assert max(gaps(folder, "transformer", world).values()) < LIMIT
    alone, several = folder / "transformer-1", folder / f"transformer-{world}"
    average = [weights(path / STAGES["teacher"], "ema_state_dict") for path in (several, alone)]
    assert gap(*average) < LIMIT
    teacher, student, tuned = (weights(alone / path) for path in STAGES.values())
    assert gap(teacher, student) > 0.01 and gap(student, tuned) > 1e-4  # they are not all one model
    for path in (alone / "metrics").glob("*.json"):
        found, wanted = (json.loads((one / "metrics" / path.name).read_text()) for one in (several, alone))
        assert found == pytest.approx(wanted, rel=1e-5) and found["top1"] == wanted["top1"]


@pytest.mark.slow
@pytest.mark.distributed
@pytest.mark.parametrize(("name", "world"), [("transformer", 2), ("transformer", 4), ("residual", 2)])
def test_labels_and_selection_from_one_teacher_are_the_same_bytes(folder, name, world):
    one, other = (
        {
            str(path.relative_to(loop)): path.read_bytes()
            for pattern in ("labels/part-*", "labels/labels.json", "manifest/*.parquet", "manifest/*.json")
            for path in loop.glob(pattern)
        }
        for loop in (folder / f"{name}-{world}" / "round-1", folder / f"{name}-1" / "round-1")
    )
    assert one == other
    assert len([path for path in one if path.endswith(".parquet")]) == 12 // PART + 1


@pytest.mark.slow
@pytest.mark.distributed
def test_batch_norms_that_see_other_batches_make_other_models(folder):
    assert min(gaps(folder, "residual", 2).values()) > 1e-3
