"""What a classifier's features are worth: attacks, occlusion, unknown images, calibration, corruptions, transfer.

    frozen-det analyze all upstream/resnet20_plain_cifar10 a.pth upstream/resnet20_cutmix_cifar10 b.pth
    frozen-det analyze ood work_dirs/plain work_dirs/cutmix --ood cells=DIR
    frozen-det analyze fgsm upstream/efficientnet-lite0_given_imagenet1k --cfg-options data_root=DIR

A config applies to the checkpoints after it; a work directory has its own; a config alone means the weights
it names. Called again, studies that are done with the same inputs are read back.
"""

from pathlib import Path

from ..errors import InputError
from .shared.config_arguments import add_cfg_options, add_feature_cache, options_of, store_of


def add_arguments(parser) -> None:
    from ..robustness.study import StudyOptions, add_options, studies

    own_data = [name for name, one in studies().items() if not one.is_part_of_all(StudyOptions().of(one))]
    parser.add_argument(
        "study",
        metavar="STUDY",
        help=f"{', '.join(studies())}, or several as fgsm,ood; all: all of them, {' and '.join(own_data)} where "
        "their data are given",
    )
    parser.add_argument(
        "candidates",
        nargs="+",
        metavar="CONFIG CHECKPOINT",
        help="configs with the checkpoints behind them, work directories, or CONFIG:CHECKPOINT",
    )
    parser.add_argument("-o", "--out", default="work_dirs/analysis", help="folder of results and page")
    add_cfg_options(parser, "overrides for all configs")
    parser.add_argument(
        "--num-images",
        type=int,
        default=1000,
        metavar="N",
        help="seeded draw of the config's test images; 0: all (default: 1000)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of images, noise, pairs and resamples (default: 0)")
    add_feature_cache(parser)
    add_options(parser)


def run(args) -> int:
    import contextlib
    import sys

    from ..robustness.candidates import read_candidates
    from ..robustness.page import write_page
    from ..robustness.run import run_studies
    from ..robustness.study import StudyOptions, chosen_studies, parsed_options
    from ..weights.host_guard import registered_types_alone

    if args.num_images < 0:
        raise InputError(f"expected --num-images from 0 on, got {args.num_images}.")
    options = StudyOptions(args.num_images or None, args.seed, parsed_options(args))
    studies = chosen_studies(args.study, options)
    store = store_of(args)
    # A work directory's config came with it: its types are names, not Python objects to import.
    from_folder = any(Path(word).expanduser().is_dir() for word in args.candidates)
    with (
        contextlib.redirect_stdout(sys.stderr),  # mmengine prints to stdout while building
        registered_types_alone() if from_folder else contextlib.nullcontext(),
    ):
        candidates = read_candidates(args.candidates, options_of(args))
        results = run_studies(
            studies, candidates, options, args.out, lambda line: print(line, file=sys.stderr, flush=True), store
        )
        if store is not None:
            print(store.summary(), file=sys.stderr)

        html, markdown = write_page(results, args.out)
    total = len(studies) * len(candidates)
    print(
        f"{total} results, {results.num_reused} of them from before, {results.seconds:.0f} s\n"
        f"page: {html}\n      {markdown}"
    )
    return 0
