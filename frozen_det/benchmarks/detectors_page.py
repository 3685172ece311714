"""The page of the detectors' sweep in Markdown: counts, a line for each family, and the reason of each that fails."""

RUNS, DOES_NOT, NOT_COUNTED = "runs", "does not", "not counted"
# What to do about a stock config that does not run, where the reason does not say it.
_ONE_HOURGLASS = (
    "Its head learns from one map of each of two stacked hourglasses, and another backbone has one: "
    "bbox_head.num_feat_levels=1 with backbone.strides=(4,) runs on resnet18."
)
_REMEDIES = {
    "centripetalnet": _ONE_HOURGLASS,
    "cornernet": _ONE_HOURGLASS,
    "convnext": "Its backbone is mmpretrain's, which is not installed. timm's runs in cascade_rcnn's config: "
    "backbone.body=dict(type='timm', name='convnext_small').",
    "detectors": "Its neck takes the image beside the features and runs a backbone of its own on them again, so it "
    "runs on DetectoRS_ResNet alone. Take the config of cascade_rcnn or htc for another backbone.",
    "nas_fcos": "Its backbone.norm_cfg says eps=0, which torch refuses: eps=1e-5 runs, on all three backbones.",
    "queryinst": "It has losses. At random weights it predicts boxes wholly outside the image, and on a CPU the host "
    "pastes each mask into the part of the image around its box, which is empty there. Pasted into the whole image, as "
    "the host does on a GPU, it runs on all three backbones.",
    "ssd": "The host's head has losses and cannot predict. bbox_head.type='frozen_det.SSDHead', which is the same with "
    "that attribute, runs on all three backbones.",
    "tridentnet": "Its backbone gives three maps of an image in training mode alone, and a frozen one is in eval mode. "
    "test_branch_idx=-1, in backbone and roi_head, gives them always and it trains, but then the host predicts each "
    "image three times. To be measured it needs freeze=False, or another detector.",
}
_TITLES = {"wrapped": "own backbone, wrapped", "resnet18": "timm resnet18", "vit": "timm ViT"}


def page(rows: list[dict], bodies) -> str:
    """The page.

    Args:
        rows: of :func:`.detectors.sweep_family`.
        bodies: keys of the backbones that are shown.
    """
    import mmdet

    lines = [
        "# Every family of detectors, frozen",
        "",
        "Made by `frozen-det benchmark detectors`, with the stock "
        f"configs of mmdet {mmdet.__version__}. A family is a folder of its model zoo; the config with the "
        "shortest name represents it.",
        "",
        _HOW,
        "",
    ]
    lines += [f"- {_TITLES[body]}: **{passed} of {of}** run" for body in bodies for passed, of in [counts(rows, body)]]
    if "wrapped" in bodies:
        compared = [row["parity"] for row in rows if row["parity"] is not None]
        lines.append(
            f"- losses of the wrapped detector equal to those of mmdet's plain one, bit by bit: "
            f"**{sum(compared)} of {len(compared)}**"
        )
    lines += [
        "",
        _took(rows),
        "",
        "| family | config | px | " + " | ".join(_TITLES[body] for body in bodies) + " | equal losses |",
        "|---|---|---|" + "---|" * (len(bodies) + 1),
    ]
    counted = [row for row in rows if any(row[body]["status"] != NOT_COUNTED for body in bodies)]
    for row in counted:
        equal = {None: "", True: "yes", False: "no"}[row["parity"]]
        runs = ("yes" if row[body]["status"] == RUNS else "no" for body in bodies)
        lines.append(f"| {' | '.join([row['family'], row['config'], str(row['size'] or ''), *runs, equal])} |")
    return "\n".join([*lines, *_reasons(rows, bodies)])


def counts(rows: list[dict], body: str) -> tuple[int, int]:
    """How many of how many families run with a backbone; those of another kind are not counted."""
    counted = [row[body]["status"] for row in rows if row[body]["status"] != NOT_COUNTED]
    return counted.count(RUNS), len(counted)


_HOW = (
    "Each is built as the [README](../README.md) shows, at random weights, takes one training step on two "
    "synthetic images and predicts on one of them. It runs if the losses are finite, the decoder gets finite "
    "gradients, the backbone gets none, and the frozen digest is what it was. resnet18 and the ViT take the place "
    "of the stock backbone: what followed from that one is left out and filled in again, and the number of "
    "classes is 3 (1 where the stock detector has one, the teacher's where there is one). The ViT has one "
    "map, of stride 16; `frozen_det.SimpleFeaturePyramid` makes the strides that the detector needs. "
    "Samplers draw at most 64 regions an image, batches are not augmented, and synchronised norms are plain "
    "ones, since there is one process (`MMSyncBN` needs several and mmcv's compiled ops: write `BN`). Losses are "
    "compared with those of a plain detector whose backbone has the same weights, is in eval mode and does not train "
    "either: torch multiplies by weights that train in another order, which moves PVT's losses by 9e-6."
)


def _took(rows: list[dict]) -> str:
    seconds, cpu = (sum(row[key] for row in rows) for key in ("seconds", "cpu_seconds"))
    return (
        f"One family after another: {seconds:.0f} s, {cpu:.0f} s of processor time, at most "
        f"{max(row['peak_gib'] for row in rows):.1f} GiB."
    )


def _reasons(rows: list[dict], bodies) -> list[str]:
    """What does not run, why and what to do; backbones of one family that share a reason share a line."""
    lines = []
    for title, status in (("What does not run, and why", DOES_NOT), ("What is not counted", NOT_COUNTED)):
        told = []
        for row in rows:
            by_reason = {}
            for body in bodies:
                if row[body]["status"] == status:
                    by_reason.setdefault(row[body]["reason"], []).append(_TITLES[body])
            told += [
                f"- {row['family']}" + (f" ({', '.join(which)})" if len(which) < len(bodies) else "") + f": {reason}"
                for reason, which in by_reason.items()
            ]
            if status == DOES_NOT and by_reason and row["family"] in _REMEDIES:
                told[-1] = f"{told[-1].rstrip('.')}. {_REMEDIES[row['family']]}"
        if told:
            lines += ["", f"## {title}", "", *told]
    return lines
