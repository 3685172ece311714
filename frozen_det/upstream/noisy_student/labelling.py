"""A teacher without noise labels a pool, under any number of processes, one whole part after the other.

The teacher is in eval mode, takes no gradient and sees the centre crop at its own resolution (Xie et al., arXiv
1911.04252, section 2). Part p belongs to rank p modulo their number, within a rank to one worker, so no image is
labelled twice and the files are the same under any number of processes. A part that is whole and was made from the
same files, weights and settings is skipped. An image that does not decode is a row that says so.
"""

import json
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.dist import barrier, get_dist_info, is_distributed
from torch import Tensor, nn
from torch.utils.data import DataLoader

from ...datasets.samplers.seeding import seeded
from ...errors import InputError
from ...host.devices import device_of
from ...registry import MODELS, TRANSFORMS
from ...weights.atomic_write import replacing, write_json
from ...weights.digest import fingerprint
from ...weights.feature_store import FeatureStore
from ..stored_network import WITHOUT_PLACE, read_pooled_from
from ..transforms import EvalTransform
from .label_files import LABELS, PLAN, UNDECODABLE, PartWriter, part_record, rows_path
from .label_plan import planned, to_do
from .listings.digests import hash_of
from .listings.listing import PART_SIZE, Listing, Part
from .listings.parquet import import_pyarrow
from .part_images import PartImages, seed_of
from .pool import Pool
from .top_k import TopLabels, top_labels


class UnfinishedError(InputError):
    """Parts of the labels are missing, which others may be making."""


@dataclass(frozen=True)
class LabelSummary:
    """What one rank did.

    Attributes:
        num_parts: Parts that belong to this rank.
        num_skipped: Those of them that were whole before.
        num_images, num_undecodable: In the parts that it labelled now.
    """

    num_parts: int
    num_skipped: int
    num_images: int
    num_undecodable: int


def load_teacher(config, checkpoint=None, device=None, store: FeatureStore | None = None) -> tuple[nn.Module, object]:
    """A classifier as a teacher, and the transform of its own evaluation.

    Averaged weights are taken where the checkpoint holds them: mmengine's ``state_dict`` is the average once its EMA
    hook ran (the raw weights are in ``ema_state_dict``), other tools keep it in ``state_dict_ema`` or ``model_ema``.

    Args:
        config: Path, shipped name or loaded config of the classifier.
        checkpoint: File; None takes the weights that ``model.weights`` names.
        device: By default the GPU where there is one.
        store: Where features of images seen before are read; see :mod:`..stored_network`. The model is then without
            `model.noise`, which acts in training alone, by hooks that keep a body from being read.

    Returns:
        The model, in eval mode, its parameters without gradients; and the transform of ``test_dataloader``, or
        else of what the model's library says about its input.

    Raises:
        InputError: The checkpoint does not fit, or the device is not there.
    """
    from ...config import load_config
    from ...weights.class_names import stated_classes
    from ...weights.loading import read, state_dict_of
    from ...weights.whole_checkpoint import load_whole

    cfg = load_config(config) if isinstance(config, (str, Path)) else config
    quiet = store is not None and cfg["model"].get("noise")
    model = MODELS.build({**cfg["model"], "noise": None} if quiet else cfg["model"])
    if checkpoint is None:
        model.init_weights()
    else:
        loaded = read(checkpoint)
        averaged = next(
            (key for key in ("state_dict_ema", "model_ema") if isinstance(loaded, dict) and loaded.get(key)), None
        )
        state = state_dict_of(loaded, str(checkpoint), averaged)
        load_whole(model, {"state_dict": state}, str(checkpoint))
        model.stated_classes = stated_classes(loaded, str(checkpoint))
    given = (cfg.get("test_dataloader") or cfg.get("val_dataloader") or {}).get("dataset", {}).get("transform")
    transform = TRANSFORMS.build(given) if isinstance(given, dict) else own_transform(model)
    model = model.to(device_of(device)).eval().requires_grad_(False)
    if store is not None:
        read_pooled_from(model.network, store)
    return model, transform


def own_transform(model: nn.Module) -> EvalTransform:
    """The centre crop at the size that the model's weights or library state.

    Raises:
        InputError: Neither states one.
    """
    known = getattr(model, "_preprocess", None)
    if known is None or known.input_size is None:
        raise InputError(
            "expected the teacher's own resolution from its library or its weights' card, got none: give "
            "transform=frozen_det.EvalTransform(size=..., ...), or test_dataloader.dataset.transform in "
            "the teacher's config."
        )
    return EvalTransform(known.input_size, known.crop_ratio or 0.875, known.interpolation or "bicubic")


def label_pool(
    model: nn.Module,
    pool: Pool | Listing,
    out_dir,
    *,
    batch_size: int = 64,
    num_workers: int = 0,
    rank: int | None = None,
    world_size: int | None = None,
    part_size: int = PART_SIZE,
    transform=None,
    device=None,
    min_vector_confidence: float = 0.0,
    teacher: str | None = None,
    noise: bool = False,
    top_k: int | None = None,
    list_again: bool = False,
    log: Callable[[str], None] = print,
) -> LabelSummary:
    """Label this rank's parts of a pool; see :mod:`.label_files` for the files.

    Without other processes, or under torch.distributed, the labels are finished (:func:`finish_labels`) on return;
    processes that were started otherwise leave that to their caller, after the last.

    Args:
        model: An ``ImageClassifier``; it is put into eval mode.
        pool: See :func:`~.pool.open_pool`; it is listed in ``out_dir/listing``. Or a listing that is there.
        out_dir: Folder of the parts.
        batch_size: Images in a forward pass.
        num_workers: Processes that read and decode beside this one.
        rank, world_size: Of this process; by default those of torch.distributed.
        part_size: Files in a part, for folders and lists; of a listing its own is taken.
        transform: PIL image (RGB) in, (3, H, W) uint8 of one size out. By default :func:`own_transform`.
        device: By default where the model is.
        min_vector_confidence: Soft vectors are kept from this confidence on, 0..1.
        teacher: Text that identifies the teacher in the parts' inputs; by default the digest of its weights.
        noise: Dropout and stochastic depth act while it labels: the paper's ablation of a noised teacher. Draws of
            `transform` follow from the image, of both from the batch, so that another `batch_size` labels again. Norms
            keep their running statistics.
        top_k: Classes of a soft label, 1..C, kept in the rows with one number for the rest; see :mod:`.top_k`. None
            keeps whole vectors, in files of their own.
        list_again: See :func:`~.listings.listing.open_listing`.
        log: Takes lines about the listing.

    Raises:
        InputError: A bad argument, a source without images or one that has lost some, logits that are not finite.
    """
    known_rank, known_size = get_dist_info()
    rank, world_size = known_rank if rank is None else rank, known_size if world_size is None else world_size
    check_settings(model, batch_size, num_workers, min_vector_confidence, top_k, rank, world_size)
    import_pyarrow()
    model = as_labelling(model, noise)
    device = torch.device(device or next(model.parameters()).device)
    transform = transform or own_transform(model)
    out_dir = Path(out_dir)
    made = made_by(model, transform, min_vector_confidence, teacher, batch_size if noise else None, top_k)
    parts, inputs = planned(pool, out_dir, part_size, made, list_again, log)
    own = parts[rank::world_size]
    todo = to_do(own, inputs, out_dir)
    counts = label_parts(
        model, todo, out_dir, inputs, batch_size, num_workers, transform, device, min_vector_confidence, noise, top_k
    )
    if is_distributed():
        barrier()
    if rank == 0 and (is_distributed() or world_size == 1):
        finish_labels(out_dir)
    if is_distributed():
        barrier()
    return LabelSummary(len(own), len(own) - len(todo), *counts)


def check_settings(model, batch_size, num_workers, min_vector_confidence, top_k, rank=0, world_size=1) -> None:
    """Refuse arguments of :func:`label_pool` that cannot be.

    Raises:
        InputError: One of them is out of range.
    """
    if batch_size < 1 or num_workers < 0 or not 0 <= rank < world_size or not 0 <= min_vector_confidence <= 1:
        raise InputError(
            f"expected batch_size from 1 on, num_workers from 0 on, rank below world_size and "
            f"min_vector_confidence in 0..1, got {batch_size}, {num_workers}, {rank} of {world_size}, "
            f"{min_vector_confidence} (labelling)."
        )
    if top_k is not None and not 1 <= top_k <= model.num_classes:
        raise InputError(
            f"expected top_k from 1 to {model.num_classes}, the teacher's classes, or None for whole vectors, got "
            f"{top_k} (labelling)."
        )


def finish_labels(out_dir) -> dict:
    """Check that all parts are there and belong together; write ``labels.json`` and ``undecodable.txt``.

    Where they are not, there is no ``labels.json`` afterwards.

    Returns:
        What ``labels.json`` holds: num_parts, num_images, num_undecodable, num_vectors, num_classes, inputs (a hash),
        top_k where there is one, and digest, of all rows, where every part has its own.

    Raises:
        UnfinishedError: A part is missing or of other inputs: some rank has not ended.
        InputError: No labelling has begun in the folder.
    """
    pa, out_dir = import_pyarrow(), Path(out_dir)
    try:
        plan = json.loads((out_dir / PLAN).read_text(encoding="utf-8"))["inputs"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"expected labels of a pool in {out_dir}, got no {PLAN} ({error}); label the pool first."
        ) from error
    # Of an earlier labelling, or of these parts. Before they are looked at: a process that finds one of another's
    # missing, and is overtaken by it, must not remove what that one then writes.
    (out_dir / LABELS).unlink(missing_ok=True)
    found = [part_record(out_dir, number) for number in range(len(plan))]
    odd = [number for number, record in enumerate(found) if record is None or record["inputs"] != plan[number]]
    if odd:
        raise UnfinishedError(
            f"expected {len(plan)} whole parts in {out_dir}, got {len(plan) - len(odd)}; missing or made "
            f"from something else: {odd[:5]}. Run the labelling again: what is whole stays."
        )
    summary = dict(
        num_parts=len(plan),
        num_classes=found[0]["num_classes"],
        inputs=hash_of(" ".join(plan)),
        **{key: sum(record[key] for record in found) for key in ("num_images", "num_undecodable", "num_vectors")},
    )
    with (
        replacing(out_dir / UNDECODABLE) as partial,
        open(partial, "w", encoding="utf-8", errors="surrogateescape") as file,
    ):
        for number in (number for number, record in enumerate(found) if record["num_undecodable"]):
            rows = pa.parquet.read_table(
                rows_path(out_dir, number), columns=["path", "key", "error"], filters=[("decodes", "==", False)]
            )
            file.writelines(f"{row['path']} {row['key']}: {row['error']}\n" for row in rows.to_pylist())
    if found[0].get("top_k"):
        summary["top_k"] = found[0]["top_k"]
    if all("digest" in record for record in found):
        summary["digest"] = hash_of(" ".join(record["digest"] for record in found))
    write_json(out_dir / LABELS, summary)
    return summary


def label_parts(
    model,
    todo: list[Part],
    out_dir: Path,
    inputs: dict[int, str],
    batch_size: int,
    num_workers: int,
    transform,
    device: torch.device,
    bound: float,
    noise: bool,
    top_k: int | None,
) -> tuple[int, int]:
    """Label whole parts in this process, see :func:`label_pool`; (images, undecodable images) among them."""
    stream = DataLoader(
        PartImages(todo, batch_size, transform, noise),
        batch_size=None,
        num_workers=num_workers,
        pin_memory=device.type == "cuda",
        prefetch_factor=4 if num_workers else None,
    )
    counts = np.zeros(2, np.int64)
    under_way: dict[int, tuple[ExitStack, PartWriter]] = {}

    def write(batch: dict, logits: Tensor | None) -> None:
        number = batch["part"]
        if number not in under_way:
            stack = on_error.enter_context(ExitStack())
            under_way[number] = (
                stack,
                stack.enter_context(PartWriter(out_dir, number, model.num_classes, inputs[number], top_k)),
            )
        stack, writer = under_way[number]
        writer.add(batch["rows"], _labelled(batch["rows"], logits, bound, top_k))
        if batch["last"]:
            del under_way[number]
            stack.close()
            counts[:] += writer.record["num_images"], writer.record["num_undecodable"]

    with ExitStack() as on_error, torch.inference_mode():
        pending = None
        for batch in stream:
            with seeded(seed_of(batch["rows"][0])) if noise else nullcontext():
                logits = None if batch["images"] is None else logits_of(model, batch["images"], device)  # (n, C)
            # The batch before is written while an accelerator works on this one.
            if pending is not None:
                write(*pending)
            pending = batch, logits
        if pending is not None:
            write(*pending)
    return int(counts[0]), int(counts[1])


def as_labelling(model: nn.Module, noise: bool) -> nn.Module:
    """In eval mode; with `noise` in training mode, but for the norms: what drops, drops."""
    model.train(noise)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):
            module.eval()
    return model


def logits_of(model: nn.Module, images: Tensor, device: torch.device) -> Tensor:  # (n, 3, H, W) uint8
    data = model.data_preprocessor(dict(inputs=images.to(device, non_blocking=True), data_samples=None))
    return model(data["inputs"], mode="tensor").float()  # (n, C)


def _labelled(
    rows: list[dict], logits: Tensor | None, bound: float, top_k: int | None
) -> np.ndarray | TopLabels | None:
    """Put label and confidence into the rows; soft labels of those that reach the bound: (m, C) float32, or top k."""
    for row in rows:
        row["has_vector"] = False
    if logits is None:
        return None
    best, labels = logits.max(1)
    below = logits - best[:, None]
    confidences = 1 / below.exp().sum(1)
    if not bool(torch.isfinite(confidences).all()):
        raise InputError(
            f"expected finite logits of the teacher, got others for {rows[0]['path']} or one of the "
            f"{len(rows) - 1} images after it; look at the teacher's weights."
        )
    kept = confidences >= bound
    decoded = (row for row in rows if row["decodes"])
    for row, label, confidence, keep in zip(decoded, labels.tolist(), confidences.tolist(), kept.tolist(), strict=True):
        row["label"], row["confidence"], row["has_vector"] = label, confidence, keep
    if not bool(kept.all()):
        below, labels = below[kept], labels[kept]
    return below.cpu().numpy() if top_k is None else top_labels(below, labels, top_k)


def made_by(
    model: nn.Module, transform, bound: float, teacher: str | None, noised_batch: int | None, top_k: int | None
) -> str:
    """Everything but the files that a part's content follows from, as text; `noised_batch` is the batch size of a
    noised teacher, whose dropout is drawn for a batch."""
    if teacher is None:
        teacher = fingerprint({**model.state_dict(), **dict(model.data_preprocessor.named_buffers())}).digest
    steps = (
        f"{type(transform).__name__} {sorted(vars(transform).items())}"
        if hasattr(transform, "__dict__")
        else repr(transform)
    )
    made = json.dumps(["labels 1", teacher, WITHOUT_PLACE.sub("", steps), bound])
    made += f" noise {noised_batch}" if noised_batch else ""
    return made + (f" top {top_k}" if top_k else "")
