"""Pictures of intervals and of ranks, read back from their SVG."""

import re

from frozen_det.pages.plots import COLORS, Curve, Interval, Plot, draw_intervals_svg, draw_ranks_svg, draw_svg


def words(svg):
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def test_an_interval_is_filled_where_it_leaves_zero_out():
    above, below, open_ = Interval(2.0, 1.0, 3.0), Interval(-2.0, -3.0, -1.0), Interval(0.5, -1.0, 2.0)
    rows = [("first", [above, open_]), ("second", [open_, None]), ("third", [None, below])]
    svg = draw_intervals_svg(rows, ["one", "two"], "points", "p")
    assert {"first", "second", "one", "two", "points"} <= set(words(svg))
    # Marks: four values, two of them open, and two of the legend.
    fills = re.findall(r'<use [^>]*style="fill: (#\w+); stroke: #\w+[^"]*"', svg)
    assert sorted(fills) == sorted([COLORS[0], "#ffffff", "#ffffff", COLORS[1], COLORS[0], COLORS[1]])


def test_no_two_curves_of_a_plot_are_alike():
    count = 2 * len(COLORS) + 1
    svg = draw_svg(Plot([Curve(f"c{one}", [0, 1], [one, one + 1]) for one in range(count)], "x", "y"), "p")
    styles = re.findall(r'<path d="[^"]*" clip-path="[^"]*" style="([^"]*stroke: #\w+[^"]*)"', svg)
    assert len({one for one in styles if any(color in one.lower() for color in map(str.lower, COLORS))}) == count


def test_ranks_are_in_order_with_a_bar_for_each_group():
    means = {"worst": 2.75, "best": 1.25, "middle": 2.0}
    svg = draw_ranks_svg(means, 1.6, [["best", "middle"], ["middle", "worst"]], "p")
    found = words(svg)
    assert [one for one in found if one in means] == ["best", "middle", "worst"]
    assert [one for one in found if "." in one] == ["1.2", "2.0", "2.8", "critical difference 1.6"]
    bars = re.findall(r"stroke-width: 2.4", svg)
    assert len(bars) == 2
