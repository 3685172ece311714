"""Label a pool of images by a classifier, part by part, in one process or on many machines; goes on where it stopped.

frozen-det label my_classifier.py best.pth --pool my/pool --out labels
frozen-det label my_classifier.py best.pth --pool 'pool-{000..146}.tar' --out labels --processes 4
torchrun --nproc-per-node 8 -m frozen_det.cli label my_classifier.py best.pth --pool ... --out labels --launcher pytorch
sbatch --array=0-99 ...   with   frozen-det label ... --launcher slurm-array    (again: what is missing)
frozen-det label my_classifier.py best.pth --pool ... --out labels --ray auto --gpus-per-part 1
"""

import os

from ..shared.config_arguments import add_config, add_feature_cache, add_list_again, options_of


def add_arguments(parser) -> None:
    add_config(parser)
    parser.add_argument("checkpoint", nargs="?", help="left out: the weights that model.weights of the config names")
    parser.add_argument(
        "--pool",
        nargs="+",
        required=True,
        metavar="SOURCE",
        help="folders of images, list files with a path a line, tar shards (NAME.tar, patterns, ranges, addresses)",
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="the parts: part-*.parquet, part-*.logits")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--num-workers", type=int, default=0, help="readers beside each process")
    parser.add_argument("--part-size", type=int, default=10_000, help="files in a part; a shard is one (10000)")
    parser.add_argument(
        "--min-vector-confidence", type=float, default=0.0, metavar="P", help="soft vectors from here on (0)"
    )
    parser.add_argument("--noise", action="store_true", help="label as it trained: augmentation, dropout")
    parser.add_argument("--top-k", type=int, metavar="K", help="classes of a soft label (default: all)")
    parser.add_argument("--device", help="default: the GPU where there is one")
    add_list_again(parser)
    add_feature_cache(parser)
    engines = parser.add_argument_group("who labels", "without any of these: this process")
    engines.add_argument("--processes", type=int, metavar="N", help="processes of this machine")
    engines.add_argument(
        "--launcher",
        choices=["none", "pytorch", "slurm-array"],
        default="none",
        help="pytorch: torchrun's processes; slurm-array: a task of an array, whose last one finishes the labels",
    )
    engines.add_argument("--rank", type=int, metavar="R", help="a static share: of processes started by anything")
    engines.add_argument("--world-size", type=int, metavar="W", help="number of static shares")
    engines.add_argument(
        "--ray", nargs="?", const="auto", metavar="ADDRESS", help="a Ray cluster; `local` starts one on this machine"
    )
    engines.add_argument("--cpus-per-part", type=float, default=1, metavar="N", help="with --ray (1)")
    engines.add_argument("--gpus-per-part", type=float, default=0, metavar="N", help="with --ray (0)")


def run(args) -> int:
    from ...engine.runner.processes import first_logs, joined
    from ...upstream.noisy_student.label_engines import label_by_processes, label_by_ray, label_here

    rank, world_size = _share(args)
    job = _job(args)
    with joined("pytorch" if args.launcher == "pytorch" else "none"):
        log = first_logs(lambda line: print(line, flush=True))
        finished = True
        if args.processes is not None:
            done = label_by_processes(job, args.processes, log)
        elif args.ray is not None:
            done = label_by_ray(job, args.ray, args.cpus_per_part, args.gpus_per_part, log)
        else:
            done, finished = label_here(job, rank, world_size, log)
        log(
            f"{done.num_images} images in {done.num_parts - done.num_skipped} parts, {done.num_undecodable} of them "
            f"not readable; {done.num_skipped} parts were there"
        )
        log(f"labels in {job.out}" if finished else f"{job.out} waits for parts of others; the last one finishes it")
    return 0


def _job(args):
    from pathlib import Path

    from ...upstream.noisy_student.label_engines import LabelJob

    # Where a worker starts is not where the command was typed.
    config = os.path.abspath(args.config) if Path(args.config).is_file() else args.config
    return LabelJob(
        config,
        [_source(name) for name in args.pool],
        os.path.abspath(args.out),
        None if args.checkpoint is None else os.path.abspath(args.checkpoint),
        options_of(args),
        args.batch_size,
        args.num_workers,
        args.part_size,
        args.min_vector_confidence,
        args.noise,
        args.top_k,
        args.device,
        None if args.feature_cache is None else os.path.abspath(args.feature_cache),
        args.list_again,
    )


def _source(name: str) -> dict:
    """A folder, a shard or shards, else a list file; a file may have any name."""
    if "://" in name:
        return dict(shards=name)
    path = os.path.abspath(name)
    if os.path.isdir(path):
        return dict(folder=path)
    several = not os.path.isfile(path) and ("*" in name or "{" in name)
    return dict(shards=path) if name.endswith(".tar") or several else dict(list_file=path)


def _share(args) -> tuple[int | None, int | None]:
    """(rank, number) of a static share, (None, None) without one.

    Raises:
        InputError: two engines at once, or half a share.
    """
    from ...errors import InputError
    from ...upstream.noisy_student.label_engines import static_share

    share = args.rank is not None or args.world_size is not None
    named = {
        "--processes": args.processes is not None,
        f"--launcher {args.launcher}": args.launcher != "none",
        "--rank and --world-size": share,
        "--ray": args.ray is not None,
    }
    given = [name for name, is_given in named.items() if is_given]
    if len(given) > 1:
        raise InputError(f"expected one engine that labels, got {' and '.join(given)}.")
    if args.launcher == "slurm-array":
        return static_share(os.environ)
    if share and (args.rank is None or args.world_size is None or not 0 <= args.rank < args.world_size):
        raise InputError(
            f"expected --rank R with --world-size W, R from 0 to W - 1, got {args.rank} of {args.world_size}."
        )
    return args.rank, args.world_size
