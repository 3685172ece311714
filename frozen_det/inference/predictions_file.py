"""``predictions.json``, complete however the run ends: a line for each image as it goes, COCO's json at the end.

While pictures are worked on, ``predictions.jsonl`` holds a line for each that is done; even a kill leaves those. When
the work ends, by itself or by an error or a signal, the json is made from them, whole or not at all.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

from ..errors import storage_error
from ..weights.atomic_write import make_folder, replacing


class PredictionsFile:
    """Detections of pictures in COCO's json; a context.

    Args:
        path: of the json; the lines go beside it, to the same name with the suffix ``.jsonl``.
        classes: names, in the order of the labels.
        category_ids: of the classes; None counts from 1.

    Raises:
        StorageError: on entering and adding, if a file cannot be written.
    """

    def __init__(self, path, classes, category_ids=None):
        self.path, self.lines, self.classes = Path(path), Path(path).with_suffix(".jsonl"), list(classes)
        self.category_ids = list(category_ids or range(1, len(self.classes) + 1))
        self.num_images = self.num_detections = 0
        self.has_maps = False

    def __enter__(self) -> "PredictionsFile":
        make_folder(self.path.parent)
        try:
            self._file = open(self.lines, "w", encoding="utf-8")  # noqa: SIM115  closed by __exit__
        except OSError as error:
            raise storage_error(error, self.lines) from error
        return self

    def add(self, file, size_wh: tuple[int, int], found, panoptic: dict | None = None) -> None:
        """Write what was found in one picture.

        Args:
            file: of the picture; of a video, with `frame` and `time_s` beside it.
            size_wh: its width and height, in px.
            found: its :class:`.detections.Detections`.
            panoptic: the name and segments of its panoptic map, if it has one.
        """
        number = self.num_images + 1
        image = dict(id=number, file_name=str(file), width=size_wh[0], height=size_wh[1])
        if found.picture is not None and found.picture.frame is not None:
            image |= dict(frame=found.picture.frame, time_s=found.picture.time_s)
        annotations = found.to_coco(number, first_id=self.num_detections + 1)
        try:
            maps = [] if panoptic is None else [dict(image_id=number, **panoptic)]
            self._file.write(json.dumps([image, annotations, maps]) + "\n")
            self.has_maps = self.has_maps or bool(maps)
            self._file.flush()
        except OSError as error:
            raise storage_error(error, self.lines) from error
        self.num_images, self.num_detections = number, self.num_detections + len(annotations)

    def __exit__(self, kind, error, trace) -> None:
        with contextlib.suppress(OSError):  # a full disk was said where it was met
            self._file.close()
        try:
            self._assemble()
        except Exception as fault:
            if error is None:
                raise
            error.on_disk = f"On disk: {self.num_images} pictures in {self.lines} ({fault})."
            return
        self.lines.unlink()
        if error is not None:
            error.on_disk = f"On disk: {self.num_images} pictures in {self.path}."

    def _assemble(self) -> None:
        """The json of all lines, without holding them all."""
        categories = [dict(id=id_, name=name) for id_, name in zip(self.category_ids, self.classes, strict=True)]
        with replacing(self.path) as partial, open(partial, "w", encoding="utf-8") as out:
            parts = [("images", 0), ("annotations", 1), *([("panoptic", 2)] if self.has_maps else [])]
            for name, part in parts:
                out.write("{" if part == 0 else ", ")
                out.write(f'"{name}": [')
                for place, entry in enumerate(self._entries(part)):
                    out.write((", " if place else "") + json.dumps(entry))
                out.write("]")
            out.write(f', "categories": {json.dumps(categories)}}}')

    def _entries(self, part: int) -> Iterator[dict]:
        """All images (`part` 0), annotations (1) or panoptic maps (2); a last line that was cut short is left out."""
        with open(self.lines, encoding="utf-8") as file:
            for text in file:
                if text.endswith("\n"):
                    found = json.loads(text)[part]
                    yield from [found] if part == 0 else found
