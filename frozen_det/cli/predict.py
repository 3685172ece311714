"""Detect in image files: draws each image and writes COCO-style JSON.

    frozen-det predict photo.jpg --config quickstart --checkpoint work_dirs/quickstart/best.pth -o out
"""

from pathlib import Path

from ..errors import InputError
from .config_arguments import options_of


def add_arguments(parser) -> None:
    parser.add_argument("images", nargs="+", help="image files, or folders of images")
    parser.add_argument("--config", required=True, help="config file or shipped name")
    parser.add_argument("--checkpoint", required=True, help="checkpoint, lean or full")
    parser.add_argument("-o", "--out", default="predictions", help="folder for pictures and predictions.json")
    parser.add_argument("--score", type=float, default=0.3, help="draw detections from this score on")
    parser.add_argument("--device", help="cpu, cuda, ... (default: the GPU where there is one)")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE")


def run(args) -> int:
    import json

    from tqdm import tqdm

    from ..analysis.inference import load_detector

    files = _image_files(args.images)
    detector = load_detector(args.config, args.checkpoint, args.device, options_of(args))
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    names = set()
    for number, file in enumerate(tqdm(files, desc="detecting", unit="image"), start=1):
        found = detector([file])[0]
        # Two folders may hold files of one name; neither picture may overwrite the other.
        name = file.stem if file.stem not in names else f"{file.stem}_{number}"
        names.add(name)
        size = _draw(file, found.above(args.score), out / f"{name}.jpg")
        images.append(dict(id=number, file_name=str(file), width=size[0], height=size[1]))
        for box, score, label in zip(found.boxes_xyxy.tolist(), found.scores.tolist(), found.labels.tolist()):
            x1, y1, x2, y2 = box
            annotations.append(dict(image_id=number, category_id=label + 1, score=score,
                                    bbox=[x1, y1, x2 - x1, y2 - y1]))
    categories = [dict(id=i + 1, name=name) for i, name in enumerate(detector.classes)]
    (out / "predictions.json").write_text(
        json.dumps(dict(images=images, annotations=annotations, categories=categories)), encoding="utf-8")
    print(f"{len(files)} images, {len(annotations)} detections: {out}/predictions.json and one picture an image")
    return 0


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


def _draw(file: Path, found, target: Path) -> tuple[int, int]:
    """Draw boxes, names and scores; returns (width, height) of the image."""
    import colorsys

    from PIL import Image, ImageDraw, ImageFont

    with Image.open(file) as opened:
        image = opened.convert("RGB")
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
    image.save(target, quality=92)
    return image.size
