"""Every command on three detectors that share nothing but the frozen backbone: a DETR, a one-stage and a panoptic one.

Each is a stock config on timm's resnet10t, made small, and trained for one step with adapters and lean checkpoints.
"""

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from frozen_det.cli import main
from frozen_det.datasets.readers.panoptic import id_to_rgb
from tests.training_runs import tiny_scenes, train

SIZE = 96
STOCK = {
    "detr": "deformable_detr/deformable-detr_r50_16xb2-50e_coco",
    "one-stage": "tood/tood_r50_fpn_1x_coco",
    "panoptic": "mask2former/mask2former_r50_8xb2-lsj-50e_coco-panoptic",
}
# The narrowest forms that the detectors take; widths that follow from these are filled in.
SMALL = {
    "detr": {
        "num_queries": 8,
        "test_cfg.max_per_img": 5,
        "encoder.num_layers": 1,
        "decoder.num_layers": 1,
        **{f"{part}.layer_cfg.ffn_cfg.feedforward_channels": 32 for part in ("encoder", "decoder")},
    },
    "one-stage": {
        "neck.out_channels": 64,
        "bbox_head.feat_channels": 64,
        "bbox_head.stacked_convs": 1,
        "bbox_head.in_channels": None,
        "test_cfg.score_thr": 0.0,
    },
    "panoptic": {
        "panoptic_head.num_queries": 8,
        "panoptic_head.transformer_decoder.num_layers": 1,
        "panoptic_head.pixel_decoder.encoder.num_layers": 1,
        "train_cfg.num_points": 64,
        "data_preprocessor.batch_augments": None,
        "test_cfg.max_per_image": 5,
    },
}
THINGS, STUFF = ("dark", "bright"), ("ground",)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """Toy scenes, and the same images as a panoptic data set: two kinds of rectangles on the ground."""
    root = tiny_scenes(tmp_path_factory.mktemp("scenes") / "toy")
    for split in ("train", "val"):
        coco = json.loads((root / "annotations" / f"{split}.json").read_text())
        annotations = []
        for image in coco["images"]:
            ids, name = np.ones((image["height"], image["width"]), np.int32), f"{image['file_name'].split('.')[0]}.png"
            segments = [dict(id=1, category_id=3, iscrowd=0)]
            for number in range(2):
                ids[8 + 40 * number : 40 + 40 * number, 8:72] = 300 + number
                segments.append(dict(id=300 + number, category_id=1 + number, iscrowd=0))
            for segment in segments:
                rows, columns = np.nonzero(ids == segment["id"])
                segment.update(
                    area=len(rows),
                    bbox=[int(columns.min()), int(rows.min()), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1],
                )
            cv2.imwrite(str(root / "images" / name), id_to_rgb(ids)[..., ::-1])
            annotations.append(dict(image_id=image["id"], file_name=name, segments_info=segments))
        categories = [dict(id=i + 1, name=name, isthing=int(name in THINGS)) for i, name in enumerate(THINGS + STUFF)]
        (root / "annotations" / f"panoptic_{split}.json").write_text(
            json.dumps(dict(images=coco["images"], annotations=annotations, categories=categories))
        )
    return root


def config_of(kind, scenes, folder):
    """A config file around a stock detector, small, and its text form."""
    panoptic = kind == "panoptic"
    load = dict(type="frozen_det.LoadPanopticAnnotations") if panoptic else dict(type="LoadAnnotations", with_bbox=True)
    steps = [
        dict(type="LoadImageFromFile"),
        load,
        dict(type="Resize", scale=(SIZE, SIZE), keep_ratio=True),
        dict(type="PackDetInputs", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
    ]
    if panoptic:
        metainfo = dict(classes=THINGS + STUFF, thing_classes=THINGS, stuff_classes=STUFF)
        dataset = dict(
            type="CocoPanopticDataset",
            ann_file="annotations/panoptic_{}.json",
            metainfo=metainfo,
            data_prefix=dict(img="images/", seg="images/"),
        )
    else:
        dataset = dict(type="frozen_det.CocoDataset", ann_file="annotations/{}.json", data_prefix=dict(img="images/"))
    model = dict(
        type="frozen_det.Detector",
        detector=Config.fromfile(_stock(kind)).model.to_dict(),
        classes_from=str(scenes / "annotations" / f"{'panoptic_' if panoptic else ''}train.json"),
        backbone=dict(
            type="frozen_det.FrozenBackbone",
            body=dict(type="timm", name="resnet10t"),
            weights=str(folder / "base.pth"),
            adapters=dict(type="parallel"),
        ),
    )
    cfg = Config(
        dict(
            default_scope="mmdet",
            custom_imports=dict(imports=["frozen_det"], allow_failed_imports=False),
            model=model,
            randomness=dict(seed=0),
            train_cfg=dict(type="EpochBasedTrainLoop", max_epochs=1),
            optim_wrapper=dict(type="OptimWrapper", optimizer=dict(type="AdamW", lr=1e-4)),
            work_dir=str(folder / "work"),
            default_hooks=dict(
                checkpoint=dict(type="frozen_det.LeanCheckpointHook", interval=1),
                logger=dict(type="LoggerHook", interval=1),
            ),
            custom_hooks=[dict(type="frozen_det.FrozenProofHook")],
            experiment_name=f"{kind}{abs(hash(str(folder)))}",
        )
    )
    for split, size in (("train", 4), ("test", 2)):
        which = dict(
            dataset,
            data_root=str(scenes),
            ann_file=dataset["ann_file"].format("val" if split == "test" else split),
            test_mode=split == "test",
            pipeline=steps,
            **(dict(indices=size) if split == "train" else {}),
        )
        cfg[f"{split}_dataloader"] = dict(
            batch_size=size, num_workers=0, dataset=which, sampler=dict(type="DefaultSampler", shuffle=split == "train")
        )
    cfg.test_cfg = dict(type="TestLoop")
    cfg.test_evaluator = (
        dict(type="CocoPanopticMetric")
        if panoptic
        else dict(type="frozen_det.CocoMetric", ann_file=str(scenes / "annotations" / "val.json"), metric="bbox")
    )
    cfg.merge_from_dict({f"model.detector.{key}": value for key, value in SMALL[kind].items()})
    cfg.__dict__["_format_python_code"] = False
    cfg.dump(str(folder / "config.py"))
    return cfg


def _stock(kind):
    from frozen_det.benchmarks.stock_detectors import config_folder

    return str(config_folder() / f"{STOCK[kind]}.py")


class Run:
    """A finished run: kind, config file, folder, checkpoint, runner."""

    def __init__(self, kind, scenes, folder):
        import timm

        torch.manual_seed(0)
        # With timm's own zeros in the last norm of each block no gradient reaches what stands inside it.
        base = timm.create_model("resnet10t", num_classes=0, zero_init_last=False)
        torch.save(base.state_dict(), folder / "base.pth")
        cfg = config_of(kind, scenes, folder)
        self.kind, self.folder, self.config = kind, folder, folder / "config.py"
        self.runner = train(cfg)
        self.checkpoint = folder / "work" / "epoch_1.pth"
        self.images = sorted((scenes / "images").glob("val_*.jpg"))


@pytest.fixture(scope="module", params=list(STOCK))
def run(request, scenes, tmp_path_factory):
    return Run(request.param, scenes, tmp_path_factory.mktemp(request.param.replace("-", "")))


def test_the_proof_is_written_and_the_checkpoint_leaves_the_base_out(run):
    proof = json.loads((run.folder / "work" / "frozen_proof.json").read_text())
    assert "backbone" in json.dumps(proof)
    state = torch.load(run.checkpoint, weights_only=False)["state_dict"]
    assert "backbone.base_digest" in state and "backbone.body.conv1.0.weight" not in state
    assert any(name.startswith("backbone.adapters.") for name in state)


def test_only_adapters_and_decoder_have_learned(run):
    trained, base = run.runner.model.backbone, torch.load(run.folder / "base.pth", weights_only=True)
    body = trained.body.state_dict()
    assert all(torch.equal(body[name], value) for name, value in base.items() if name in body)
    # Parallel adapters begin at zero.
    assert any(parameter.abs().max() > 0 for parameter in trained.adapters.parameters())


@pytest.fixture(scope="module")
def found(run):
    """What a detector loaded from the lean checkpoint finds in an array."""
    from frozen_det import load_detector

    return load_detector(run.config, run.checkpoint, "cpu")([cv2.imread(str(run.images[0]))])[0]


def test_a_loaded_detector_finds_something_in_an_array(run, found):
    assert len(found.boxes_xyxy) == len(found.scores) == len(found.labels) > 0
    assert (found.panoptic is not None) == (run.kind == "panoptic")


def test_predict_writes_pictures_boxes_and_panoptic_maps(run, tmp_path, capsys):
    assert (
        main(
            [
                "predict",
                str(run.images[0]),
                "--config",
                str(run.config),
                "--checkpoint",
                str(run.checkpoint),
                "-o",
                str(tmp_path),
                "--device",
                "cpu",
            ]
        )
        == 0
    ), capsys.readouterr().err
    written = json.loads((tmp_path / "predictions.json").read_text())
    assert (tmp_path / f"{run.images[0].stem}.jpg").exists() and written["annotations"]
    assert ("panoptic" in written) == (run.kind == "panoptic")
    if run.kind == "panoptic":
        (only,) = written["panoptic"]
        ids = cv2.imread(str(tmp_path / only["file_name"]))[..., ::-1].astype(int) @ [1, 256, 256**2]
        for segment in only["segments_info"]:
            assert (ids == segment["id"]).sum() == segment["area"]


def test_describe_counts_every_part(run, capsys):
    assert main(["describe", str(run.config), "--json", "--size", str(SIZE)]) == 0
    found = json.loads(capsys.readouterr().out.strip().splitlines()[-1])
    model = run.runner.model
    assert found["total_params"] == sum(p.numel() for p in model.parameters())
    assert found["trainable_params"] == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert found["not_run"] == []
    heads = [part for part in found["parts"] if not part["name"].startswith("backbone")]
    assert all(part["flops"] > 0 for part in heads if part["params"] > 5000), heads
    assert found["training_step_flops"] > found["forward_flops"] > 0


def test_browse_draws_what_the_network_sees_and_prints_its_input(run, tmp_path, capsys):
    assert main(["browse", str(run.config), "-o", str(tmp_path), "--num", "2"]) == 0
    assert (tmp_path / "train_sheet.png").exists()
    assert main(["browse", str(run.config), "--stations", "0"]) == 0
    assert "network" in capsys.readouterr().out


def test_report_shows_the_run(run, tmp_path, capsys):
    assert main(["report", str(run.folder / "work"), "-o", str(tmp_path / "report.html")]) == 0, capsys.readouterr().err
    text = (tmp_path / "report.md").read_text()
    assert "frozen" in text and "resnet10t" in text


def test_export_gives_the_merged_backbone(run, tmp_path, capsys):
    out = tmp_path / "a.safetensors"
    assert main(["export", str(run.config), str(run.checkpoint), "-o", str(out)]) == 0, capsys.readouterr().err
    assert "timm/resnet10t, strides" in capsys.readouterr().out


def test_the_checkpoint_becomes_a_full_one_and_finds_the_same(run, found, tmp_path):
    from frozen_det import load_detector

    full = tmp_path / "full.pth"
    assert main(["convert", str(run.checkpoint), "-o", str(full), "--config", str(run.config)]) == 0
    assert "backbone.body.conv1.0.weight" in torch.load(full, weights_only=False)["state_dict"]
    (other,) = load_detector(run.config, full, "cpu")([cv2.imread(str(run.images[0]))])
    assert np.array_equal(found.scores, other.scores) and np.array_equal(found.boxes_xyxy, other.boxes_xyxy)
