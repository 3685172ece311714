"""What each transform of a pipeline does to one sample, step by step, as text."""

import hashlib
import pickle
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ...errors import InputError
from ..samplers.seeding import SampleIndex, sample_seed, seeded


@dataclass
class PipelineStep:
    """One transform: its name, lines about what is new (``+``), changed (``~``) and gone (``-``), whether the
    transform refused the sample (``refused``), and the sample after it (``result``)."""

    name: str
    lines: list[str]
    refused: bool
    result: dict | None


def innermost(dataset):
    """The dataset inside all wrappers, and the names of the wrappers from the outermost on."""
    names = []
    while not hasattr(dataset, "pipeline") or not hasattr(dataset.pipeline, "transforms"):
        names.append(type(dataset).__name__)
        if hasattr(dataset, "datasets"):
            dataset = dataset.datasets[0]
        elif hasattr(dataset, "dataset"):
            dataset = dataset.dataset
        else:
            raise InputError(f"expected a dataset with a pipeline, got {' > '.join(names)}; browse a detection config.")
    return dataset, names


def trace_steps(dataset, index: SampleIndex) -> Iterator[PipelineStep]:
    """Run the pipeline of ``dataset`` on one sample as the data loader would, and describe each transform.

    Args:
        dataset: A dataset with ``get_data_info`` and ``pipeline.transforms``.
        index: Whose seed and epoch the random draws follow from. A sample that a transform refuses ends here;
            the data loader would take another one.
    """
    if not 0 <= index < len(dataset):
        raise InputError(f"expected an index from 0 to {len(dataset) - 1}, got {int(index)}.")
    steps = []
    with seeded(sample_seed(index.seed, index.epoch, int(index))):
        sample = dataset.get_data_info(int(index))
        seen = _described(sample)
        steps.append(PipelineStep("annotation", _differences({}, seen), False, sample))
        for transform in dataset.pipeline.transforms:
            sample = transform(sample)
            if sample is None:
                steps.append(
                    PipelineStep(type(transform).__name__, ["refused the sample; another one is taken"], True, None)
                )
                break
            now = _described(sample)
            steps.append(PipelineStep(type(transform).__name__, _differences(seen, now), False, sample))
            seen = now
    yield from steps


def describe_value(value) -> str:
    """Type, shape, dtype and range of a value in one line."""
    if hasattr(value, "keys") and hasattr(value, "metainfo"):  # InstanceData and DetDataSample
        fields = {**{key: value.get(key) for key in value.keys()}}  # noqa: SIM118
        return f"{type(value).__name__}({', '.join(f'{k}: {describe_value(v)}' for k, v in fields.items())})"
    if type(value).__name__ in ("BitmapMasks", "PolygonMasks"):
        return f"{type(value).__name__} {len(value.masks)} of {value.height} x {value.width}"
    array = getattr(value, "tensor", value)  # box types wrap a tensor
    if hasattr(array, "shape") and hasattr(array, "dtype"):
        numbers = np.asarray(array)
        span = f" {_short(numbers.min())}..{_short(numbers.max())}" if numbers.size else ""
        kind = f"{type(value).__name__} " if array is not value else ""
        return f"{kind}{tuple(numbers.shape)} {str(array.dtype).removeprefix('torch.')}{span}"
    if isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        return f"{len(value)} entries with {', '.join(value[0])}"
    text = repr(value)
    return text if len(text) <= 90 else f"{text[:87]}..."


def num_objects(sample: dict) -> int | None:
    """Number of objects that a sample holds at this step; None before they are loaded."""
    packed = sample.get("data_samples")
    if packed is not None:
        return len(packed.gt_instances) + len(getattr(packed, "ignored_instances", ()))
    boxes = sample.get("gt_bboxes", sample.get("instances"))
    return None if boxes is None else len(boxes)


def _described(sample: dict) -> dict[str, tuple[str, str]]:
    """Description and digest of each entry; under ``(objects)`` how many objects the sample holds."""
    entries = {key: (describe_value(value), _digest(value)) for key, value in sample.items()}
    count = num_objects(sample)
    if count is not None:
        entries["(objects)"] = (str(count), str(count))
    return entries


def _digest(value) -> str:
    array = getattr(value, "tensor", value)
    try:
        # Numbers alone: a pickled tensor also depends on its storage, which a clone changes.
        numbers = np.ascontiguousarray(array) if hasattr(array, "dtype") else None
        return hashlib.sha1(pickle.dumps(value) if numbers is None else numbers.tobytes()).hexdigest()
    except Exception:  # not everything pickles; its description then has to do
        return describe_value(value)


def _differences(before: dict, after: dict) -> list[str]:
    counts = [entries.get("(objects)", (None,))[0] for entries in (before, after)]
    lines = [f"objects: {counts[0]} -> {counts[1]}"] if None not in counts and counts[0] != counts[1] else []
    lines += [f"+ {key}: {after[key][0]}" for key in after if key not in before and key != "(objects)"]
    for key in after:
        if key in before and before[key] != after[key] and key != "(objects)":
            lines.append(
                f"~ {key}: {before[key][0]} -> {after[key][0]}"
                if before[key][0] != after[key][0]
                else f"~ {key}: {after[key][0]} (other values)"
            )
    gone = [key for key in before if key not in after and key != "(objects)"]
    return lines + ([f"- {', '.join(gone)}"] if gone else []) or ["nothing changed"]


def _short(number) -> str:
    return f"{float(number):.4g}"
