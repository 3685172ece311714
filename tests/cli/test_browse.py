"""browse writes the pictures it names, draws as the loader would, prints the pipeline steps; bad input is one line."""

import cv2
import pytest

from frozen_det.cli import main

CONFIG = """
default_scope = "mmdet"
custom_imports = dict(imports=["frozen_det"], allow_failed_imports=False)
randomness = dict(seed=0)
pipeline = [dict(type="LoadImageFromFile"), dict(type="LoadAnnotations", with_bbox=True, with_mask=True),
            dict(type="RandomFlip", prob=0.5), dict(type="PackDetInputs")]
model = dict(type="FasterRCNN", data_preprocessor=dict(
    type="DetDataPreprocessor", mean=[127.5] * 3, std=[127.5] * 3, bgr_to_rgb=True, pad_size_divisor=128))
train_dataloader = dict(batch_size=2, num_workers=0, sampler=dict(type="frozen_det.EpochSampler", shuffle=True),
    dataset=dict(type="frozen_det.ToyScenes", data_root={root!r}, scenes={scenes!r}, pipeline=pipeline))
val_dataloader = dict(batch_size=2, num_workers=0, sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(type="RepeatDataset", times=2, dataset=dict(type="frozen_det.ToyScenes", split="val",
                 data_root={root!r}, scenes={scenes!r}, pipeline=pipeline)))
"""


@pytest.fixture
def config(tmp_path):
    scenes = dict(num_train=4, num_val=2, size_hw=(96, 96), object_px=(20, 40))
    (tmp_path / "scenes.py").write_text(CONFIG.format(root=str(tmp_path / "toy"), scenes=scenes))
    return str(tmp_path / "scenes.py")


def test_pictures_and_a_sheet_are_written_where_requested(config, tmp_path, capsys):
    assert main(["browse", config, "-o", str(tmp_path / "out"), "--num", "3"]) == 0
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(files) == 4 and files[-1] == "train_sheet.png"
    assert cv2.imread(str(tmp_path / "out" / files[0])).shape == (360, 360, 3)
    assert cv2.imread(str(tmp_path / "out/train_sheet.png")).shape == (332, 984, 3)
    assert f"3 pictures and train_sheet.png in {tmp_path / 'out'}" in capsys.readouterr().out


def test_the_same_pictures_come_twice_and_others_in_another_epoch(config, tmp_path):
    def sheet(name, *more):
        assert main(["browse", config, "-o", str(tmp_path / name), "--num", "4", *more]) == 0
        return {path.name: path.read_bytes() for path in (tmp_path / name).glob("train_0*.png")}

    first = sheet("a")
    assert len(first) == 4 and first == sheet("b") and first != sheet("c", "--epoch", "1")


def test_validation_pictures_come_in_order_also_through_a_wrapper(config, tmp_path):
    assert main(["browse", config, "-o", str(tmp_path / "out"), "--split", "val", "--num", "3"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").glob("val_0*")) == [
        "val_000000.png",
        "val_000001.png",
        "val_000002.png",
    ]


def test_with_copy_paste_a_second_picture_shows_which_objects_came_from_where(config, tmp_path):
    from frozen_det.datasets.visualization.copy_paste import COLOURS

    jitter = "dict(type='frozen_det.LargeScaleJitter', size_hw=96, scale_range=(0.8, 1.25))"
    text = (tmp_path / "scenes.py").read_text()
    pasting = text.replace(
        "pipeline=pipeline))\nval",
        f"pipeline=[{jitter}, dict(type='frozen_det.CopyPaste', "
        f"objects='all', donor_pipeline=[{jitter}]), dict(type='PackDetInputs')]))\nval",
    )
    assert pasting != text
    (tmp_path / "pasting.py").write_text(pasting)
    assert main(["browse", str(tmp_path / "pasting.py"), "-o", str(tmp_path / "out"), "--num", "2"]) == 0
    pictures = [cv2.imread(str(path)) for path in sorted((tmp_path / "out").glob("*_copy_paste.png"))]
    assert len(pictures) == 2 and len(list((tmp_path / "out").iterdir())) == 5
    # Image, paste source, jittered and composed image, 512 px each, 8 px apart.
    assert all(picture.shape[1] == 4 * 512 + 3 * 8 for picture in pictures)
    for kind in ("own", "pasted"):
        assert all((abs(picture[..., ::-1].astype(int) - COLOURS[kind]).max(axis=2) <= 2).any() for picture in pictures)
    assert main(["browse", config, "-o", str(tmp_path / "plain"), "--num", "2"]) == 0
    assert not list((tmp_path / "plain").glob("*_copy_paste.png"))


def test_pipeline_steps_end_with_what_the_network_gets(config, capsys):
    assert main(["browse", config, "--stations", "2"]) == 0
    out = capsys.readouterr().out
    for part in (
        "1 LoadImageFromFile\n    + img: (96, 96, 3) uint8",
        "gt_masks: BitmapMasks",
        "3 RandomFlip",
        "inputs: (1, 3, 128, 128) float32 -1..",
        "in RGB, mean [127.5, 127.5, 127.5]",
        "image (96, 96) (height, width), padded to (128, 128)",
    ):
        assert part in out


@pytest.mark.parametrize(
    "argv,message",
    [
        (["--stations", "4"], "expected an index from 0 to 3, got 4"),
        (["--num", "0"], "expected --num from 1 on"),
        (["--split", "test"], "expected the key test_dataloader"),
    ],
)
def test_bad_input_ends_in_one_line_and_code_2(config, argv, message, capsys):
    assert main(["browse", config, *argv]) == 2
    assert message in capsys.readouterr().err


def test_toy_scenes_are_written_with_a_table_of_classes(tmp_path, capsys):
    argv = [
        "toy-scenes",
        str(tmp_path / "toy"),
        "--num-train",
        "3",
        "--num-val",
        "2",
        "--size",
        "64",
        "64",
        "--object-px",
        "16",
        "40",
    ]
    assert main(argv) == 0 and len(list((tmp_path / "toy/images").iterdir())) == 5
    out = capsys.readouterr().out
    assert "zero" in out and "nine" in out and out.strip().endswith(str(tmp_path / "toy"))
    assert main([*argv, "--num-train", "0"]) == 2
    assert "expected num_train to be at least 1, got 0" in capsys.readouterr().err
