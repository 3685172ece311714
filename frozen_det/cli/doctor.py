"""Say what is installed, which compiled ops are in use, whether the combination is a tested one, what to type if not.

    frozen-det doctor
"""

# The combinations that run in tests, newest first: (torch, mmengine, mmcv, mmdet), compared by their beginnings.
TESTED = [("2.11.", "0.10.12", "2.3.6", "3.5.1")]


def add_arguments(parser) -> None:
    parser.add_argument("--json", action="store_true", help="machine-readable")


def run(args) -> int:
    import json

    facts = examine()
    if args.json:
        print(json.dumps(facts))
    else:
        width = max(map(len, facts["versions"])) + 2
        for name, version in facts["versions"].items():
            print(f"{name:<{width}}{version or 'not installed'}")
        print(f"\nops        {facts['ops']}\ndevice     {facts['device']}\ndisk free  {facts['disk_free_gib']} GiB\n"
              f"tested     {'yes, this combination' if facts['tested'] else 'not this combination'}")
        for advice in facts["advice"]:
            print(f"advice     {advice}")
    return 0 if not facts["broken"] else 1


def examine() -> dict:
    """Versions, ops, device, disk and advice, as plain values."""
    import platform
    import shutil
    from importlib import metadata

    import torch

    from .. import mmcv_ops

    def version(*names):
        for name in names:
            try:
                return f"{metadata.version(name)}" + (f" ({name})" if len(names) > 1 else "")
            except metadata.PackageNotFoundError:
                continue
        return None

    versions = {"python": platform.python_version(), "frozen_det": version("frozen-det"), "torch": torch.__version__,
                "torchvision": version("torchvision"), "mmengine": version("onedl-mmengine", "mmengine"),
                "mmcv": version("onedl-mmcv", "mmcv"), "mmdet": version("onedl-mmdetection", "mmdet"),
                "timm": version("timm"), "numpy": version("numpy"), "hotcoco": version("hotcoco"),
                "pycocotools": version("pycocotools"), "safetensors": version("safetensors"),
                "onnxruntime": version("onnxruntime")}
    advice, broken = [], False
    try:
        standing_in = mmcv_ops.in_use()
        ops = ("stand-in on torchvision: NMS and RoIAlign (mmcv has no compiled ops)" if standing_in
               else "mmcv's own compiled ops")
    except Exception as error:
        ops, broken = f"mmcv's ops cannot be imported: {error}", True
        advice.append("pip install --no-cache-dir onedl-mmcv   (the wheel without ops; the stand-in serves NMS and "
                      "RoIAlign)")
    host = [(versions[k] or "").split(" ")[0] for k in ("mmengine", "mmcv", "mmdet")]
    tested = any(torch.__version__.startswith(t[0]) and list(t[1:]) == host for t in TESTED)
    if not tested:
        advice.append("the tested versions stand in constraints.txt: pip install -c constraints.txt "
                      "'frozen-det[onedl,quickstart]'")
    if versions["onnxruntime"] is None:
        advice.append("pip install onnx onnxruntime onnxscript   (only for ONNX export)")
    device = f"{torch.cuda.get_device_name()}, CUDA {torch.version.cuda}" if torch.cuda.is_available() else (
        f"CPU, {torch.get_num_threads()} threads")
    if not torch.cuda.is_available():
        advice.append("on a CPU, export MALLOC_TRIM_THRESHOLD_=4294967296 MALLOC_MMAP_THRESHOLD_=4294967296 (glibc) "
                      "spares the system time of giving large buffers back after each step")
    return {"versions": versions, "ops": ops, "device": device, "tested": tested, "broken": broken,
            "disk_free_gib": round(shutil.disk_usage(".").free / 2**30, 1), "advice": advice}
