"""What `frozen-det predict` writes: of images one json and a picture each, of a video a json and an annotated copy.

A picture that cannot be drawn keeps its detections; what was left out, and why, is kept for the end.
"""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from typing import cast
from unicodedata import normalize

import numpy as np
from PIL import Image

from ..errors import InputError, StorageError
from ..weights.atomic_write import replacing
from .detections import Detections
from .pictures import Picture, is_video
from .predictions_file import PredictionsFile
from .videos import VideoWriter

_JSON = (".json", ".jsonl")


class Written:
    """One json in each folder, of images or of one video; a context.

    Args:
        folders: by name, each with the classes and category ids of what goes there.
        names: of the pictures, without suffix, by their files.
        drawn_from: the score from which on detections are drawn; None draws nothing.
        fps, video: of the annotated copy, and its file; None for images.

    Attributes:
        undrawn: what was found but not drawn, with the reason.
    """

    def __init__(
        self,
        folders: Mapping[str, tuple[Path, tuple, tuple | None]],
        names: Mapping[Path, str],
        drawn_from: float | None,
        video: Path | None = None,
        fps: float = 0.0,
    ):
        stem = "predictions" if video is None else names[video]
        self._of_images = {_key(name) for file, name in names.items() if not is_video(file)}
        self._names, self._drawn_from, self._video = names, drawn_from, video
        self.undrawn: list[str] = []
        self.files = {
            name: PredictionsFile(folder / f"{stem}.json", classes, ids)
            for name, (folder, classes, ids) in folders.items()
        }
        self._copies = {}
        if video is not None and drawn_from is not None:
            self._copies = {name: VideoWriter(folder / f"{stem}.mp4", fps) for name, (folder, *_) in folders.items()}
        self._stack = ExitStack()

    def __enter__(self) -> "Written":
        for file in self.files.values():
            self._stack.enter_context(file)
        for copy in self._copies.values():
            self._stack.enter_context(copy)
        return self

    def __exit__(self, *error) -> bool | None:
        return self._stack.__exit__(*error)

    def add(self, name: str, picture: Picture, found: Detections) -> None:
        """Write what was found in a picture to the folder of this name."""
        file, written = cast(Path, self._video or picture.path), self.files[name]
        stem = self._names[file]
        if self._video:
            stem = f"{stem}_{picture.frame}"
            while _key(stem) in self._of_images:  # an image's panoptic map is called so
                stem += "_frame"
        target, maps = written.path.parent / f"{stem}.jpg", None
        if found.panoptic is not None:
            maps = _write_panoptic(found, found.panoptic, target.with_name(f"{stem}_panoptic.png"))
        written.add(file, cast(tuple[int, int], found.size_hw)[::-1], found, maps)
        if self._drawn_from is None:
            return
        fault = _draw(found, self._drawn_from, self._copies.get(name, target))
        if fault is not None:
            self.undrawn.append(f"{file if self._video is None else f'{file}, {picture}'}: {fault}")


def picture_names(files: list[Path], folders: Iterable[Path], drawn: bool) -> dict[Path, str]:
    """What the picture of each file is called, without suffix: its stem, with a number where another file has it.

    No two images share a name, and no two videos, also where upper and lower case are one (macOS, Windows).

    Args:
        files: images and videos.
        folders: that pictures go to.
        drawn: whether more than panoptic maps is drawn.

    Raises:
        InputError: a picture would be written over one of the files.
    """
    names: dict[Path, str] = {}
    for videos in (False, True):
        names |= _distinct([file for file in files if is_video(file) == videos], {"predictions"} if videos else set())
    given = {_identity(file) for file in files} - {None}
    for file in files:
        for target in (folder / one for folder in folders for one in _written_for(file, names[file], drawn)):
            if _identity(target) in given:
                what = "what is found in" if target.suffix in _JSON else "the picture of"
                raise InputError(
                    f"expected another folder for what is drawn than {target.parent} (--out): {what} {file} "
                    f"would be written over {target}, which is one of the images."
                )
    return names


def _written_for(file: Path, name: str, drawn: bool) -> list[str]:
    """What is, or may be, written when this file's turn comes; the panoptic maps of frames aside."""
    stem = name if is_video(file) else "predictions"
    pictures = [f"{name}.mp4" if is_video(file) else f"{name}.jpg"] * drawn
    return [*pictures, *(f"{stem}{end}" for end in _JSON), *([] if is_video(file) else [f"{name}_panoptic.png"])]


def _distinct(files: list[Path], taken: set[str]) -> dict[Path, str]:
    """The stem of each file where it is the first to have it, else the stem with the first number that is free.

    Args:
        taken: what no file may be called, as :func:`_key` gives it.
    """
    own = {_key(file.stem) for file in files}  # a number must not make the name that another file has anyway
    used, numbers = set(taken), dict.fromkeys(own, 2)
    names = {}
    for file in files:
        key, name = _key(file.stem), file.stem
        if key in used:
            for number in count(numbers[key]):
                name = f"{file.stem}_{number}"
                if _key(name) not in own and _key(name) not in used:
                    numbers[key] = number + 1
                    break
        used.add(_key(name))
        names[file] = name
    return names


def _key(name: str) -> str:
    """Equal for names that are one on some file system: of upper and lower case, of accents in one sign or two."""
    return normalize("NFD", normalize("NFD", name).casefold())


def _identity(path: Path) -> tuple[int, int] | None:
    """What a path leads to, whatever it is called; None where nothing is."""
    with suppress(OSError):
        found = path.stat()
        return found.st_dev, found.st_ino
    return None


def _write_panoptic(found: Detections, panoptic: np.ndarray, target: Path) -> dict:
    """Write a panoptic map as COCO's PNG; returns its name and segments."""
    from .panoptic_maps import picture_of, segments_of

    Image.fromarray(picture_of(panoptic, len(found.classes))).save(target)
    segments = segments_of(panoptic, len(found.classes))
    return dict(
        file_name=target.name,
        segments_info=[
            dict(id=segment["id"], category_id=found.ids_of_classes[segment["label"]], area=segment["area"])
            for segment in segments
        ],
    )


def _draw(found: Detections, score: float, target: Path | VideoWriter) -> str | None:
    """Draw what has at least this score on its image; returns what kept it from being drawn, or None."""
    try:
        image = found.plot(score)
        if isinstance(target, VideoWriter):
            target.add(image)
        else:
            with replacing(target) as partial:
                image.save(partial, quality=92)
    except StorageError:
        raise
    # A picture too large for the drawing library or the memory: what was found in it is written all the same.
    except (OSError, ValueError, MemoryError, OverflowError, Image.DecompressionBombError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no detail'}"
    return None
