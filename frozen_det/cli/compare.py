"""Compare two detectors on the same images: which classes and images changed. One page, and a short table.

frozen-det compare work_dirs/before work_dirs/after
frozen-det compare work_dirs/before/best_coco_bbox_mAP_epoch_8.pth work_dirs/after/epoch_12.pth -o compared.html
frozen-det compare a.bbox.json b.bbox.json --annotations val.json --images my/data/val
Runs and checkpoints are compared by what the validation of the best (or of that) checkpoint saw in training.
"""


def add_arguments(parser) -> None:
    for name in ("a", "b"):
        parser.add_argument(name, help="work directory, checkpoint in one, COCO results or predictions.json")
    parser.add_argument(
        "-o", "--out", metavar="FILE", default="compare.html", help="page to write (default: %(default)s)"
    )
    parser.add_argument(
        "--score", type=float, help="count detections from this score on (default: what suits each by F1, else 0.3)"
    )
    parser.add_argument("--annotations", metavar="FILE", help="COCO json that results are judged by")
    parser.add_argument("--images", metavar="FOLDER", help="where the images of the annotations lie, for pictures")


def run(args) -> int:
    from ..errors import InputError
    from ..reports.diagnosis.compare_page import write_comparison

    if args.score is not None and not 0 <= args.score <= 1:
        raise InputError(f"expected --score from 0 to 1, got {args.score:g}.")
    lines, page = write_comparison(args.a, args.b, args.out, args.score, args.annotations, args.images)
    print("\n".join(lines))
    print(f"page  {page}")
    return 0
