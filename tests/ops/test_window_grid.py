"""Windows along an axis: they cover it, and what is kept of them is the axis, once."""

from hypothesis import given
from hypothesis import strategies as st

from frozen_det.ops.window_grid import WindowSpan, window_spans


def test_an_axis_that_fits_is_one_window():
    assert window_spans(5, 8, 3) == [WindowSpan(0, 5, 0, 5)]
    assert window_spans(8, 8, 3) == [WindowSpan(0, 8, 0, 8)]


def test_without_overlap_windows_stand_side_by_side_and_the_last_reaches_back():
    assert window_spans(8, 4) == [WindowSpan(0, 4, 0, 4), WindowSpan(4, 8, 4, 8)]
    assert window_spans(9, 4) == [WindowSpan(0, 4, 0, 4), WindowSpan(4, 8, 4, 6), WindowSpan(5, 9, 6, 9)]


def test_an_overlap_is_shared_at_its_middle():
    assert window_spans(10, 6, 2) == [WindowSpan(0, 6, 0, 5), WindowSpan(4, 10, 5, 10)]


@given(length=st.integers(1, 200), size=st.integers(1, 60), share=st.floats(0, 0.99))
def test_kept_parts_are_the_axis_once_and_lie_inside_their_windows_with_context(length, size, share):
    overlap = int(share * size)
    spans = window_spans(length, size, overlap)
    assert [cell for s in spans for cell in range(s.keep_start, s.keep_stop)] == list(range(length))
    for s in spans:
        assert s.stop - s.start == min(size, length)
        assert s.keep_start == 0 or s.keep_start - s.start >= overlap // 2
        assert s.keep_stop == length or s.stop - s.keep_stop >= overlap // 2
        assert s.keep_start < s.keep_stop
