"""Detect in image files: draws each image and writes COCO-style JSON, as far as it comes; panoptic maps as PNG.

The json has the category ids of the training data's annotation file, and masks as run lengths.

    frozen-det predict photo.jpg --checkpoint work_dirs/quickstart/best.pth -o out
    frozen-det predict 'photos/**/*.jpg' --checkpoint best.pth --classes bird boat --no-pictures -o out
    frozen-det predict photos/ --checkpoint birds.pth boats.pth -o out
Of several checkpoints on one frozen backbone, this runs once for an image; what each finds goes to out/ITS-NAME, with
--join all of it to out, as of one detector.
"""

import time
from contextlib import ExitStack
from pathlib import Path

from ..errors import InputError, StorageError
from .shared.config_arguments import add_cfg_options, options_of

_ALL = ""  # stands for all checkpoints together


def add_arguments(parser) -> None:
    parser.add_argument("images", nargs="+", help="image files, folders of images, or patterns in quotes")
    parser.add_argument("--config", help="config file or shipped name (default: the one in each checkpoint)")
    parser.add_argument("--checkpoint", required=True, nargs="+", help="checkpoints, lean or full, on one backbone")
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
    parser.add_argument("--score", type=float, default=0.3, help="draw detections from this score on")
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="keep detections of these classes alone")
    parser.add_argument("--no-pictures", action="store_true", help="write the json without drawing")
    parser.add_argument("--batch", type=int, default=1, help="images in one forward pass, at most (default: 1)")
    parser.add_argument("--device", help="cpu, cuda, ... (default: the GPU where there is one)")
    add_cfg_options(parser)


def run(args) -> int:
    from tqdm import tqdm

    from ..inference.detections import check_class_names
    from ..inference.family import load_family, member_names
    from ..inference.joining import join, joined_category_ids, joined_classes
    from ..inference.pictures import Picture, image_files
    from ..inference.predictions_file import PredictionsFile

    _check_numbers(args)
    out = Path(args.out)
    checkpoints = member_names(args.checkpoint)
    folders = {name: out / name for name in checkpoints} if len(checkpoints) > 1 and args.join is None else {_ALL: out}
    files = image_files(args.images)
    names = {folder: _names(files, folder, not args.no_pictures) for folder in folders.values()}
    configs = dict.fromkeys(checkpoints, args.config) if args.config else None
    family = load_family(checkpoints, configs, args.device, options_of(args))
    reader = next(iter(family.values())).reader
    classes = {name: one.classes for name, one in family.items()}
    ids = {name: one.category_ids for name, one in family.items()}
    ids[_ALL] = joined_category_ids(family.values())
    classes[_ALL] = joined_classes(classes.values())
    check_class_names(args.classes or (), classes[_ALL])
    left_out, undrawn, drawn_from = [], [], None if args.no_pictures else args.score
    with ExitStack() as stack:
        written = {
            name: stack.enter_context(PredictionsFile(folder / "predictions.json", classes[name], ids[name]))
            for name, folder in folders.items()
        }
        begin = time.perf_counter()
        results = family.each((Picture(file, reader=reader) for file in files), batch_size=args.batch)
        for picture, found in tqdm(results, desc="detecting", unit="image", total=len(files)):
            file = picture.path
            if isinstance(found, InputError):
                left_out.append(f"{file}: {found}")
                continue
            found[_ALL] = next(iter(found.values())) if args.join is None else join(found, args.join)
            for name, folder in folders.items():
                kept = _of_classes(found[name], args.classes)
                fault = _written(written[name], kept, folder / names[folder][file], drawn_from)
                if fault is not None:
                    undrawn.append(f"{file}: {fault}")
        seconds = time.perf_counter() - begin
    _tell(files, written.values(), left_out, undrawn, not args.no_pictures)
    print(f"{(len(files) - len(left_out)) / seconds:.2f} images per second, reading and writing included")
    return 1 if left_out else 0


def _check_numbers(args) -> None:
    if not 0 <= args.score <= 1:
        raise InputError(f"expected --score from 0 to 1, got {args.score:g}.")
    if args.join is not None and not 0 < args.join <= 1:
        raise InputError(f"expected an IoU in (0, 1] after --join, got {args.join:g}.")
    if args.batch < 1:
        raise InputError(f"expected --batch from 1 on, got {args.batch}.")


def _of_classes(found, names):
    """Those of the classes asked for, of which a member may know some only."""
    return found if names is None else found.of_classes(name for name in names if name in found.classes)


def _tell(files, written, left_out: list[str], undrawn: list[str], drawn: bool) -> None:
    """Print what came of it.

    Raises:
        InputError: no image could be read.
    """
    for what, faults in (("left out", left_out), ("found in, but not drawn", undrawn)):
        for fault in faults:
            print(f"{what}: {fault}")
    for one in written:
        if not one.num_images:
            raise InputError(
                f"expected images that can be decoded, but none of {len(files)} can; the first is {left_out[0]}"
            )
        print(
            f"{one.num_images} images, {one.num_detections} detections: {one.path}"
            + (" and one picture an image" if drawn else "")
            + (f"; {len(left_out)} could not be read" if left_out else "")
            + (f"; {len(undrawn)} could not be drawn" if undrawn else "")
        )


def _written(written, found, target: Path, score: float | None) -> str | None:
    """Add what was found in an image to the json, and draw it from a score on unless that is None; returns what kept it
    from being drawn, or None."""
    maps = None if found.panoptic is None else _write_panoptic(found, target.with_name(f"{target.name}_panoptic.png"))
    written.add(found.picture.path, found.size_hw[::-1], found, maps)
    return None if score is None else _draw(found, score, target.with_name(f"{target.name}.jpg"))


def _names(files: list[Path], out: Path, drawn: bool) -> dict[Path, str]:
    """What the picture of each file is called, without suffix: its stem, with a number where another file has it.

    Args:
        drawn: whether more than panoptic maps is drawn.

    Raises:
        InputError: a picture would be written over one of the files.
    """
    names, taken = {}, set()
    for number, file in enumerate(files, start=1):
        name = file.stem if file.stem not in taken else f"{file.stem}_{number}"
        taken.add(name)
        names[file] = name
    given = {file.resolve() for file in files}
    for file, name in names.items():
        for target in (out / f"{name}{end}" for end in ((".jpg", "_panoptic.png") if drawn else ("_panoptic.png",))):
            if target.resolve() in given:
                raise InputError(
                    f"expected another folder for what is drawn than {out} (--out): the picture of {file} "
                    f"would be written over {target}, which is one of the images."
                )
    return names


def _write_panoptic(found, target: Path) -> dict:
    """Write a panoptic map as COCO's PNG; returns its name and segments."""
    from PIL import Image

    from ..inference.panoptic_maps import picture_of, segments_of

    Image.fromarray(picture_of(found.panoptic, len(found.classes))).save(target)
    segments = segments_of(found.panoptic, len(found.classes))
    return dict(
        file_name=target.name,
        segments_info=[
            dict(id=segment["id"], category_id=found.ids_of_classes[segment["label"]], area=segment["area"])
            for segment in segments
        ],
    )


def _draw(found, score: float, target: Path) -> str | None:
    """Draw what has at least this score on its image; returns what kept it from being drawn, or None."""
    from PIL import Image

    from ..weights.atomic_write import replacing

    try:
        image = found.plot(score)
        with replacing(target) as partial:
            image.save(partial, quality=92)
    except StorageError:
        raise
    # A picture too large for the drawing library or the memory: what was found in it is written all the same.
    except (OSError, ValueError, MemoryError, OverflowError, Image.DecompressionBombError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no detail'}"
    return None
