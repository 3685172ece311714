"""A checkpoint of a new member says which detector it extends, and that this one stayed as it was."""

import pytest
import torch

from frozen_det.errors import InputError
from frozen_det.weights.digest import fingerprint
from frozen_det.weights.extends import Extended
from frozen_det.weights.loading import read

from ..small_runs import Act, run, small_config, write_weights


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """The backbone's weights and the lean checkpoint of a first member on it."""
    folder = tmp_path_factory.mktemp("old")
    weights = write_weights(folder / "backbone.pth")
    run(small_config(folder / "run", weights, epochs=1))
    return weights, folder / "run" / "epoch_1.pth"


def _extending(folder, weights, old, *hooks):
    return small_config(
        folder, weights, epochs=1, hooks=[dict(type="frozen_det.ExtendsHook", checkpoint=str(old)), *hooks]
    )


def test_a_checkpoint_names_the_classes_the_base_and_the_decoder_that_it_extends(old, tmp_path):
    weights, checkpoint = old
    before = checkpoint.read_bytes()
    run(_extending(tmp_path, weights, checkpoint))
    found = Extended.in_meta(read(tmp_path / "epoch_1.pth"), "new")
    state = read(checkpoint)["state_dict"]
    digest = state.pop("backbone.base_digest")
    assert (found.file, found.classes) == (str(checkpoint), ("one", "two"))
    assert found.base == {"backbone": bytes(digest.tolist()).hex()}
    assert found.decoder == fingerprint(state) and set(found.decoder.tensors) == {"head.weight", "head.bias"}
    assert checkpoint.read_bytes() == before


def test_lean_and_full_checkpoints_of_a_detector_have_one_decoder(old, tmp_path):
    weights, checkpoint = old
    loaded = read(checkpoint)
    lean = loaded["state_dict"]
    full = {key: value for key, value in lean.items() if not key.endswith("base_digest")}
    full |= {f"backbone.body.{key}": value for key, value in read(weights).items()}
    torch.save({**loaded, "state_dict": full}, tmp_path / "full.pth")
    run(_extending(tmp_path / "a", weights, checkpoint))
    run(_extending(tmp_path / "b", weights, tmp_path / "full.pth"))
    a, b = (Extended.in_meta(read(tmp_path / name / "epoch_1.pth"), name) for name in "ab")
    assert (a.base, a.decoder) == (b.base, b.decoder)


def test_another_frozen_base_is_refused_before_the_first_step(old, tmp_path):
    other = write_weights(tmp_path / "other.pth", seed=1)
    with pytest.raises(
        InputError, match="expected the frozen base of .*epoch_1.pth, sha256 .*, in backbone of the new"
    ):
        run(_extending(tmp_path / "run", other, old[1]))
    assert not list((tmp_path / "run").glob("*.pth"))


def test_a_detector_in_which_nothing_is_frozen_is_refused(old, tmp_path):
    released = Act("before_train", lambda runner: runner.model.backbone.unfreeze(), "VERY_HIGH")
    cfg = _extending(tmp_path, *old, released)
    with pytest.raises(InputError, match="expected a detector on a frozen backbone in .*epoch_1.pth, got one in which"):
        run(cfg)


def test_a_decoder_that_is_written_over_during_the_training_is_named(old, tmp_path):
    weights, checkpoint = old
    loaded = read(checkpoint)
    torch.save(loaded, tmp_path / "old.pth")

    def write_over(runner):
        loaded["state_dict"]["head.bias"] += 1
        torch.save(loaded, tmp_path / "old.pth")

    with pytest.raises(InputError, match="to stay as it is while a member .* was trained, but head.bias has other"):
        run(_extending(tmp_path / "run", weights, tmp_path / "old.pth", Act("before_train_iter", write_over)))


@pytest.mark.parametrize("text", ["birds.pth", ["a"], {"file": "a"}, {"decoder": None}])
def test_what_no_training_wrote_is_refused(text):
    with pytest.raises(InputError, match=r"expected what it extends in the meta of x.pth \(extends\)"):
        Extended.in_meta({"meta": {"extends": text}}, "x.pth")
