"""Write the embedded data set: handwritten digits on photographs, with boxes, masks and a long tail of classes.

frozen-det toy-scenes data/toy_scenes
"""

import inspect


def add_arguments(parser) -> None:
    from ..datasets.toy.toy_scenes import write_toy_scenes

    defaults = {name: p.default for name, p in inspect.signature(write_toy_scenes).parameters.items()}
    parser.add_argument(
        "root",
        nargs="?",
        default="data/toy_scenes",
        metavar="ROOT",
        help="folder to write to (default: data/toy_scenes); reused if it holds the same already",
    )
    parser.add_argument("--num-train", type=int, default=defaults["num_train"], help="images (default: %(default)s)")
    parser.add_argument("--num-val", type=int, default=defaults["num_val"], help="images (default: %(default)s)")
    parser.add_argument(
        "--size",
        type=int,
        nargs=2,
        default=defaults["size_hw"],
        metavar=("HEIGHT", "WIDTH"),
        help="of the images in px (default: %(default)s)",
    )
    parser.add_argument(
        "--num-objects",
        type=int,
        nargs=2,
        default=defaults["num_objects"],
        metavar=("FEWEST", "MOST"),
        help="digits in an image (default: %(default)s)",
    )
    parser.add_argument(
        "--object-px",
        type=float,
        nargs=2,
        default=defaults["object_px"],
        metavar=("SHORTEST", "LONGEST"),
        help="longer side of a digit (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=defaults["seed"], help="of all draws (default: %(default)s)")


def run(args) -> int:
    import json

    from ..datasets.toy.toy_scenes import write_toy_scenes

    root = write_toy_scenes(
        args.root,
        args.num_train,
        args.num_val,
        tuple(args.size),
        args.seed,
        tuple(args.num_objects),
        tuple(args.object_px),
    )
    contents = {
        split: json.loads((root / "annotations" / f"{split}.json").read_text(encoding="utf-8"))
        for split in ("train", "val")
    }
    print(f"{'class':<8}{'group':<7}{'train: images, objects':<24}{'val: images, objects'}")
    for train, val in zip(contents["train"]["categories"], contents["val"]["categories"]):
        print(
            f"{train['name']:<8}{train['frequency']:<7}{train['image_count']:>13}{train['instance_count']:>9}  "
            f"{val['image_count']:>11}{val['instance_count']:>9}"
        )
    print(root)
    return 0
