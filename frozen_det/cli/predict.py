"""Detect in image files: draws each image and writes COCO-style JSON, as far as it comes; panoptic maps as PNG.

    frozen-det predict photo.jpg --checkpoint work_dirs/quickstart/best.pth -o out
    frozen-det predict photos/ --checkpoint birds.pth boats.pth -o out
Of several checkpoints on one frozen backbone, this runs once for an image; what each finds goes to out/ITS-NAME, with
--join all of it to out, as of one detector.
"""

from contextlib import ExitStack
from pathlib import Path

from ..errors import InputError, StorageError
from .config_arguments import add_cfg_options, options_of

_ALL = ""  # stands for all checkpoints together


def add_arguments(parser) -> None:
    parser.add_argument("images", nargs="+", help="image files, or folders of images")
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
    parser.add_argument("--device", help="cpu, cuda, ... (default: the GPU where there is one)")
    add_cfg_options(parser)


def run(args) -> int:
    from tqdm import tqdm

    from ..inference.family import load_family, member_names
    from ..inference.joining import join, joined_classes
    from ..inference.predictions_file import PredictionsFile

    if not 0 <= args.score <= 1:
        raise InputError(f"expected --score from 0 to 1, got {args.score:g}.")
    if args.join is not None and not 0 < args.join <= 1:
        raise InputError(f"expected an IoU in (0, 1] after --join, got {args.join:g}.")
    out = Path(args.out)
    checkpoints = member_names(args.checkpoint)
    folders = {name: out / name for name in checkpoints} if len(checkpoints) > 1 and args.join is None else {_ALL: out}
    files = _image_files(args.images)
    names = {folder: _names(files, folder) for folder in folders.values()}
    configs = dict.fromkeys(checkpoints, args.config) if args.config else None
    family = load_family(checkpoints, configs, args.device, options_of(args))
    reader = next(iter(family.values())).reader
    classes = {name: one.classes for name, one in family.items()}
    classes[_ALL] = joined_classes(classes.values())
    left_out, undrawn = [], []
    with ExitStack() as stack:
        written = {
            name: stack.enter_context(PredictionsFile(folder / "predictions.json", classes[name]))
            for name, folder in folders.items()
        }
        for file in tqdm(files, desc="detecting", unit="image"):
            try:
                found = family([file])[0]
                pixels = reader.rgb(file)
            except StorageError:
                raise
            except InputError as fault:
                left_out.append(f"{file}: {fault}")
                continue
            found[_ALL] = next(iter(found.values())) if args.join is None else join(found, args.join)
            for name, folder in folders.items():
                fault = _written(written[name], file, pixels, found[name], folder / names[folder][file], args.score)
                if fault is not None:
                    undrawn.append(f"{file}: {fault}")
    for what, faults in (("left out", left_out), ("found in, but not drawn", undrawn)):
        for fault in faults:
            print(f"{what}: {fault}")
    for one in written.values():
        if not one.num_images:
            raise InputError(
                f"expected images that can be decoded, but none of {len(files)} can; the first is {left_out[0]}"
            )
        print(
            f"{one.num_images} images, {one.num_detections} detections: {one.path} and one picture an image"
            + (f"; {len(left_out)} could not be read" if left_out else "")
            + (f"; {len(undrawn)} could not be drawn" if undrawn else "")
        )
    return 1 if left_out else 0


def _written(written, file: Path, pixels, found, target: Path, score: float) -> str | None:
    """Add what was found in an image to the json, and draw it; returns what kept it from being drawn, or None."""
    maps = None if found.panoptic is None else _write_panoptic(found, target.with_name(f"{target.name}_panoptic.png"))
    written.add(file, (pixels.shape[1], pixels.shape[0]), found, maps)
    return _draw(pixels, found.above(score), target.with_name(f"{target.name}.jpg"))


def _image_files(arguments) -> list[Path]:
    kinds = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}
    files = []
    for argument in map(Path, arguments):
        if argument.is_dir():
            files += sorted(p for p in argument.iterdir() if p.suffix.lower() in kinds)
        elif argument.is_file():
            files.append(argument)
        else:
            raise InputError(f"expected an image file or a folder, but {argument} does not exist.")
    if not files:
        raise InputError(f"no images found in {', '.join(map(str, arguments))}; kinds: {sorted(kinds)}.")
    return files


def _names(files: list[Path], out: Path) -> dict[Path, str]:
    """What the picture of each file is called, without suffix: its stem, with a number where another file has it.

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
        for target in (out / f"{name}.jpg", out / f"{name}_panoptic.png"):
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
            dict(id=segment["id"], category_id=segment["label"] + 1, area=segment["area"]) for segment in segments
        ],
    )


def _draw(pixels, found, target: Path) -> str | None:
    """Draw boxes, names and scores on (H, W, 3) uint8 RGB; returns what kept it from being drawn, or None."""
    from PIL import Image

    from ..weights.atomic_write import replacing

    try:
        image = Image.fromarray(pixels)
        _draw_objects(image, found)
        with replacing(target) as partial:
            image.save(partial, quality=92)
    except StorageError:
        raise
    # A picture too large for the drawing library or the memory: what was found in it is written all the same.
    except (OSError, ValueError, MemoryError, OverflowError, Image.DecompressionBombError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no detail'}"
    return None


def _draw_objects(image, found) -> None:
    """Boxes, names and scores on an RGB image, in place."""
    import colorsys

    from PIL import ImageDraw, ImageFont

    draw = ImageDraw.Draw(image)
    line = max(1, round(min(image.size) / 200))
    font = ImageFont.load_default(size=max(10, round(min(image.size) / 32)))
    for box, score, label in zip(found.boxes_xyxy.tolist(), found.scores.tolist(), found.labels.tolist()):
        hue = (label * 0.61803398875) % 1.0  # golden ratio: neighbouring classes get distant hues
        colour = tuple(round(255 * c) for c in colorsys.hsv_to_rgb(hue, 0.85, 0.95))
        draw.rectangle(box, outline=colour, width=line)
        text = f"{found.classes[label]} {score:.2f}"
        at = (box[0], max(0, box[1] - font.size - 2))
        draw.rectangle(draw.textbbox(at, text, font=font), fill=colour)
        draw.text(at, text, fill="black", font=font)
