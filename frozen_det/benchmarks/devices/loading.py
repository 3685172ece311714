"""Decoding and transforms of one loader worker, by decoder and pipeline, and the workers that a GPU of a speed needs.

Figures are process time per image on one core, in rounds in which all take their turns, with the quartile range. A
worker is one process on a core of its own: so many images a second it gives at most. A loader's figure is what the
training's own process spends on an image that a worker has made (with a GPU also in pinned memory). Without --data the
images are toy scenes of 640 x 480 px, as JPEG.
"""

import importlib
import importlib.util
import io
import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from ...errors import InputError
from ..detector_check import said
from ..measurement import in_turns, require_from_one, text_table

# Pipeline -> a shipped config whose training pipeline is taken.
PIPELINES = {
    "custom_coco, 512 px": "custom_coco",
    "large-scale jitter, 1024 px": "atss_frozen-resnet50tv_fpn_lsj-24e_coco",
    "Copy-Paste, 1024 px": "cascade-rcnn_frozen-resnetrs101_nasfpn_lsj-cp-72e_coco",
}
# Decoder -> package that it needs beside those of this project.
DECODERS = {
    "cv2": None,
    "cv2, half size": None,
    "cv2, quarter size": None,
    "pillow": None,
    "simplejpeg": "simplejpeg",
    "turbojpeg": "turbojpeg",
}
_SPEEDS = (10, 20, 40, 80, 160)
_BATCH = 4


@dataclass
class Row:
    """One decoder, pipeline or loader.

    Attributes:
        what: ``decoder``, ``pipeline`` or ``loader``.
        ms, spread_ms: median process time an image and its quartile range.
        unavailable: why there are no numbers.
    """

    what: str
    name: str
    ms: float | None = None
    spread_ms: float | None = None
    unavailable: str = ""

    @property
    def per_second(self) -> float:
        return math.nan if self.ms is None else 1e3 / self.ms


def add_arguments(parser) -> None:
    text = "folder with images/ and annotations/ in COCO json (default: toy scenes)"
    parser.add_argument("--data", default=None, metavar="DIR", help=text)
    parser.add_argument("--pipelines", nargs="+", default=list(PIPELINES), choices=list(PIPELINES), metavar="NAME")
    parser.add_argument("--images", type=int, default=32, help="images of a round, at most (default 32)")
    parser.add_argument("--rounds", type=int, default=7, help="measured rounds, after one to warm up (default 7)")
    text = "images a second that a GPU trains on, for the number of workers (default 10 20 40 80 160)"
    parser.add_argument("--speeds", type=float, nargs="+", default=list(_SPEEDS), metavar="N", help=text)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")


def run(args) -> int:
    require_from_one(args, "images", "rounds")
    if min(args.speeds) <= 0:
        raise InputError(f"expected --speeds above 0 images a second, got {args.speeds}.")
    with tempfile.TemporaryDirectory() as folder:
        data = _toy_scenes(folder, args.images) if args.data is None else Path(args.data)
        rows = measure(data, args.pipelines, args.images, args.rounds)
    needs = {
        row.name: [workers_needed(row.ms, speed) for speed in args.speeds] for row in rows if row.what == "pipeline"
    }
    if args.json:
        print(json.dumps(dict(speeds=args.speeds, workers=needs, rows=[asdict(row) for row in rows]), indent=1))
        return 0
    header = "|".join(["pipeline", *(f"{speed:g}/s" for speed in args.speeds)])
    table = text_table(header, [[name, *map(str, counts)] for name, counts in needs.items()], left=1)
    print(rows_table(rows), "", "Workers that keep up with a GPU that trains on N images a second:", table, sep="\n")
    return 0


def workers_needed(ms: float, per_second: float) -> int:
    """Workers on a core each whose images come as fast as they are used.

    Args:
        ms: time of one image in one worker.
        per_second: images that are used.
    """
    return max(1, math.ceil(round(per_second * ms / 1e3, 6)))


def measure(data: Path, pipelines: list[str], images: int, rounds: int) -> list[Row]:
    """Decoders, pipelines and loaders on the images of a COCO folder, in turns.

    Args:
        data: the folder, as `custom_coco` takes it.
        pipelines: of :data:`PIPELINES`.
        images: that are used, at most.
        rounds: measured calls of each.

    Raises:
        InputError: no JPEG among the images.
    """
    datasets = {name: _dataset(data, PIPELINES[name]) for name in pipelines}
    files = _jpegs(next(iter(datasets.values())), images, data)
    calls: dict[tuple[str, str], Callable] = {}
    rows = {}
    for name, package in DECODERS.items():
        row = rows["decoder", name] = Row("decoder", name)
        if package and importlib.util.find_spec(package) is None:
            row.unavailable = f"the package {package} is not installed"
            continue
        try:
            decode = _decoder(name)
        except (RuntimeError, OSError) as error:  # a package without the library that it wraps
            row.unavailable = said(error)
            continue
        calls["decoder", name] = lambda decode=decode: [decode(content) for content in files]
    for name, dataset in datasets.items():
        count = min(images, len(dataset))
        rows["pipeline", name] = Row("pipeline", name)
        calls["pipeline", name] = lambda dataset=dataset, count=count: [dataset[index] for index in range(count)]
    first = pipelines[0]
    kinds = {"": False, ", pinned": True} if torch.cuda.is_available() else {"": False}
    loaders = {f"{first}{words}": _loader(datasets[first], pinned) for words, pinned in kinds.items()}
    for name, loader in loaders.items():
        rows["loader", name] = Row("loader", name)
        calls["loader", name] = lambda loader=loader: sum(len(batch["inputs"]) for batch in loader)
    for (what, name), took in in_turns(calls, rounds).items():
        whole = len(datasets[first])
        count = dict(decoder=len(files), pipeline=min(images, whole), loader=whole)[what]
        row = rows[what, name]
        row.ms, row.spread_ms = took.cpu_ms / count, took.cpu_spread_ms / count
    return list(rows.values())


def rows_table(rows: list[Row]) -> str:
    """The measurements as text."""
    cells = [
        [row.what, row.name, row.unavailable]
        if row.unavailable
        else f"{row.what}|{row.name}|{row.ms:.2f}|{row.spread_ms / 2:.2f}|{row.per_second:.0f}".split("|")
        for row in rows
    ]
    return text_table("what|name|ms an image|± ms|images/s", cells, left=2)


def _toy_scenes(folder: str, count: int) -> Path:
    from ...datasets.toy.toy_scenes import write_toy_scenes

    return write_toy_scenes(
        Path(folder) / "scenes", num_train=count, num_val=1, size_hw=(480, 640), report=lambda text: None
    )


def _dataset(data: Path, config: str):
    """The training data of a config, its pipeline on another folder."""
    from mmdet.registry import DATASETS
    from mmengine.registry import DefaultScope

    from ...config import load_config

    own = load_config("custom_coco", {"data_root": str(data)}).train_dataloader.dataset.to_dict()
    if config != "custom_coco":
        own["pipeline"] = load_config(config).train_dataloader.dataset.to_dict()["pipeline"]
    with DefaultScope.overwrite_default_scope("mmdet"):
        return DATASETS.build(own)


def _loader(dataset, pinned: bool):
    """With one worker, as the Runner makes it."""
    from mmengine.dataset import pseudo_collate
    from torch.utils.data import DataLoader

    return DataLoader(
        dataset, _BATCH, num_workers=1, persistent_workers=True, collate_fn=pseudo_collate, pin_memory=pinned
    )


def _jpegs(dataset, most: int, data: Path) -> list[bytes]:
    files = [Path(dataset.get_data_info(index)["img_path"]) for index in range(min(most, len(dataset)))]
    found = [content for content in (path.read_bytes() for path in files) if content[:2] == b"\xff\xd8"]
    if not found:
        raise InputError(f"expected JPEG files among the images of {data}, got none: decoders are compared on them.")
    return found


def _decoder(name: str) -> Callable[[bytes], object]:
    """From a JPEG's bytes to (H, W, 3) uint8, blue first."""
    import cv2
    import numpy as np

    flags = {
        "cv2": cv2.IMREAD_COLOR,
        "cv2, half size": cv2.IMREAD_REDUCED_COLOR_2,
        "cv2, quarter size": cv2.IMREAD_REDUCED_COLOR_4,
    }
    if name in flags:
        return lambda content: cv2.imdecode(np.frombuffer(content, np.uint8), flags[name])
    if name == "pillow":
        from PIL import Image

        return lambda content: np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))[..., ::-1]
    # Candidates that this project does not depend on.
    library = importlib.import_module(DECODERS[name])
    if name == "simplejpeg":
        return lambda content: library.decode_jpeg(content, colorspace="BGR")
    return library.TurboJPEG().decode
