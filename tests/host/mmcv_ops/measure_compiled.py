"""Compiles two of mmcv's operators from its own sources, for the CPU, and measures what the guard changes (minutes).

    python -m tests.host.mmcv_ops.measure_compiled FOLDER

Needs a C++ compiler, ninja, and the sources (`csrc`) in mmcv's package. Printed are mean absolute differences from the
stand-in's output and gradients on row-major float32 tensors, divided by their mean magnitude.
"""

import inspect
import shutil
import sys
from pathlib import Path

import torch

import frozen_det  # noqa: F401  before mmcv.ops
from frozen_det.host.mmcv_ops import compiled, deformable, roi_pooling

OPERATORS = {
    "roi_align_forward": roi_pooling,
    "roi_align_backward": roi_pooling,
    "modulated_deform_conv_forward": deformable,
    "modulated_deform_conv_backward": deformable,
}


def build(folder: Path):
    """A module with the operators, from mmcv's sources; its files are in ``folder``."""
    import mmcv
    from torch.utils.cpp_extension import load

    sources = Path(mmcv.__file__).parent / "ops" / "csrc"
    folder.mkdir(parents=True, exist_ok=True)
    binding = folder / "bind.cpp"
    text = _binding()
    if not binding.exists() or binding.read_text() != text:
        binding.write_text(text)
    files = [binding]
    for name in ("roi_align", "modulated_deform_conv"):
        files.append(sources / "pytorch" / f"{name}.cpp")
        files.append(folder / f"{name}_cpu.cpp")  # another name than the file above: objects lie side by side
        shutil.copy2(sources / "pytorch" / "cpu" / f"{name}.cpp", files[-1])
    return load(
        "frozen_det_measured",
        [str(file) for file in files],
        extra_include_paths=[str(sources / "common"), str(sources / "pytorch")],
        extra_cflags=["-O1", "-w"],
        build_directory=str(folder),
    )


def _binding() -> str:
    declared, bound = [], []
    for name, family in OPERATORS.items():
        parameters = list(inspect.signature(family.OPERATORS[name]).parameters)
        kinds = [_kind(parameter) for parameter in parameters]
        declared.append(f"void {name}({', '.join(map(' '.join, zip(kinds, parameters)))});")
        bound.append(f'm.def("{name}", &{name}, {", ".join(f"""py::arg("{one}")""" for one in parameters)});')
    lines = ["#include <torch/extension.h>", '#include "pytorch_cpp_helper.hpp"', "using namespace at;", *declared]
    return "\n".join([*lines, "PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {", *bound, "}", ""])


def _kind(name: str) -> str:
    if name in ("aligned", "with_bias"):
        return "bool"
    if name == "spatial_scale":
        return "float"
    numbers = ("kernel_", "stride_", "pad_", "dilation_", "aligned_")
    return "int" if name.startswith(numbers) or name.endswith(("group", "ratio", "mode")) else "Tensor"


def _turned(tensor):
    back = tuple(range(tensor.ndim))[::-1]
    return tensor.permute(back).contiguous().permute(back)


def _results(turn, dtype=torch.float32) -> list[torch.Tensor]:
    from mmcv.ops import RoIAlign, modulated_deform_conv2d

    g = torch.Generator().manual_seed(0)
    shapes = [(2, 4, 6, 7), (2, 18, 6, 7), (2, 9, 6, 7), (5, 4, 3, 3), (5,)]
    given = [torch.randn(shape, generator=g) for shape in shapes]
    rois = torch.tensor([[1, 3.0, 4, 20, 22], [0, 1, 2, 12.5, 20], [1, 8, 8, 26, 20]]).to(dtype)
    found = []
    for call, inputs in (
        (lambda x: RoIAlign((2, 3), 0.25, 2)(x, rois), given[:1]),
        (lambda *tensors: modulated_deform_conv2d(*tensors, 1, 1), given),
    ):
        leaves = [turn(one).to(dtype).detach().requires_grad_() for one in inputs]
        output = call(*leaves)
        found += [output.detach(), *torch.autograd.grad(output, leaves, turn(torch.ones_like(output)))]
    return found


def main() -> None:
    import mmcv._ext as module

    wanted = _results(torch.Tensor.contiguous)
    real = build(Path(sys.argv[1]).resolve())

    def said(what: str, turn, dtype=torch.float32) -> None:
        for name in OPERATORS:
            setattr(module, name, getattr(real, name))
        try:
            found = _results(turn, dtype)
        except (RuntimeError, NotImplementedError) as error:
            print(f"{what}: {str(error).splitlines()[0]}")
            return
        gaps = [float((a.float() - b).abs().mean() / b.abs().mean()) for a, b in zip(found, wanted)]
        names = ("RoIAlign", "by map", "deformable", "by map", "by offset", "by mask", "by weight", "by bias")
        print(f"{what}: " + ", ".join(f"{name} {gap:.1e}" for name, gap in zip(names, gaps)))

    said("row-major", torch.Tensor.contiguous)
    said("turned", _turned)
    said("turned, bfloat16", _turned, torch.bfloat16)
    compiled.guard(real)
    said("guarded, turned", _turned)
    said("guarded, turned, bfloat16", _turned, torch.bfloat16)


if __name__ == "__main__":
    main()
