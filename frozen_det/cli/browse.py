"""Show samples as the network gets them: images after the whole pipeline, with boxes, masks and names.

With Copy-Paste in the pipeline, a second picture of each sample shows the image, its paste source, the jittered image
and the composed one, with the outlines of own, pasted and covered objects.

    frozen-det browse quickstart
    frozen-det browse custom --data my/data --split val --num 24 -o pictures
    frozen-det browse quickstart --stations 3        what each transform does to sample 3
    frozen-det browse upstream/resnet20_cutmix_cifar10    a classifier's batch: mixed, with both labels and weights
"""

from itertools import islice
from pathlib import Path

from ..config.classifiers import is_classifier
from ..errors import InputError
from .shared.config_arguments import add_choices, add_config, config_of


def add_arguments(parser) -> None:
    add_config(parser)
    add_choices(parser, without=("epochs", "patience"))
    parser.add_argument("-o", "--output", metavar="DIR", help="for the pictures (default: work_dirs/NAME/browse)")
    parser.add_argument("--split", choices=["train", "val", "test"], default="train", help="default: %(default)s")
    parser.add_argument("--num", type=int, default=12, help="pictures: the first samples of the run (default: 12)")
    parser.add_argument("--epoch", type=int, default=0, help="pass over the data, from 0 (default: 0)")
    parser.add_argument(
        "--stations",
        type=int,
        metavar="INDEX",
        help="print what each transform does to this sample instead of writing pictures",
    )


def run(args) -> int:
    if args.num < 1:
        raise InputError(f"expected --num from 1 on, got {args.num}.")
    cfg = config_of(args)
    dataset, loader = _dataset(cfg, args.split)
    seed = cfg.get("randomness", {}).get("seed") or 0
    if is_classifier(cfg.model):
        return _browse_classifier(cfg, dataset, _first_indices(dataset, loader, seed, args), args)
    if args.stations is not None:
        _print_stations(cfg, dataset, args.stations, seed, args.epoch)
        return 0
    folder = _folder(args, cfg)
    pictures = _write_pictures(dataset, _first_indices(dataset, loader, seed, args), folder, args.split)
    print(f"{pictures} pictures and {args.split}_sheet.png in {folder}")
    return 0


def _folder(args, cfg) -> Path:
    from ..config import default_work_dir

    return Path(args.output or Path(default_work_dir(cfg)) / "browse")


def _browse_classifier(cfg, dataset, indices: list, args) -> int:
    """Write one sheet of the first images as the network gets them, in training mixed and with their labels."""
    from mmengine.registry import MODELS, DefaultScope

    from ..upstream.datasets import collate_images
    from ..upstream.mixed_pictures import mixed_pictures, write_pictures

    if args.stations is not None:
        raise InputError(
            f"expected --stations with a detection config alone, got it with {cfg.filename}, which is a "
            "classifier; leave it out."
        )
    batch = collate_images(
        dataset.__getitems__(indices) if hasattr(dataset, "__getitems__") else [dataset[index] for index in indices]
    )
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mmdet")):
        model = MODELS.build({**cfg.model, "weights": None})
    pictures = mixed_pictures(
        model, batch, dataset.metainfo["classes"], args.num, indices[0].seed, training=args.split == "train"
    )
    path = write_pictures(pictures, _folder(args, cfg), f"{args.split}_batch")
    mean, std = (
        [round(value, 2) for value in of.flatten().tolist()]
        for of in (model.data_preprocessor.mean, model.data_preprocessor.std)
    )
    is_mixed = args.split == "train" and model.mixing is not None
    height, width = batch["inputs"].shape[-2:]
    print(
        f"{len(pictures)} images of {height} x {width} px (height x width), RGB, "
        f"mean {mean}, std {std}; {f'mixed by {dict(cfg.model.mixing)}' if is_mixed else 'not mixed'}"
    )
    print(path)
    return 0


def _dataset(cfg, split: str):
    """The dataset of a split, built and ready, and its loader's config."""
    from mmdet.utils import register_all_modules
    from mmengine.registry import DATASETS, DefaultScope

    loader = cfg.get(f"{split}_dataloader")
    if not loader:
        raise InputError(f"expected the key {split}_dataloader in {cfg.filename}, got none; choose another --split.")
    register_all_modules(init_default_scope=False)
    with DefaultScope.overwrite_default_scope(cfg.get("default_scope", "mmdet")):
        dataset = DATASETS.build(loader.dataset)
        if hasattr(dataset, "full_init"):
            dataset.full_init()
    return dataset, loader


def _first_indices(dataset, loader, seed: int, args) -> list:
    """The indices that the config's sampler draws first, each with seed and epoch."""
    from mmengine.registry import DATA_SAMPLERS, DefaultScope

    from ..datasets.samplers.seeding import SampleIndex

    with DefaultScope.overwrite_default_scope("mmdet"):
        sampler = DATA_SAMPLERS.build(loader.sampler, default_args={"dataset": dataset, "seed": seed})
    sampler.set_epoch(args.epoch)
    return [SampleIndex(int(i), seed, getattr(i, "epoch", args.epoch)) for i in islice(sampler, args.num)]


def _write_pictures(dataset, indices: list, folder: Path, split: str) -> int:
    """Write one picture for each index, one of its origins with Copy-Paste, and a sheet. Returns the first's number."""
    import cv2

    from ..datasets.samplers.seeding import sample_seed, seeded
    from ..datasets.visualization.drawing import contact_sheet

    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for index in indices:
        # Datasets of the host do not seed themselves.
        with seeded(sample_seed(index.seed, index.epoch, int(index))):
            pictures.append(_picture(dataset[index], dataset.metainfo["classes"]))
        cv2.imwrite(str(folder / f"{split}_{int(index):06d}.png"), pictures[-1][..., ::-1])
        origins = _picture_of_origins(dataset, index)
        if origins is not None:
            cv2.imwrite(str(folder / f"{split}_{int(index):06d}_copy_paste.png"), origins[..., ::-1])
    cv2.imwrite(str(folder / f"{split}_sheet.png"), contact_sheet(pictures)[..., ::-1])
    return len(pictures)


def _picture_of_origins(dataset, index):
    """Which object of a sample came from where; None without Copy-Paste, or where a wrapper decides on the samples."""
    from ..datasets.visualization.copy_paste import picture_of_sample

    if not hasattr(getattr(dataset, "pipeline", None), "transforms"):
        return None
    return picture_of_sample(dataset, index)


def _picture(sample: dict, classes):
    """(H, W, 3) uint8 RGB of a packed sample, with its objects; regions to ignore are grey."""
    import numpy as np

    from ..datasets.visualization.detections import DrawnObjects, draw_objects

    packed = sample.get("data_samples")
    if not hasattr(packed, "gt_instances"):
        raise InputError("expected samples with boxes, as PackDetInputs makes them; browse shows detection configs.")
    image = sample["inputs"].numpy().transpose(1, 2, 0)[..., ::-1]  # (3, H, W) BGR, as mmcv reads
    boxes, labels, masks, ignored = [], [], [], []
    for group, is_ignored in ((packed.gt_instances, False), (getattr(packed, "ignored_instances", None), True)):
        if group is None or "bboxes" not in group or len(group) == 0:
            continue
        boxes.append(np.asarray(getattr(group.bboxes, "tensor", group.bboxes)))
        labels += group.labels.tolist()
        ignored += [is_ignored] * len(group)
        if "masks" in group:
            masks.append(group.masks.to_ndarray().astype(bool))
    objects = DrawnObjects(
        np.concatenate(boxes) if boxes else np.zeros((0, 4)),
        np.array(labels, np.int64),
        masks=np.concatenate(masks) if masks else None,
        ignored=np.array(ignored, bool),
    )
    return draw_objects(image, objects, classes)


def _print_stations(cfg, dataset, number: int, seed: int, epoch: int) -> None:
    """Print all pipeline steps of one sample, and the input of the network."""
    from ..datasets.samplers.seeding import SampleIndex
    from ..datasets.visualization.pipeline_trace import innermost, trace_steps

    inner, wrappers = innermost(dataset)
    if wrappers:
        print(f"inside {' > '.join(wrappers)} (their own steps are not shown)")
    station = None
    for place, station in enumerate(trace_steps(inner, SampleIndex(number, seed, epoch))):
        print(f"{place} {station.name}")
        for line in station.lines:
            print(f"    {line}")
    if not station.refused:
        _print_network_input(cfg, station.result)


def _print_network_input(cfg, sample: dict) -> None:
    """Print what the model's preprocessor makes of a packed sample (a batch of one)."""
    from mmdet.registry import MODELS
    from mmengine.registry import DefaultScope

    from ..datasets.visualization.pipeline_trace import describe_value
    from ..models.detectors.detector import fill_blanks

    model = cfg.model
    if model.type == "frozen_det.Detector":
        model = fill_blanks(**{key: value for key, value in model.items() if key != "type"})
    with DefaultScope.overwrite_default_scope("mmdet"):
        preprocessor = MODELS.build(model["data_preprocessor"])
    batch = preprocessor({"inputs": [sample["inputs"]], "data_samples": [sample["data_samples"]]}, False)
    normal = (
        f"mean {preprocessor.mean.flatten().tolist()}, std {preprocessor.std.flatten().tolist()}"
        if preprocessor._enable_normalize
        else "as they are, not normalised"
    )
    print("network")
    print(
        f"    inputs: {describe_value(batch['inputs'])} in {'RGB' if preprocessor._channel_conversion else 'BGR'}, "
        f"{normal}"
    )
    packed = batch["data_samples"][0]
    print(f"    image {packed.img_shape} (height, width), padded to {packed.batch_input_shape}")
