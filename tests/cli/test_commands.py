"""The commands as a user calls them: exit codes, one line for bad input, results where they are documented."""

import json

import cv2
import pytest

from frozen_det.cli import main
from tests.training_runs import tiny_config, tiny_scenes, train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(config file, checkpoint, folder of images) of a tiny finished run."""
    folder = tmp_path_factory.mktemp("run")
    scenes = tiny_scenes(folder / "toy")
    cfg = tiny_config(scenes, folder / "work", train_cfg__max_epochs=1)
    cfg.dump(str(folder / "config.py"))
    train(cfg)
    return folder / "config.py", folder / "work" / "epoch_1.pth", scenes / "images"


def test_describe_prints_the_contracted_numbers_as_json(capsys):
    assert main(["describe", "quickstart", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert {
        "total_params",
        "trainable_params",
        "frozen_params",
        "trainable_share",
        "forward_flops",
        "training_step_flops",
    } <= set(found)
    assert found["frozen_params"] == 2958848 and found["total_params"] == found["trainable_params"] + 2958848
    assert [(v["stride"], v["channels"]) for v in found["levels"]] == [(4, 24), (8, 40), (16, 112), (32, 320)]


@pytest.mark.slow
def test_describe_shows_what_freezing_saves(capsys):
    def step(*options):
        main(["describe", "quickstart", "--json", *options])
        return json.loads(capsys.readouterr().out.strip().splitlines()[-1])

    frozen = step()
    tuned = step("--cfg-options", "model.detector.backbone.freeze=False")
    assert frozen["forward_flops"] == tuned["forward_flops"]
    # Two of the three passes through the backbone (here mostly depthwise convolutions), without the gradients of
    # the images and of a frozen backbone's features, which are not needed.
    body = sum(part["flops"] for part in tuned["parts"] if part["name"].startswith("backbone.body"))
    stem = 2 * (112 * 112) * 32 * 3 * 9
    laterals = 2 * (56 * 56 * 24 + 28 * 28 * 40 + 14 * 14 * 112 + 7 * 7 * 320) * 64
    assert tuned["training_step_flops"] - frozen["training_step_flops"] == 2 * body - stem + laterals
    assert frozen["bytes_kept_for_backward"] < 0.5 * tuned["bytes_kept_for_backward"]
    assert tuned["trainable_share"] == 1.0


def test_describe_needs_neither_weights_nor_data(capsys):
    code = main(
        [
            "describe",
            "quickstart",
            "--json",
            "--cfg-options",
            "model.detector.backbone.weights=nowhere.pth",
            "data_root=nowhere",
        ]
    )
    assert code == 0, capsys.readouterr().err


def test_predict_draws_and_writes_coco_json_from_a_lean_checkpoint(trained, tmp_path, capsys):
    config, checkpoint, images = trained
    code = main(
        [
            "predict",
            str(images),
            "--config",
            str(config),
            "--checkpoint",
            str(checkpoint),
            "-o",
            str(tmp_path / "out"),
            "--device",
            "cpu",
        ]
    )
    assert code == 0, capsys.readouterr().err
    written = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert len(written["images"]) == 12 == len(list((tmp_path / "out").glob("*.jpg")))
    assert {c["name"] for c in written["categories"]} >= {"zero", "nine"}
    assert all(0 <= a["score"] <= 1 and a["bbox"][2] >= 0 for a in written["annotations"])


def test_predict_annotates_a_video_and_lists_its_frames(trained, tmp_path, capsys):
    config, checkpoint, images = trained
    writer = None
    for file in sorted(images.glob("*.jpg"))[:6]:
        frame = cv2.imread(str(file))
        size = frame.shape[1::-1]
        writer = writer or cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, size)
        writer.write(frame)
    writer.release()
    content = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) // 2])
    (tmp_path / "none.mp4").write_bytes(b"no video")
    options = f"--config {config} --checkpoint {checkpoint} --device cpu --batch 2 --flip -o {tmp_path / 'out'}"
    assert main(["predict", str(tmp_path), *options.split(), "--stride", "2"]) == 1
    told = capsys.readouterr().out
    assert "none.mp4 cannot be opened" in told and "of the 6 frames that its header states" in told
    assert f"3 frames, {len(json.loads((tmp_path / 'out/a.json').read_text())['annotations'])} detections" in told
    written = json.loads((tmp_path / "out" / "a.json").read_text())["images"]
    assert [(one["frame"], one["time_s"]) for one in written] == [(0, 0.0), (2, 0.2), (4, 0.4)]
    copy = cv2.VideoCapture(str(tmp_path / "out" / "a.mp4"))
    assert (copy.get(cv2.CAP_PROP_FRAME_COUNT), copy.get(cv2.CAP_PROP_FPS)) == (3, 5)
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == ["a.json", "a.mp4", "cut.json", "cut.mp4"]


def test_test_writes_metrics(trained, tmp_path):
    config, checkpoint, _ = trained
    code = main(["test", str(config), str(checkpoint), "--work-dir", str(tmp_path), "--out", str(tmp_path / "m.json")])
    assert code == 0
    assert 0 <= json.loads((tmp_path / "m.json").read_text())["coco/bbox_mAP"] <= 1


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["train", "quikstart"], "did you mean 'quickstart'"),
        (["train", "quickstart", "--cfg-options", "nonsense"], "expected --cfg-options as KEY=VALUE"),
        (["train", "quickstart", "--resume", "gone.pth"], "gone.pth does not exist"),
        (["test", "quickstart", "gone.pth"], "gone.pth does not exist"),
        (["predict", "gone.jpg", "--config", "quickstart", "--checkpoint", "x.pth"], "gone.jpg does not exist"),
        (["describe", "quickstart", "--size", "1", "2", "3"], "one or two numbers after --size"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith(f"frozen-det {argv[0]}:")]
    assert len(lines) == 1 and message in lines[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("-o .", "the picture of a.png would be written over a.jpg, which is one of the images"),
        ("-o ./b/..", "would be written over b/../a.jpg"),
        ("--tile 5", "a tile of whole px from 32 on, got 5"),
        ("--overlap 1", "an overlap of tiles from 0 to below 1, got 1.0"),
        ("--stride 0", "--stride from 1 on, got 0"),
        ("--score nan", "--score from 0 to 1, got nan"),
        ("--score 50", "--score from 0 to 1, got 50"),
        ("--device gpu", "expected a device of this machine (cpu"),
        ("--device cuda:99", "got 'cuda:99'"),
        ("--device meta", "got 'meta'"),
    ],
)
def test_predict_refuses_what_it_could_not_do_before_it_reads_the_checkpoint(
    tmp_path, monkeypatch, capsys, options, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b").mkdir()
    for name in ("a.jpg", "a.png") if "-o" in options else ("a.jpg",):
        (tmp_path / name).write_bytes(b"as it was")
    images = ["a.png", "a.jpg"] if "-o" in options else ["a.jpg"]
    assert main(["predict", *images, "--config", "quickstart", "--checkpoint", "gone.pth", *options.split()]) == 2
    assert message in capsys.readouterr().err and (tmp_path / "a.jpg").read_bytes() == b"as it was"


def test_a_checkpoint_of_another_model_is_refused(trained, tmp_path, capsys):
    _, checkpoint, images = trained
    code = main(
        ["predict", str(images), "--config", "quickstart", "--checkpoint", str(checkpoint), "-o", str(tmp_path)]
    )
    assert code == 2
    assert "does not fit the model" in capsys.readouterr().err


def test_doctor_names_versions_ops_and_advice(capsys):
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    assert found["versions"]["torch"] and found["ops"] and isinstance(found["tested"], bool)


def test_what_a_data_worker_raised_is_shown_without_its_traceback(trained, tmp_path, capsys):
    config, _, images = trained
    import shutil

    root = tmp_path / "broken"
    shutil.copytree(images.parent, root)
    victim = sorted((root / "images").glob("train_*.jpg"))[0]
    victim.write_bytes(victim.read_bytes()[:500])
    code = main(
        [
            "train",
            str(config),
            "--work-dir",
            str(tmp_path / "work"),
            "--cfg-options",
            f"train_dataloader.dataset.data_root={root}",
            "train_dataloader.num_workers=1",
        ]
    )
    said = capsys.readouterr().err
    line = next(line for line in said.splitlines() if line.startswith("frozen-det train:"))
    assert code == 2 and "Traceback" not in line and victim.name in line
