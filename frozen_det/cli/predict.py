"""Detect in images and videos: draws each and writes COCO-style JSON, as far as it comes; panoptic maps as PNG.

The json has the category ids of the training data's annotation file, and masks as run lengths. A video gets its own,
with the number and time of each frame, beside an annotated copy.

    frozen-det predict photo.jpg --checkpoint work_dirs/quickstart/epoch_8.pth -o out
    frozen-det predict 'photos/**/*.jpg' --checkpoint best.pth --classes bird boat --no-pictures -o out
    frozen-det predict harbour.mp4 --checkpoint best.pth --batch 8 -o out
    frozen-det predict aerial.tif --checkpoint best.pth --tile 1024 -o out
    frozen-det predict photos/ --checkpoint detector.onnx -o out
    frozen-det predict photos/ --checkpoint birds.pth boats.pth -o out
Of several checkpoints on one frozen backbone, this runs once for an image; what each finds goes to out/ITS-NAME, with
--join all of it to out, as of one detector.
"""

import time
from pathlib import Path

from ..errors import InputError
from .shared.config_arguments import add_cfg_options, options_of

_ALL = ""  # stands for all checkpoints together


def add_arguments(parser) -> None:
    parser.add_argument("images", nargs="+", help="images, videos, folders of them, or patterns in quotes")
    parser.add_argument("--config", help="config file or shipped name (default: the one in each checkpoint)")
    parser.add_argument(
        "--checkpoint",
        required=True,
        nargs="+",
        help="checkpoints, lean or full, on one backbone; or a whole detector that was exported, FILE.onnx",
    )
    parser.add_argument(
        "--join",
        nargs="?",
        const=1.0,
        type=float,
        metavar="IOU",
        help="write what all checkpoints find as one list; with an IOU, of boxes of different checkpoints that overlap "
        "more the best score stays (default: all boxes)",
    )
    parser.add_argument("-o", "--out", default="predictions", help="folder for pictures and predictions.json")
    parser.add_argument(
        "--score",
        type=float,
        help="draw detections from this score on (default: what the checkpoint's validation suggests, else 0.3); "
        "the json holds all",
    )
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="keep detections of these classes alone")
    parser.add_argument("--no-pictures", action="store_true", help="write the json without drawing")
    parser.add_argument("--batch", type=int, default=1, help="images in one forward pass, at most (default: 1)")
    parser.add_argument(
        "--tile", type=int, metavar="PX", help="see larger images in square tiles of this side as well as whole"
    )
    parser.add_argument(
        "--overlap", type=float, default=0.2, help="share of a tile that its neighbour sees too (default: 0.2)"
    )
    parser.add_argument("--flip", action="store_true", help="see all mirrored as well, and merge what is found")
    parser.add_argument(
        "--stride", type=int, default=1, metavar="N", help="videos: look at every N-th frame (default: 1)"
    )
    parser.add_argument("--device", help="cpu, cuda, ... (default: the GPU where there is one)")
    add_cfg_options(parser)


def needs_host(args) -> bool:
    """Whether MMDetection is needed: a program needs none of it, and no torch."""
    return not _is_program(args)


def run(args) -> int:
    from ..inference.detections import check_class_names
    from ..inference.pictures import VIDEO_SUFFIXES, Picture, image_files, is_video
    from ..inference.videos import Video
    from ..inference.views import Views
    from ..inference.written import Written, picture_names

    _check_numbers(args)
    views = Views(args.tile, args.overlap, args.flip)
    folders = _folders(args)
    files = image_files(args.images, VIDEO_SUFFIXES)
    images, videos = ([file for file in files if is_video(file) == wanted] for wanted in (False, True))
    names = picture_names(files, folders.values(), not args.no_pictures)
    each, members, known = _program(args, views) if _is_program(args) else _family(args, views)
    check_class_names(args.classes or (), known[_ALL][0])
    targets = {name: (folder, *known[name]) for name, folder in folders.items()}
    drawn_from = None if args.no_pictures else _drawn_from(args.score, members)
    tally = _Tally(len(files))
    if images:
        reader = next(iter(members.values())).reader
        with Written(targets, names, drawn_from) as written:
            _write(args, written, each(Picture(file, reader=reader) for file in images), len(images), tally, "image")
        tally.add(written, "images", " and one picture an image" if drawn_from is not None else "")
    for path in videos:
        try:
            video = Video(path, args.stride)
        except InputError as fault:
            tally.left_out.append(f"{path}: {fault}")
            continue
        with Written(targets, names, drawn_from, path, video.fps / video.stride) as written:
            _write(args, written, each(video), len(video) or None, tally, "frame")
        if video.fault is not None:
            tally.left_out.append(f"{path}: {video.fault}")
        tally.add(written, "frames", " and the annotated video" if drawn_from is not None else "")
    return tally.told()


def _is_program(args) -> bool:
    """Whether an exported program is to run.

    Raises:
        InputError: beside other checkpoints, or with options that a program has no use for.
    """
    programs = [one for one in args.checkpoint if Path(one).suffix.lower() == ".onnx"]
    if not programs:
        return False
    if len(args.checkpoint) > 1:
        raise InputError(f"expected one program or several checkpoints, got {programs[0]} among others; run it alone.")
    if args.config or args.cfg_options or args.device not in (None, "cpu") or args.join is not None:
        raise InputError(
            f"--config, --cfg-options, --join and a --device other than cpu are for checkpoints, got the program "
            f"{programs[0]}, which runs as it was exported."
        )
    return True


def _folders(args) -> dict[str, Path]:
    """Where what is found goes, by member, or all of it."""
    if len(args.checkpoint) == 1 or args.join is not None:
        return {_ALL: Path(args.out)}
    from ..inference.family import member_names

    return {name: Path(args.out) / name for name in member_names(args.checkpoint)}


def _program(args, views):
    """As :func:`_family`, of an exported program."""
    from ..inference.program import load_program

    detector = load_program(args.checkpoint[0])

    def each(pictures):
        for picture, found in detector.each(pictures, args.batch, views):
            yield picture, found if isinstance(found, InputError) else {_ALL: found}

    return each, {_ALL: detector}, {_ALL: (detector.classes, detector.category_ids)}


def _family(args, views):
    """What gives each picture with what was found by member and of all; the members; classes and ids of each."""
    from ..inference.family import load_family, member_names
    from ..inference.joining import join, joined_category_ids, joined_classes

    checkpoints = member_names(args.checkpoint)
    configs = dict.fromkeys(checkpoints, args.config) if args.config else None
    family = load_family(checkpoints, configs, args.device, options_of(args))
    known = {name: (one.classes, one.category_ids) for name, one in family.items()}
    known[_ALL] = joined_classes(one.classes for one in family.values()), joined_category_ids(family.values())

    def each(pictures):
        for picture, found in family.each(pictures, None, args.batch, views):
            if not isinstance(found, InputError):
                found[_ALL] = next(iter(found.values())) if args.join is None else join(found, args.join)
            yield picture, found

    return each, family, known


def _check_numbers(args) -> None:
    if args.score is not None and not 0 <= args.score <= 1:
        raise InputError(f"expected --score from 0 to 1, got {args.score:g}.")
    if args.join is not None and not 0 < args.join <= 1:
        raise InputError(f"expected an IoU in (0, 1] after --join, got {args.join:g}.")
    if args.batch < 1:
        raise InputError(f"expected --batch from 1 on, got {args.batch}.")
    if args.stride < 1:
        raise InputError(f"expected --stride from 1 on, got {args.stride}.")


def _write(args, written, results, total: int | None, tally: "_Tally", unit: str) -> None:
    """Write what was found in each image or frame, with a progress bar."""
    from tqdm import tqdm

    begin = time.perf_counter()
    for picture, found in tqdm(results, desc="detecting", unit=unit, total=total):
        if isinstance(found, InputError):
            tally.left_out.append(f"{picture.path or picture}: {found}")
            continue
        for name in written.files:
            written.add(name, picture, _of_classes(found[name], args.classes))
        tally.seen += 1
    tally.seconds += time.perf_counter() - begin


def _drawn_from(score: float | None, family) -> float:
    """The score given, else what the validation of the checkpoints suggests (of several the lowest), and says so."""
    from ..inference.detections import DRAWN_FROM

    if score is not None:
        return score
    suggested = [(one.threshold.overall, name) for name, one in family.items() if one.threshold is not None]
    if len(suggested) < len(family):
        return DRAWN_FROM
    lowest, name = min(suggested)
    print(f"drawn from score {family[name].threshold} on; --score changes it")
    return lowest


def _of_classes(found, names):
    """Those of the classes asked for, of which a member may know some only."""
    return found if names is None else found.of_classes(name for name in names if name in found.classes)


class _Tally:
    """What came of all files; lines for the end."""

    def __init__(self, num_files: int):
        self.num_files, self.seen, self.seconds = num_files, 0, 0.0
        self.left_out: list[str] = []
        self.undrawn: list[str] = []
        self.lines: list[str] = []

    def add(self, written, what: str, drawn: str) -> None:
        """Note the files of images or of a video that are complete."""
        self.undrawn += written.undrawn
        self.lines += [
            f"{one.num_images} {what}, {one.num_detections} detections: {one.path}{drawn}"
            for one in written.files.values()
        ]

    def told(self) -> int:
        """Print it; returns the exit code.

        Raises:
            InputError: nothing could be read.
        """
        for what, faults in (("left out", self.left_out), ("found in, but not drawn", self.undrawn)):
            for fault in faults:
                print(f"{what}: {fault}")
        if not self.seen:
            raise InputError(
                f"expected images that can be decoded, but none of {self.num_files} can; the first is "
                f"{self.left_out[0]}"
            )
        counts = [(self.left_out, "could not be read"), (self.undrawn, "could not be drawn")]
        counted = "".join(f"; {len(faults)} {what}" for faults, what in counts if faults)
        print("\n".join(self.lines) + counted)
        print(f"{self.seen / self.seconds:.2f} images per second, reading and writing included")
        return 1 if self.left_out else 0
