"""Train a frozen detector from nothing: data, training, evaluation, export, report. What exists already is reused.

frozen-det quickstart
"""

import json
from pathlib import Path

from .shared.config_arguments import add_cfg_options, options_of

CONFIG = "quickstart"


def add_arguments(parser) -> None:
    parser.add_argument("--work-dir", default="work_dirs/quickstart", help="where everything goes")
    add_cfg_options(parser, "overrides of the config")


def run(args) -> int:
    from ..engine.runner.stages import Stages, set_aside
    from ..engine.train_stage import data_files
    from ..engine.training import train
    from .shared.program import program

    work_dir = Path(args.work_dir)
    stages = Stages(work_dir, "quickstart.json", log=lambda line: print(line, flush=True))
    cfg = _config(args)
    settings = {key: value for key, value in cfg.to_dict().items() if key != "work_dir"}
    with stages("data", settings) as stage:
        if stage.todo:
            _write_data(cfg)
            stage.outputs = data_files(cfg)
    with stages("train", settings, stage.outputs) as stage:
        if stage.todo:
            if not stage.goes_on:
                set_aside(sorted(work_dir.glob("*.pth")), work_dir, stages.log)
            train(CONFIG, options=options_of(args), work_dir=work_dir, resume="auto")
            stage.outputs = [_best(work_dir)]
    best = stage.outputs
    with stages("evaluate", settings, best) as stage:
        if stage.todo:
            _evaluate(args, work_dir)
            stage.outputs = [work_dir / "metrics.json"]
    with stages("export", settings, best) as stage:
        if stage.todo:
            _export(args, work_dir)
            stage.outputs = [work_dir / "backbone.safetensors"]
    with stages("report", always=True):
        page = _report(work_dir)
    _print_table(work_dir)
    print(
        f"\nreport     {page}\nbackbone   {work_dir / 'backbone.safetensors'}\n"
        f"your data  {program()} train custom --data my/data"
    )
    return 0


def _config(args):
    from ..config import load_config

    cfg = load_config(CONFIG, options_of(args))
    cfg.work_dir = str(args.work_dir)
    return cfg


def _write_data(cfg) -> None:
    from mmdet.registry import DATASETS
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope("mmdet"):
        for loader in (cfg.train_dataloader, cfg.val_dataloader):
            DATASETS.build(loader.dataset)


def _best(work_dir: Path) -> Path:
    from ..errors import InputError

    best = sorted(work_dir.glob("best_*.pth"))
    if not best:
        raise InputError(
            f"expected a best checkpoint in {work_dir} after training, found none. Remove the folder and start again."
        )
    return best[-1]


def _evaluate(args, work_dir: Path) -> None:
    from ..engine.testing import evaluate
    from ..weights.atomic_write import write_json

    metrics = evaluate(CONFIG, _best(work_dir), options=options_of(args), work_dir=work_dir, tables=False)
    write_json(work_dir / "metrics.json", metrics)


def _export(args, work_dir: Path) -> None:
    from ..export import export_backbone
    from ..inference.detector import load_backbone

    card = export_backbone(load_backbone(CONFIG, _best(work_dir), options_of(args)), work_dir / "backbone.safetensors")
    print(f"backbone exported: {card.architecture}, sha256 {card.digest[:12]}")


def _report(work_dir: Path) -> Path:
    from ..reports.write import write_report

    return write_report([work_dir], work_dir / "report.html")[0]


def _print_table(work_dir: Path) -> None:
    metrics = json.loads((work_dir / "metrics.json").read_text(encoding="utf-8"))
    rows = [
        ("AP", "bbox_mAP"),
        ("AP50", "bbox_mAP_50"),
        ("AP75", "bbox_mAP_75"),
        ("AP small", "bbox_mAP_s"),
        ("AP medium", "bbox_mAP_m"),
        ("AP large", "bbox_mAP_l"),
    ]
    print("\nvalidation, boxes")
    for name, key in rows:
        value = metrics.get(f"coco/{key}")
        shown = "no such objects" if value is None or value != value or value < 0 else f"{value:.3f}"
        print(f"  {name:<10}{shown:>8}")
