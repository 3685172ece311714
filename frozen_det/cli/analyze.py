"""What a classifier's features are worth: attacks, occlusion, unknown images, calibration, corruptions, transfer.

    frozen-det analyze all upstream/resnet20_plain_cifar10 a.pth upstream/resnet20_cutmix_cifar10 b.pth
    frozen-det analyze ood work_dirs/plain work_dirs/cutmix --ood cells=DIR
    frozen-det analyze fgsm upstream/efficientnet-lite0_given_imagenet1k --cfg-options data_root=DIR

A config counts for the checkpoints behind it; a work directory brings its own; a config alone stands for the weights
it names. Called again, studies that are done with the same inputs are read back.
"""

from pathlib import Path

from ..errors import InputError


def add_arguments(parser) -> None:
    parser.add_argument(
        "study",
        metavar="STUDY",
        help="fgsm, occlusion, in-between, ood, calibration, corruptions, "
        "wsol, transfer, or several as fgsm,ood; all: the first six, and the others where "
        "their data are given",
    )
    parser.add_argument(
        "candidates",
        nargs="+",
        metavar="CONFIG CHECKPOINT",
        help="configs with the checkpoints behind them, work directories, or CONFIG:CHECKPOINT",
    )
    parser.add_argument("-o", "--out", default="work_dirs/analysis", help="folder of results and page")
    parser.add_argument(
        "--cfg-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="overrides for all configs"
    )
    parser.add_argument(
        "--num-images",
        type=int,
        default=1000,
        metavar="N",
        help="seeded draw of the config's test images; 0: all (default: 1000)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of images, noise, pairs and resamples (default: 0)")
    attack = parser.add_argument_group("fgsm")
    attack.add_argument(
        "--epsilons",
        type=float,
        nargs="+",
        default=[0, 1, 2, 4, 8, 16],
        metavar="E",
        help="sweep of FGSM, in 1/255 of the pixel range (default: 0 1 2 4 8 16)",
    )
    attack.add_argument("--epsilon", type=float, default=8, metavar="E", help="the one reported (default: 8)")
    attack.add_argument("--pgd-steps", type=int, default=10, metavar="N", help="steps of PGD; 0: none (default: 10)")
    attack.add_argument("--pgd-images", type=int, default=200, metavar="N", help="images under PGD (default: 200)")
    parser.add_argument("--fill", choices=["mean", "black"], default="mean", help="occlusion: what hides")
    parser.add_argument(
        "--ood",
        nargs="+",
        default=[],
        metavar="[NAME=]DIR",
        help="ood: folders of other images, beside uniform and Gaussian noise",
    )
    parser.add_argument(
        "--corruption-images",
        type=int,
        default=100,
        metavar="N",
        help="corruptions: images under them; 0: none (default: 100)",
    )
    parser.add_argument(
        "--shifted",
        nargs="+",
        default=[],
        metavar="KIND=DIR",
        help="corruptions: published sets as they unpack, v2, a, c, p",
    )
    parser.add_argument("--bins", type=int, default=15, metavar="N", help="calibration: bins (default: 15)")
    boxes = parser.add_argument_group("wsol")
    boxes.add_argument(
        "--wsol-data",
        metavar="DIR",
        help="images with boxes of one category each, COCO's json in "
        "DIR/annotations/{train,val}.json, or CUB_200_2011; toy: single-digit scenes, written once",
    )
    boxes.add_argument(
        "--wsol-protocol",
        default="own",
        choices=["own", "cutmix", "wsolevaluation"],
        help="what the network sees, how boxes are cut and counted (default: own, the candidate's own test transform)",
    )
    boxes.add_argument("--last-stride", type=int, choices=[1], help="let the last stage run at stride 1")
    boxes.add_argument(
        "--map",
        choices=["cam", "gradcam++"],
        help="kind of map (default: cam where the head gets "
        "the mean of a feature map, else gradcam++, which needs grad-cam)",
    )
    transfer = parser.add_argument_group("transfer")
    transfer.add_argument(
        "--transfer-data",
        nargs="+",
        default=[],
        metavar="[NAME=]DIR",
        help="image folders DIR/{train,test}/CLASS/* for the linear probe and neighbours",
    )
    transfer.add_argument(
        "--detector",
        metavar="CONFIG",
        help="detection probe: a detector's config that takes the "
        "candidates' weights, trained by its own budget, e.g. "
        "faster-rcnn_frozen-cifarresnet20_fpn_flip-4e_bccd",
    )
    transfer.add_argument(
        "--detection-options", nargs="+", default=[], metavar="KEY=VALUE", help="overrides of that config"
    )
    transfer.add_argument(
        "--finetune",
        action="store_true",
        help="train the whole network too: on each image folder, and the detection probe with nothing frozen",
    )
    transfer.add_argument(
        "--finetune-epochs",
        type=int,
        default=5,
        metavar="N",
        help="of a classifier on an image folder; a detector's config has its own (default: 5)",
    )


def run(args) -> int:
    import contextlib
    import sys

    from ..robustness.candidates import read_candidates
    from ..robustness.run import StudyOptions, chosen_studies, run_studies
    from ..weights.host_guard import registered_types_alone
    from .config_arguments import options_of

    if args.num_images < 0:
        raise InputError(f"expected --num-images from 0 on, got {args.num_images}.")
    options = StudyOptions(
        num_images=args.num_images or None,
        seed=args.seed,
        epsilons=tuple(args.epsilons),
        epsilon=args.epsilon,
        pgd_steps=args.pgd_steps,
        pgd_images=args.pgd_images,
        fill=args.fill,
        ood=tuple(args.ood),
        num_bins=args.bins,
        corruption_images=args.corruption_images,
        shifted=tuple(args.shifted),
        wsol_data=args.wsol_data,
        last_stride=args.last_stride,
        map=args.map,
        wsol_protocol=args.wsol_protocol,
        transfer_data=tuple(args.transfer_data),
        detector=args.detector,
        detection_options=tuple(args.detection_options),
        finetune=args.finetune,
        finetune_epochs=args.finetune_epochs,
    )
    studies = chosen_studies(args.study, options)
    # A work directory's config came with it: its types are names, not Python objects to import.
    from_folder = any(Path(word).expanduser().is_dir() for word in args.candidates)
    with (
        contextlib.redirect_stdout(sys.stderr),  # hosts talk on standard output while a model is built
        registered_types_alone() if from_folder else contextlib.nullcontext(),
    ):
        candidates = read_candidates(args.candidates, options_of(args))
        results = run_studies(
            studies, candidates, options, args.out, say=lambda line: print(line, file=sys.stderr, flush=True)
        )
        from ..robustness.page import write_page

        html, markdown = write_page(results, args.out)
    total = len(studies) * len(candidates)
    print(
        f"{total} results, {results.num_reused} of them from before, {results.seconds:.0f} s\n"
        f"page: {html}\n      {markdown}"
    )
    return 0
