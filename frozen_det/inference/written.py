"""What `frozen-det predict` writes: of images one json and a picture each, of a video a json and an annotated copy.

A picture that cannot be drawn keeps its detections; what was left out, and why, is kept for the end.
"""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import cast

import numpy as np
from PIL import Image

from ..errors import InputError, StorageError
from ..weights.atomic_write import replacing
from .detections import Detections
from .pictures import Picture, is_video
from .predictions_file import PredictionsFile
from .videos import VideoWriter


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
        stem = f"{self._names[file]}_{picture.frame}" if self._video else self._names[file]
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

    Args:
        files: images and videos.
        folders: that pictures go to.
        drawn: whether more than panoptic maps is drawn.

    Raises:
        InputError: a picture would be written over one of the files.
    """
    names: dict[Path, str] = {}
    taken = {False: set(), True: {"predictions"}}  # the json of the images is called so
    for number, file in enumerate(files, start=1):
        others = taken[is_video(file)]
        names[file] = file.stem if file.stem not in others else f"{file.stem}_{number}"
        others.add(names[file])
    given = {file.resolve() for file in files}
    for file, name in names.items():
        always, where_drawn = ((), (".mp4",)) if is_video(file) else (("_panoptic.png",), (".jpg",))
        ends = (*where_drawn, *always) if drawn else always
        for target in (folder / f"{name}{end}" for folder in folders for end in ends):
            if target.resolve() in given:
                raise InputError(
                    f"expected another folder for what is drawn than {target.parent} (--out): the picture of {file} "
                    f"would be written over {target}, which is one of the images."
                )
    return names


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
