"""Writes docs/api.md from the docstrings of the public names: `make api`, or `python docs/api_page.py`."""

import inspect
import re
from pathlib import Path

import frozen_det

HEAD = """# Python API

<!-- Written by `make api` from the docstrings. -->

Public are the names on this page (`frozen_det.X`), the types of configs (`type="frozen_det.X"`) and the commands.
All else, every module below `frozen_det`, is private and may change without notice. Each name is imported when it
is first asked for; `import frozen_det` alone loads no torch. Whatever a user can put right raises `InputError`.

```pycon
>>> import frozen_det, torch
>>> frozen_det.list_configs("quick*")
['quickstart']
>>> described = frozen_det.describe("quickstart")
>>> described.frozen_params, [level["stride"] for level in described.levels]
(2958848, [4, 8, 16, 32])
>>> body = dict(type="timm", name="resnet18")
>>> backbone = frozen_det.FrozenBackbone(body=body, weights="random", strides=(8, 16, 32))
>>> [tuple(feature.shape) for feature in backbone(torch.zeros(1, 3, 64, 96))]
[(1, 128, 8, 12), (1, 256, 4, 6), (1, 512, 2, 3)]
>>> card = frozen_det.export_backbone(backbone, "backbone.safetensors")
>>> frozen_det.read_card("backbone.safetensors").architecture
'timm/resnet18'

```
"""
# In this order on the page; every public name stands in one of them.
GROUPS = {
    "Train and measure": ["train", "evaluate", "evaluate_stored", "describe", "ModelDescription"],
    "Detect": [
        "load_detector",
        "LoadedDetector",
        "load_family",
        "DetectorFamily",
        "load_program",
        "ProgramDetector",
        "Detections",
    ],
    "Backbones": [
        "FrozenBackbone",
        "Detector",
        "list_backbones",
        "load_backbone",
        "export_backbone",
        "export_program",
        "export_family",
    ],
    "Weights and configs": ["read_card", "WeightsCard", "list_configs", "load_config", "InputError"],
}
SECTIONS = ("Args", "Attributes", "Returns", "Raises")


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for title, names in GROUPS.items():
        parts.append(f"## {title}\n")
        for name in names:
            parts.append(_entry(name, getattr(frozen_det, name), "###"))
    return "\n".join(parts).rstrip() + "\n"


def _entry(name: str, found, mark: str) -> str:
    text = f"{mark} {name}\n\n"
    is_error = inspect.isclass(found) and issubclass(found, Exception)
    if not is_error:
        text += f"```text\n{_signature(name, found)}\n```\n\n"
    text += _markdown(inspect.getdoc(found)) + "\n"
    for method, function in _methods(found).items() if inspect.isclass(found) and not is_error else ():
        public = not method.startswith("_") or method == "__call__"
        if public and inspect.isfunction(function) and function.__doc__:
            text += "\n" + _entry(f"{name}.{method}" if method != "__call__" else f"{name}()", function, "####")
    return text


def _methods(found: type) -> dict:
    """What a class has of its own and of private classes here that it is made of."""
    private = [one for one in found.__mro__ if one is found or _is_private(one)]
    return {name: value for one in reversed(private) for name, value in vars(one).items()}


def _is_private(one: type) -> bool:
    return one.__module__.startswith("frozen_det.") and one.__name__ not in frozen_det.__all__


def _signature(name: str, found) -> str:
    """`name(parameters) -> type`, one parameter a line where it is long."""
    signature = inspect.signature(found.__new__ if "__new__" in vars(found) else found)
    shown, keyword_only = [], False
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            keyword_only = True
            shown.append("*")
        if inspect.isroutine(parameter.default):
            text = str(parameter.replace(default=parameter.empty)) + f" = {parameter.default.__name__}"
        else:
            text = str(parameter).replace(" = <factory>", "")
        shown.append(text)
    result = signature.return_annotation
    returned = "" if inspect.isclass(found) or result is signature.empty else f" -> {inspect.formatannotation(result)}"
    line, lines = ", ".join(shown), "".join(f"\n    {one}," for one in shown) + "\n"
    text = f"{name.removesuffix('()')}({line if len(line) < 80 else lines}){returned}"
    text = re.sub(r"(: |-> )'([\w. |\[\]]+)'", r"\1\2", text)  # annotations that are imported for type checkers alone
    return re.sub(
        r"\b(?:collections\.abc|pathlib|typing|torch\.nn\.modules\.module|frozen_det(?:\.\w+)+?)\.(?=[A-Z])", "", text
    )


def _markdown(doc: str) -> str:
    """A docstring with Args, Returns, ... as Markdown."""
    doc = re.sub(r":(?:func|class|meth|mod|data):`([^`]+)`", r"`\1`", doc).replace("``", "`").replace("`~", "`")
    lines, section = [], None
    for line in doc.splitlines():
        if line.rstrip(":") in SECTIONS and line.endswith(":"):
            section = line.rstrip(":")
            lines += [f"**{section}**", ""]
        elif section and line.startswith("    ") and not line.startswith("     "):
            entry = re.match(r"    ([\w*, ]+): (.*)", line)
            if section == "Returns" or not entry:
                lines.append(line.strip())
            else:
                lines.append(f"- `{entry[1]}`: {entry[2]}")
        else:
            lines.append(f"  {line.strip()}" if section and line.strip() and section != "Returns" else line.strip())
    return "\n".join(lines).strip()


if __name__ == "__main__":
    Path(__file__).with_name("api.md").write_text(page(), encoding="utf-8")
