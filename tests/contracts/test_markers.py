"""Slices of the tests can be chosen: who needs real images or several processes is marked."""

import pytest


def test_who_asks_for_real_images_is_marked_so(request):
    asking = [item for item in request.session.items if "real_data" in getattr(item, "fixturenames", ())]
    assert all(item.get_closest_marker("real_data") for item in asking)


@pytest.mark.usefixtures("real_data")
def test_a_test_with_real_images_carries_the_mark_by_its_fixture(request):
    assert request.node.get_closest_marker("real_data")
