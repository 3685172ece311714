"""The command fixres: sizes before and after, proof, card, sweeps, adapting without gradients, the stage of a chain."""

import json

import numpy as np
import pytest
import torch

from frozen_det.cli import main
from frozen_det.config import load_config
from frozen_det.errors import InputError
from frozen_det.upstream.fixres.object_size import study_object_sizes
from frozen_det.upstream.fixres.resolution import SizedImages, halves, measure, set_statistics
from frozen_det.upstream.fixres.resolution_sweep import (
    adapt_halves,
    flops_at,
    load_model,
    sign_test,
    sizes_and_ratios,
    sweep,
)
from frozen_det.upstream.fixres.run import compare, hand_over_words
from frozen_det.weights.card import read_card
from frozen_det.weights.loading import read, state_dict_of
from tests.upstream.fixres_runs import checkpoint_of, classifier_config, pictures


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """(folder, config file, its config, checkpoint) of a small classifier with random weights."""
    folder = tmp_path_factory.mktemp("fixres")
    cfg = classifier_config(pictures(folder / "trees"))
    cfg.dump(str(folder / "small.py"))
    cfg = load_config(folder / "small.py")
    return folder, folder / "small.py", cfg, checkpoint_of(cfg, folder / "parent.pth")


@pytest.fixture(scope="module")
def tuned(small):
    folder, config, _, checkpoint = small
    work = folder / "work"
    assert (
        main(
            [
                "fixres",
                str(config),
                str(checkpoint),
                "--test-size",
                "16",
                "--epochs",
                "2",
                "--lr",
                "0.1",
                "--sweep",
                "12",
                "16",
                "20",
                "--work-dir",
                str(work),
            ]
        )
        == 0
    )
    return work, json.loads((work / "fixres.json").read_text())


def test_both_sizes_are_measured_before_and_after_at_the_last_epoch(small, tuned):
    _, _, cfg, checkpoint = small
    work, record = tuned
    assert [row["size"] for row in record["before"]] == [row["size"] for row in record["after"]] == [12, 16]
    assert record["checkpoint"] == "epoch_2.pth" and (record["train_size"], record["test_size"]) == (12, 16)
    again = measure(load_model(cfg, checkpoint), SizedImages(cfg).batches(16, 0.875))
    assert again.numbers["loss"] == pytest.approx(record["before"][1]["loss"])
    assert [(row["label"], row["size"]) for row in record["rows"]] == [
        (label, size) for label in ("before", "tuned") for size in (12, 16, 20)
    ]
    assert record["rows"][4]["loss"] == record["after"][1]["loss"] != record["before"][1]["loss"]
    page = (work / "fixres.html").read_text()
    assert "bit for bit" in page and "<svg" in page and (work / "fixres_files" / "fixres_sweep.svg").is_file()


def test_what_moved_is_named_and_the_rest_is_the_parents_bit_for_bit(small, tuned):
    work, record = tuned
    before, after = (state_dict_of(read(path), "file") for path in (small[3], work / "epoch_2.pth"))
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert (
        moved
        == set(record["moved"])
        == {
            f"network.{name}"
            for name in (
                "linear.weight",
                "linear.bias",
                "layer3.0.bn2.running_mean",
                "layer3.0.bn2.running_var",
                "layer3.0.bn2.num_batches_tracked",
            )
        }
    )
    proof = json.loads((work / "frozen_proof.json").read_text())
    assert proof["modules"][0]["digest"] == record["frozen_digest"] and all(c["unchanged"] for c in proof["checks"])
    assert record["moved_strides"]["moved"] == [4] and record["moved_strides"]["same"] == [1, 2]


def test_the_card_has_the_new_size_and_the_parent(small, tuned):
    from frozen_det.weights.digest import fingerprint

    card = read_card(tuned[0] / "epoch_2.pth")
    assert (card.input_size, card.crop_ratio) == (16, 0.875)
    assert card.parent_digest == fingerprint(state_dict_of(read(small[3]), "file")).digest


def test_the_tuned_checkpoint_is_tested_by_the_config_it_came_from(small, tuned, tmp_path):
    _, config, _, _ = small
    assert (
        main(
            [
                "test",
                str(config),
                str(tuned[0] / "epoch_2.pth"),
                "--work-dir",
                str(tmp_path),
                "--out",
                str(tmp_path / "numbers.json"),
                "--cfg-options",
                "test_dataloader.dataset.transform.size=16",
            ]
        )
        == 0
    )
    assert json.loads((tmp_path / "numbers.json").read_text())["loss"] == pytest.approx(tuned[1]["after"][1]["loss"])


def test_a_frozen_tensor_that_differs_is_named(small):
    _, _, cfg, checkpoint = small
    parent, other = load_model(cfg, checkpoint), load_model(cfg, checkpoint)
    other.tuned = frozenset({"network.linear.bias"})
    with torch.no_grad():
        other.network.linear.bias.add_(1)
    assert compare(parent, other)["moved"] == ["network.linear.bias"]
    with torch.no_grad():
        other.network.conv1.weight[0, 0, 0, 0] += 1e-6
    with pytest.raises(InputError, match=r"network\.conv1\.weight differs"):
        compare(parent, other)


def test_a_norm_adapted_on_a_half_has_the_statistics_of_its_inputs(small):
    _, _, cfg, checkpoint = small
    model, images = load_model(cfg, checkpoint), SizedImages(cfg)
    seen = []
    norm = model.network.layer3[0].bn2
    hook = norm.register_forward_pre_hook(lambda _, given: seen.append(given[0].clone()))
    found = measure(model, images.batches(16, 0.875, [0, 3, 5, 7, 8]), ["layer3.0.bn2"]).statistics["layer3.0.bn2"]
    hook.remove()
    values = torch.cat(seen)
    assert torch.allclose(found[0], values.mean((0, 2, 3)), atol=1e-6)
    assert torch.allclose(found[1], values.var((0, 2, 3)), rtol=1e-4)
    old = set_statistics(model, {"layer3.0.bn2": found})
    assert torch.equal(norm.running_mean, found[0])
    set_statistics(model, old)
    assert torch.equal(norm.running_mean, load_model(cfg, checkpoint).network.layer3[0].bn2.running_mean)


def test_each_image_is_measured_under_the_other_halfs_statistics(small):
    _, _, cfg, checkpoint = small
    model, images = load_model(cfg, checkpoint), SizedImages(cfg)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    before, adapted = adapt_halves(model, images, [(16, 0.875)], seed=1, log=lambda line: None)
    assert all(torch.equal(value, start[name]) for name, value in model.state_dict().items()), "left as it was"
    first, second = halves(9, seed=1)
    assert sorted([*first, *second]) == list(range(9)) and (len(first), len(second)) == (4, 5)
    set_statistics(model, measure(model, images.batches(16, 0.875, first), ["layer3.0.bn2"]).statistics)
    one = measure(model, images.batches(16, 0.875, second)).numbers
    model.load_state_dict(start)
    set_statistics(model, measure(model, images.batches(16, 0.875, second), ["layer3.0.bn2"]).statistics)
    two = measure(model, images.batches(16, 0.875, first)).numbers
    assert adapted["halves_after"] == [one["top1"], two["top1"]]
    assert adapted["loss"] == pytest.approx((5 * one["loss"] + 4 * two["loss"]) / 9)
    assert adapted["top1"] - before["top1"] == pytest.approx(100 * (adapted["gained"] - adapted["lost"]) / 9)


def test_the_sign_test_is_the_binomial_one():
    from scipy.stats import binomtest

    for gained, lost in ((3, 3), (10, 2), (0, 7), (1, 0)):
        assert sign_test(gained, lost) == pytest.approx(binomtest(gained, gained + lost).pvalue)
    assert sign_test(0, 0) == 1.0


def test_work_grows_with_the_area(small):
    model = load_model(small[2], small[3])
    ratio = (flops_at(model, 32) - flops_at(model, 16)) / flops_at(model, 16)
    assert ratio == pytest.approx(3, rel=1e-3)


def test_sizes_meet_one_ratio_each_or_all_ratios():
    assert sizes_and_ratios([128, 224], [0.875]) == [(128, 0.875), (224, 0.875)]
    assert sizes_and_ratios([128, 224], [0.9, 1.0]) == [(128, 0.9), (224, 1.0)]
    assert len(sizes_and_ratios([128, 224, 288], [0.9, 1.0])) == 6
    for sizes, ratios in (([], [1.0]), ([0], [1.0]), ([128], [1.1])):
        with pytest.raises(InputError, match="--sweep"):
            sizes_and_ratios(sizes, ratios)


def test_the_object_size_study_reads_the_configured_transform():
    found = study_object_sizes(dict(type="frozen_det.TrainTransform", size=224), 224, 0.875, [(400, 400)])
    assert found.real == pytest.approx(0.763, abs=0.003) and found.suggested == 288
    assert found.closed_form == pytest.approx(0.809, abs=5e-4) and found.test_share == pytest.approx(0.7656, abs=1e-4)
    whole = study_object_sizes(
        dict(type="frozen_det.TrainTransform", size=224, scale=(1.0, 1.0), ratio=(1.0, 1.0)), 224, 1.0, [(400, 400)]
    )
    assert whole.real == whole.closed_form == 1.0 and whole.train_share == 1.0
    assert sum(found.histograms["train_share"][1]) == pytest.approx(100, abs=0.1)
    with pytest.raises(InputError, match="TrainTransform"):
        study_object_sizes(dict(type="frozen_det.CifarTrain"), 32, 1.0, [(32, 32)])


def test_a_grid_holds_every_checkpoint_at_every_size(small, tuned, tmp_path):
    folder, config, cfg, checkpoint = small
    assert (
        main(
            [
                "fixres",
                str(config),
                str(checkpoint),
                "--sweep",
                "12",
                "16",
                "--also",
                f"at16={tuned[0]}",
                "--work-dir",
                str(tmp_path / "grid"),
            ]
        )
        == 0
    )
    rows = json.loads((tmp_path / "grid" / "fixres.json").read_text())["rows"]
    assert [(row["label"], row["size"]) for row in rows] == [("before", 12), ("before", 16), ("at16", 12), ("at16", 16)]
    for row, path in ((rows[1], checkpoint), (rows[3], tuned[0] / "epoch_2.pth")):
        measured = measure(load_model(cfg, path), SizedImages(cfg).batches(16, 0.875))
        assert row["loss"] == pytest.approx(measured.numbers["loss"])


def test_a_given_classifier_is_adapted_on_halves_by_one_command(small, capsys):
    folder, config, _, checkpoint = small
    assert (
        main(
            [
                "fixres",
                str(config),
                str(checkpoint),
                "--statistics-only",
                "--split-half",
                "--sweep",
                "12",
                "16",
                "--work-dir",
                str(folder / "adapted"),
            ]
        )
        == 0
    )
    record = json.loads((folder / "adapted" / "fixres.json").read_text())
    assert [(row["label"], row["size"]) for row in record["rows"]] == [
        ("before", 12),
        ("adapted", 12),
        ("before", 16),
        ("adapted", 16),
    ]


def test_statistics_of_training_images_become_a_weights_file(small):
    folder, config, cfg, checkpoint = small
    work = folder / "training_images"
    assert (
        main(
            [
                "fixres",
                str(config),
                str(checkpoint),
                "--statistics-only",
                "--fraction",
                "0.5",
                "--test-size",
                "16",
                "--work-dir",
                str(work),
            ]
        )
        == 0
    )
    rows = json.loads((work / "fixres.json").read_text())["rows"]
    assert rows[1]["num_images_adapted"] == 12
    again = sweep(
        load_model(cfg, work / "adapted.safetensors"), SizedImages(cfg), [(16, 0.875)], "again", log=lambda line: None
    )
    assert again[0]["loss"] == pytest.approx(rows[1]["loss"])
    assert read_card(work / "adapted.safetensors").input_size == 16


@pytest.mark.parametrize(
    "words, message",
    [
        (["gone.pth"], "gone.pth does not exist"),
        (["--split-half"], "--statistics-only"),
        (["--sweep", "12", "--also", "gone"], "NAME=CHECKPOINT"),
    ],
)
def test_bad_calls_are_one_line(small, capsys, words, message):
    given = [] if words[0].endswith(".pth") else [str(small[3])]
    assert main(["fixres", str(small[1]), *given, *words]) == 2
    assert message in capsys.readouterr().err


def test_a_stopped_chain_goes_on_with_the_tuning_and_hands_the_tuned_classifier_on(small, monkeypatch):
    from frozen_det.engine.runner.stages import Stages
    from frozen_det.upstream.classifier import ImageClassifier
    from frozen_det.workflows import chain

    folder, config, cfg, checkpoint = small
    (folder / "chain.py").write_text(
        f'upstream = dict(type="train", config={str(config)!r})\n'
        "fixres = dict(test_size=16, epochs=2, lr=0.1)\n"
        'detector = dict(config="quickstart")\n'
    )
    work, said = folder / "chain", []
    chain_cfg = load_config(folder / "chain.py")
    chain.check_chain(chain_cfg)

    def fixed():
        source = chain._Trained(cfg, checkpoint)
        return chain._fixed(chain_cfg, source, work / "fixres", Stages(work, log=said.append))

    steps, plain = [], ImageClassifier._losses
    with monkeypatch.context() as patched:
        patched.setattr(ImageClassifier, "_losses", lambda self, *batch: _stop_at(steps, 4) or plain(self, *batch))
        with pytest.raises(KeyboardInterrupt):
            fixed()
    assert (work / "fixres" / "epoch_1.pth").is_file() and not (work / "fixres" / "epoch_2.pth").exists()
    source = fixed()
    assert "[fixres] goes on" in said and source.checkpoint.name == "epoch_2.pth"
    assert any("differ (through the last norm)" in line for line in said)
    said.clear()
    assert fixed().checkpoint == source.checkpoint and any("reused" in line for line in said)
    path = chain._export(source, work / "backbone.safetensors", Stages(work, log=said.append))
    state, parent = state_dict_of(read(path), "file"), state_dict_of(read(checkpoint), "file")
    assert {name for name in state if not torch.equal(state[name], parent[f"network.{name}"])} == {
        "layer3.0.bn2.running_mean",
        "layer3.0.bn2.running_var",
        "layer3.0.bn2.num_batches_tracked",
    }


def _stop_at(steps, last):
    steps.append(1)
    if len(steps) > last:
        raise KeyboardInterrupt


def test_the_summary_says_when_the_backbone_features_do_not_change():
    assert "nothing changes" in hand_over_words(dict(moved=[], same=[4, 8, 16, 32]))
    assert "stride 32 differ" in hand_over_words(dict(moved=[32], same=[4, 8, 16]))


@pytest.mark.slow
def test_a_tuned_resnet_50_differs_in_c5_alone(tmp_path):
    """What a detector takes from its parent stays: only the deepest feature moves, through the norm's statistics."""
    from frozen_det.models.backbone_sources.build import build_network
    from frozen_det.upstream.fixres.run import moved_strides

    cfg = load_config("fixres/resnet50_fixres-384px_imagenet1k")
    network = build_network(dict(cfg.model.backbone), 1000).module
    torch.save(network.state_dict(), tmp_path / "parent.pth")
    with torch.no_grad():
        network.layer4[2].bn3.running_mean.add_(0.1)
    torch.save(network.state_dict(), tmp_path / "tuned.pth")
    found = moved_strides(cfg, str(tmp_path / "parent.pth"), str(tmp_path / "tuned.pth"))
    assert found["moved"] == [32] and set(found["same"]) >= {4, 8, 16}


def test_pooled_activations_are_the_heads_input(small):
    _, _, cfg, checkpoint = small
    model, images = load_model(cfg, checkpoint), SizedImages(cfg)
    found = measure(model, images.batches(16, 1.0))
    with torch.no_grad():
        network, values = model.network, []
        network.linear.register_forward_pre_hook(lambda _, given: values.append(given[0]))
        for batch in images.batches(16, 1.0):
            model.test_step(batch)
    flat = torch.cat(values).flatten()
    assert found.pooled["mean"] == pytest.approx(float(flat.mean()), rel=1e-5)
    assert found.pooled["share_near_zero"] == pytest.approx(float((flat < 0.05).float().mean()))
    assert found.pooled["quantiles"][2] == pytest.approx(float(np.quantile(flat.numpy(), 0.5)), abs=1e-4)
