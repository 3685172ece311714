"""Detectors on one frozen backbone, used as one: one pass, and what each finds alone."""

import numpy as np
import pytest

from frozen_det.errors import InputError
from frozen_det.inference.detector import load_detector
from frozen_det.inference.family import load_family, member_names
from frozen_det.weights.kept_checkpoints import latest_checkpoint
from tests.training_runs import tiny_config, tiny_scenes, train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Three detectors: two on one base, one of them with adapters, and one on a base of its own."""
    root = tmp_path_factory.mktemp("family")
    scenes = tiny_scenes(root / "scenes")
    arms = {
        "first": {},
        "adapters": {"model__detector__backbone__adapters": dict(type="parallel", start_stage=2)},
        "other-base": {"model__detector__backbone__weights": "random"},
    }
    found = {}
    for name, options in arms.items():
        cfg = tiny_config(scenes, root / name, train_cfg__max_epochs=1, **options)
        train(cfg)
        found[name] = latest_checkpoint(root / name)
    return found


@pytest.fixture
def images():
    return list(np.random.default_rng(0).integers(0, 255, (2, 96, 96, 3), dtype=np.uint8))


def _equal(one, other) -> bool:
    return all(np.array_equal(getattr(one, key), getattr(other, key)) for key in ("boxes_xyxy", "scores", "labels"))


def test_a_family_finds_what_its_members_find_alone(trained, images):
    family = load_family({name: trained[name] for name in ("first", "adapters")})
    found = family(images)
    for name in family.members:
        alone = load_detector(None, trained[name])(images)
        assert all(len(one.scores) and _equal(one, both[name]) for one, both in zip(alone, found, strict=True))
    pointers = [
        next(p for n, p in one.model.named_parameters() if n.endswith("conv_stem.weight")).data_ptr()
        for one in family.members.values()
    ]
    assert pointers[0] == pointers[1]


def test_a_member_joins_and_goes_and_the_others_stay_as_they_are(trained, images):
    family = load_family({"first": trained["first"]})
    before = family(images)
    family.add("adapters", load_detector(None, trained["adapters"]))
    assert all(_equal(a["first"], b["first"]) for a, b in zip(before, family(images), strict=True))
    gone = family.remove("first")
    assert list(family(images)[0]) == ["adapters"]
    assert all(_equal(a["first"], b) for a, b in zip(before, gone(images), strict=True))


def test_another_base_is_refused_with_both_named(trained):
    with pytest.raises(InputError, match="expected members on one frozen base, got first on sha256 .* and other on"):
        load_family({"first": trained["first"], "other": trained["other-base"]})


def test_another_preparation_of_images_is_refused_with_both_named(trained):
    family = load_family({"first": trained["first"]})
    options = {"test_dataloader.dataset.pipeline.1.scale": (64, 64)}
    with pytest.raises(InputError, match="prepare an image in the same way, got first with .*96.* and small with .*64"):
        family.add("small", load_detector(None, trained["adapters"], options=options))


def test_names_twice_none_and_unknown_are_refused(trained, images):
    family = load_family([])
    with pytest.raises(InputError, match="expected a family with members"):
        family(images)
    family.add("a", load_detector(None, trained["first"]))
    with pytest.raises(InputError, match="'a' twice"):
        family.add("a", family.members["a"])
    with pytest.raises(InputError, match=r"expected one of \['a'\] to remove, got 'b'"):
        family.remove("b")
    with pytest.raises(InputError, match="got one twice"):
        member_names(["x/best.pth", "x/best.pth"])


def test_members_are_called_by_the_shortest_ends_of_their_paths():
    assert list(member_names(["x/a.pth", "x/b.pth"])) == ["a", "b"]
    assert list(member_names(["x/best.pth", "y/best.pth"])) == ["x-best", "y-best"]


def test_predict_takes_several_checkpoints_and_writes_what_each_finds(trained, images, tmp_path):
    import json

    from PIL import Image

    from frozen_det.cli import main

    Image.fromarray(images[0]).save(tmp_path / "photo.png")
    checkpoints = [str(trained[name]) for name in ("first", "adapters")]
    out = tmp_path / "out"
    assert main(["predict", str(tmp_path / "photo.png"), "--checkpoint", *checkpoints, "-o", str(out)]) == 0
    family = load_family(checkpoints)
    found = family([tmp_path / "photo.png"])[0]
    for name in ("first-epoch_1", "adapters-epoch_1"):
        written = json.loads((out / name / "predictions.json").read_text())
        assert [one["score"] for one in written["annotations"]] == pytest.approx(found[name].scores.tolist())
        assert (out / name / "photo.jpg").is_file()
