"""Advice as text: the scores, what a step costs, the command for each way, and what is not known."""

from ..benchmarks.measurement import number, processor, text_table
from .advice import SCORES, Advice, Row, not_told_apart
from .costs import WAYS, command


def advice_text(advice: Advice, program: str = "frozen-det") -> str:
    """All that was found, for people.

    Args:
        advice: of :func:`.advice.advise`.
        program: how commands begin.
    """
    parts = [_head(advice), _scores(advice), _order(advice)]
    if any(row.costs for row in advice.rows):
        parts.append(_costs(advice))
    parts.append("\n".join(f"cannot tell: {words}." for words in advice.cannot_tell))
    parts.append(_commands(advice, program))
    return "\n\n".join(part for part in parts if part)


def _head(advice: Advice) -> str:
    return (
        f"{advice.data}: {advice.num_seen} of {advice.num_images} training images seen at {advice.size} px, "
        f"{advice.num_objects} objects, {advice.num_classes} class{'es' * (advice.num_classes != 1)}"
    )


def _scores(advice: Advice) -> str:
    rows = [
        [
            row.name,
            row.architecture,
            str(row.values),
            *(
                text
                for name in SCORES
                for text in (
                    (f"{row.scores[name]:.3f}", number(row.spread(name), ".3f")) if name in row.scores else ("-", "-")
                )
            ),
        ]
        for row in advice.rows
    ]
    return text_table("backbone|network|values|" + "|".join(f"{name}|±" for name in SCORES), rows, left=2)


def _order(advice: Advice) -> str:
    if len(advice.rows) < 2:
        return ""
    first, told_by = advice.rows[0], advice.told_by
    lines = [f"Best first, by the mean rank in {', '.join(told_by)}; more is better in all."]
    for row in advice.rows[1:]:
        alike = [name for name in not_told_apart(first, row) if name in told_by]
        if alike:
            lines.append(f"{first.name} and {row.name} cannot be told apart by {', '.join(alike)}.")
    return "\n".join(lines)


def _costs(advice: Advice) -> str:
    rows = []
    for row in advice.rows:
        for way in _ways(row):
            cost = row.costs.get(way)
            cells = ["-"] * 6
            if cost is not None:
                cells = [
                    f"{cost.trained_params / 1e6:.2f}",
                    f"{cost.seconds:.2f}",
                    f"{cost.spread / 2:.2f}",
                    f"{cost.cpu_seconds:.2f}",
                    f"{cost.kept_mib:.0f}",
                    f"{advice.updates * cost.seconds / 3600:.1f}",
                ]
            rows.append([row.name, way, *cells])
    where = processor(advice.device.startswith("cuda"))
    head = (
        f"A training step of Faster R-CNN, {advice.batch} images of {advice.size} px, {where}; hours are of "
        f"{advice.updates} steps,\nwithout decoding, augmentation and validation:\n"
    )
    return head + text_table("backbone|way|trains M|s a step|±|CPU s|kept MiB|hours", rows, left=2)


def _commands(advice: Advice, program: str) -> str:
    lines = [
        f"  {program} {command(advice.data, row.name, way, row.adapters)}" for row in advice.rows for way in _ways(row)
    ]
    return "\n".join(["To train:", *lines])


def _ways(row: Row) -> list[str]:
    return [way for way in WAYS if way != "adapters" or row.adapters]
