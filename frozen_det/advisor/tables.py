"""Advice as text: the AP to expect of each choice beside its cost, the scores, the commands, and what is not known."""

from ..benchmarks.measurement import number, processor, text_table
from .advice import Advice, Choice
from .costs import BATCH, UPDATES, StepCost, command, decoder_words
from .probes import RATE
from .rows import SCORES, Row, not_told_apart


def advice_text(advice: Advice, program: str = "frozen-det") -> str:
    """All that was found, for people.

    Args:
        advice: of :func:`.advice.advise`.
        program: how commands begin.
    """
    parts = [_head(advice), _scores(advice), _order(advice), _choices(advice), _verdict(advice)]
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
            *((f"{row.probe.AP:.3f}", f"{row.probe.spread:.3f}") if row.probe else ("-", "-")),
        ]
        for row in advice.rows
    ]
    names = "|".join(f"{name}|±" for name in (*SCORES, "probe AP"))
    return text_table(f"backbone|network|values|{names}", rows, left=2)


def _order(advice: Advice) -> str:
    if len(advice.rows) < 2:
        return ""
    first, told_by = advice.rows[0], advice.told_by
    if not told_by:
        return "No score can be read of all backbones: they stand in the order in which they were given."
    lines = [f"Best first, by the mean rank in {', '.join(told_by)}; more is better in all."]
    for row in advice.rows[1:]:
        alike = [name for name in not_told_apart(first, row) if name in told_by]
        if alike:
            lines.append(f"{first.name} and {row.name} cannot be told apart by {', '.join(alike)}.")
    return "\n".join(lines)


def _listed(advice: Advice) -> list[tuple[Row, str, Choice | None]]:
    """Choices with an AP to expect, best first, then all others in the order of the rows."""
    found = {(one.row.name, one.way): one for one in advice.choices}
    others = [(row, way, None) for row in advice.rows for way in row.ways if (row.name, way) not in found]
    return [*((one.row, one.way, one) for one in advice.choices), *others]


def _choices(advice: Advice) -> str:
    rows = []
    for row, way, choice in _listed(advice):
        expected = ["-"] * 2
        if choice is not None:
            found = choice.expected
            expected = [f"{found.AP:.2f}", f"{found.low:.2f} to {found.high:.2f}"]
        rows.append([row.name, way, *expected, *_cost(row.costs.get(way))])
    where = processor(advice.device.startswith("cuda"))
    head = (
        f"What to expect of {UPDATES} updates with the study's light decoder (Faster R-CNN, FPN of 64 channels), "
        f"{BATCH} images of\n{advice.size} px each: AP and its 80 % interval. A step here, {where}; minutes are of all "
        f"updates,\nwithout decoding, augmentation and validation:\n"
    )
    return head + text_table("backbone|way|AP|interval|trains M|s a step|±|CPU s|kept MiB|minutes", rows, left=2)


def _cost(cost: StepCost | None) -> list[str]:
    if cost is None:
        return ["-"] * 6
    return [
        f"{cost.trained_params / 1e6:.2f}",
        f"{cost.seconds:.2f}",
        f"{cost.spread / 2:.2f}",
        f"{cost.cpu_seconds:.2f}",
        f"{cost.kept_mib:.0f}",
        f"{UPDATES * cost.seconds / 60:.1f}",
    ]


def _verdict(advice: Advice) -> str:
    if len(advice.choices) < 2:
        return ""
    first = advice.choices[0]
    alike = [f"{one.row.name} {one.way}" for one in advice.choices if not one.told_apart]
    others = len(advice.choices) - 1
    lines = [
        f"First: {first.row.name} {first.way}; {others - len(alike)} of {others} others are expected to be worse (80 % "
        "each, by the interval\nof the difference; of many some are so by chance)."
    ]
    if alike:
        lines.append(f"cannot tell from the first: {'; '.join(alike)}.")
    return "\n".join(lines)


def _commands(advice: Advice, program: str) -> str:
    lines = [
        "To train as the study did (leave LIGHT out for the whole decoder). These runs keep the checkpoint that is "
        "best\non the validation images; the study tests the last one, and so the AP to expect is of that.",
        f'  LIGHT="{decoder_words()}"',
    ]
    for row, way, _ in _listed(advice):
        rate = advice.rates.get(way, RATE)
        words = command(advice.data, row.name, way, advice.size, advice.num_images, rate, "$LIGHT")
        lines.append(f"  {program} {words}")
    return "\n".join(lines)
