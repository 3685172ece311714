"""Process time of one image's detections at score threshold 0: mmdet's `multiclass_nms`, and from the best candidates.

    python -m tests.models.layers.time_best_candidates --rounds 3

Regions lie around 25 objects, or anywhere; each round draws others.
"""

import argparse
import statistics
import time

import torch

from frozen_det.models.layers.best_candidates import best_of_classes, multiclass_nms

NMS = dict(type="nms", iou_threshold=0.5)
SIZE, OBJECTS = 1280, 25


def scene(seed: int, regions: int, classes: int, by_class: bool, spread: bool):
    """Boxes and scores as a box head gives them: background likely, one class likely for each object."""
    g = torch.Generator().manual_seed(seed)
    count = regions if spread else OBJECTS
    centres, sides = torch.rand(count, 2, generator=g) * SIZE, torch.rand(count, 2, generator=g) * 250 + 20
    whose = torch.randint(0, count, (regions,), generator=g)
    corners = centres[whose] - sides[whose] / 2 + torch.randn(regions, 2, generator=g) * 12
    boxes = torch.cat([corners, corners + sides[whose]], 1)
    if by_class:
        boxes = (boxes[:, None] + torch.randn(regions, classes, 4, generator=g) * 3).view(regions, -1)
    logits = torch.randn(regions, classes + 1, generator=g) * 1.5
    logits[:, -1] += 6
    logits[torch.arange(regions), torch.randint(0, classes, (count,), generator=g)[whose]] += 7
    return boxes.clamp(0, SIZE - 1), logits.softmax(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--regions", type=int, default=1000)
    parser.add_argument("--classes", type=int, default=1203)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for by_class in (False, True):
        for spread in (False, True):
            times = []
            for seed in range(args.rounds):
                given = scene(seed, args.regions, args.classes, by_class, spread)
                found = []
                for function in (multiclass_nms, best_of_classes):
                    begun = time.process_time()
                    found.append(function(*given, 0.0, NMS, 300))
                    times.append(time.process_time() - begun)
                assert all(torch.equal(a, b) for a, b in zip(*found, strict=True)), "the detections differ"
            ratios = [a / b for a, b in zip(times[::2], times[1::2])]
            print(
                f"boxes {'by class' if by_class else 'for all'}, {'anywhere' if spread else 'around objects'}: mmdet "
                f"{statistics.median(times[::2]):.2f} s, best {statistics.median(times[1::2]):.3f} s, ratio "
                f"{statistics.median(ratios):.0f} ({min(ratios):.0f} to {max(ratios):.0f})",
                flush=True,
            )


if __name__ == "__main__":
    main()
