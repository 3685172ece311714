"""Train a frozen detector from nothing: data, training, evaluation, export, report. What exists already is reused.

    frozen-det quickstart
"""

import json
import time
from contextlib import contextmanager
from pathlib import Path

CONFIG = "quickstart"


def add_arguments(parser) -> None:
    parser.add_argument("--work-dir", default="work_dirs/quickstart", help="where everything goes")
    parser.add_argument("--cfg-options", nargs="+", default=[], metavar="KEY=VALUE", help="overrides of the config")


def run(args) -> int:
    work_dir = Path(args.work_dir)
    work_dir.mkdir(parents=True, exist_ok=True)
    stages = _Stages(work_dir)
    cfg = _config(args)
    stages.forget_unless(cfg.pretty_text)
    with stages("data") as todo:
        if todo:
            _write_data(cfg)
    with stages("train") as todo:
        if todo:
            _train(cfg)
    with stages("evaluate") as todo:
        if todo:
            _evaluate(args, work_dir)
    with stages("export") as todo:
        if todo:
            _export(cfg, work_dir)
    with stages("report", always=True):
        page = _report(work_dir)
    _print_table(work_dir)
    print(f"\nreport     {page}\nbackbone   {work_dir / 'backbone.safetensors'}\n"
          f"your data  frozen-det train custom_coco --cfg-options data_root=my/data")
    return 0


class _Stages:
    """Runs stages once: prints each one's time, remembers it in a file, skips it the next time."""

    def __init__(self, work_dir: Path):
        self.memory, self.times = work_dir / "quickstart.json", work_dir / "stages.json"
        self.done = json.loads(self.memory.read_text(encoding="utf-8")) if self.memory.is_file() else {}

    def forget_unless(self, config_text: str) -> None:
        """A changed config makes every stage stale; checkpoints of the old one are moved aside, never overwritten."""
        if self.done.get("config") == config_text:
            return
        self.done = {"config": config_text, "seconds": {}}
        old = sorted(self.memory.parent.glob("*.pth"))
        if old:
            aside = self.memory.parent / f"previous-{time.strftime('%Y%m%d-%H%M%S')}"
            aside.mkdir()
            for path in old:
                path.rename(aside / path.name)
            print(f"the config changed: {len(old)} checkpoints of the old one moved to {aside}")

    @contextmanager
    def __call__(self, name: str, always: bool = False):
        known = self.done["seconds"].get(name)
        todo = always or known is None
        print(f"[{name}] {'...' if todo else f'reused (took {known:.0f} s the first time)'}", flush=True)
        start = time.perf_counter()
        yield todo
        if todo:
            self.done["seconds"][name] = round(time.perf_counter() - start, 1)
            self.memory.write_text(json.dumps(self.done, indent=1), encoding="utf-8")
            self.times.write_text(json.dumps([dict(name=n, seconds=s) for n, s in self.done["seconds"].items()]),
                                  encoding="utf-8")
            print(f"[{name}] {self.done['seconds'][name]:.0f} s", flush=True)


def _config(args):
    from ..config import load_config
    from .config_arguments import options_of

    cfg = load_config(CONFIG, options_of(args))
    cfg.work_dir = str(args.work_dir)
    return cfg


def _write_data(cfg) -> None:
    from mmdet.registry import DATASETS
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope("mmdet"):
        for loader in (cfg.train_dataloader, cfg.val_dataloader):
            DATASETS.build(loader.dataset)


def _train(cfg) -> None:
    from ..engine.lean_checkpoint import latest_checkpoint
    from .train import build_runner

    latest = latest_checkpoint(cfg.work_dir)
    if latest is not None:
        cfg.resume, cfg.load_from = True, str(latest)
    build_runner(cfg).train()


def _evaluate(args, work_dir: Path) -> None:
    from ..errors import InputError
    from .train import build_runner

    best = sorted(work_dir.glob("best_*.pth"))
    if not best:
        raise InputError(f"expected a best checkpoint in {work_dir} after training, found none. Remove the folder and "
                         "start again.")
    cfg = _config(args)
    cfg.load_from = str(best[-1])
    cfg.experiment_name = "quickstart_evaluation"
    metrics = build_runner(cfg).test()
    (work_dir / "metrics.json").write_text(json.dumps({k: float(v) for k, v in metrics.items()}, indent=1),
                                           encoding="utf-8")


def _export(cfg, work_dir: Path) -> None:
    from mmdet.registry import MODELS
    from mmengine.registry import DefaultScope

    from ..checkpoints import read
    from ..export import export_backbone

    with DefaultScope.overwrite_default_scope("mmdet"):
        model = MODELS.build(cfg.model)
    best = sorted(work_dir.glob("best_*.pth"))[-1]
    model.load_state_dict(read(best)["state_dict"], strict=True)
    card = export_backbone(model.backbone, work_dir / "backbone.safetensors")
    print(f"backbone exported: {card.architecture}, sha256 {card.digest[:12]}")


def _report(work_dir: Path) -> Path:
    from ..analysis.report import write_report

    return write_report([work_dir], work_dir / "report.html")[0]


def _print_table(work_dir: Path) -> None:
    metrics = json.loads((work_dir / "metrics.json").read_text(encoding="utf-8"))
    rows = [("AP", "bbox_mAP"), ("AP50", "bbox_mAP_50"), ("AP75", "bbox_mAP_75"), ("AP small", "bbox_mAP_s"),
            ("AP medium", "bbox_mAP_m"), ("AP large", "bbox_mAP_l")]
    print("\nvalidation, boxes")
    for name, key in rows:
        value = metrics.get(f"coco/{key}")
        shown = "no such objects" if value is None or value != value or value < 0 else f"{value:.3f}"
        print(f"  {name:<10}{shown:>8}")
