"""Classifier weights, export, frozen detector, evaluation, report: one config, resumable stage by stage.

frozen-det chain chain/given-efficientnetlite0_faster-rcnn-fpn_toy
frozen-det chain my_chain.py --cfg-options detector.options.data_root=my/data
"""

from .shared.config_arguments import add_config, config_of, work_dir_of


def add_arguments(parser) -> None:
    add_config(parser)
    parser.add_argument("--work-dir", help="where everything goes (default: work_dirs/NAME)")


def run(args) -> int:
    from ..reports.run_record import headline, metric_word
    from ..workflows.chain import run_chain

    cfg = config_of(args)
    result = run_chain(cfg, work_dir_of(args, cfg), log=lambda line: print(line, flush=True))
    name = headline(result.metrics)
    proof = {True: "frozen as exported, bit for bit", None: "no proof (the detector's config has no FrozenProofHook)"}
    if name:
        print(f"\n{metric_word(name):<11}{result.metrics[name]:.3f}")
    print(
        f"{'backbone':<11}{result.backbone}   {proof[result.proven]}\n"
        f"{'detector':<11}{result.checkpoint}\n{'report':<11}{result.report}"
    )
    return 0
