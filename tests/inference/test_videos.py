"""Videos: every frame with its number and time; what is missing is told."""

import cv2
import numpy as np
import pytest
from PIL import Image

from frozen_det.errors import InputError
from frozen_det.inference.videos import Video, VideoWriter


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """12 frames of 320 x 240 px at 10 a second, each of a grey with noise."""
    path = tmp_path_factory.mktemp("videos") / "grey.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (320, 240))
    noise = np.random.default_rng(0).integers(0, 20, (240, 320, 3))
    for number in range(12):
        writer.write((20 * number + noise).astype(np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize(("stride", "frames"), [(1, range(12)), (5, [0, 5, 10]), (20, [0])])
def test_frames_come_with_their_number_and_time(video, stride, frames):
    opened = Video(video, stride)
    found = [(one.frame, one.time_s, int(one.bgr().mean() // 20)) for one in opened]
    assert found == [(number, pytest.approx(number / 10), number) for number in frames]
    assert (len(opened), opened.fps, opened.stated, opened.read, opened.fault) == (len(frames), 10, 12, 12, None)


def test_a_video_that_is_cut_off_gives_what_is_there_and_says_so(video, tmp_path):
    (tmp_path / "cut.avi").write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    opened = Video(tmp_path / "cut.avi")
    assert len(list(opened)) == opened.read and 3 <= opened.read <= 8
    with pytest.raises(InputError, match=f"cut.avi ends after {opened.read} of the 12 frames"):
        opened.require_whole()


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "does not exist"), (b"", "it is empty or no file"), (b"text " * 100, "cannot be opened: it is damaged")],
)
def test_what_is_no_video_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(InputError, match=message):
        Video(tmp_path / "a.mp4")


@pytest.mark.parametrize("stride", [0, 1.5, True])
def test_a_stride_that_is_none_is_refused(video, stride):
    with pytest.raises(InputError, match=f"from 1 on, got {stride}"):
        Video(video, stride)


def test_a_written_video_has_the_frames_size_and_rate(tmp_path):
    with VideoWriter(tmp_path / "a.mp4", 12.5) as writer:
        for number in range(5):
            writer.add(Image.new("RGB", (64, 48), (200, 40 * number, 0)))
    opened = Video(tmp_path / "a.mp4")
    means = [one.rgb().mean(axis=(0, 1)) for one in opened]
    assert opened.fps == 12.5 and opened.fault is None
    np.testing.assert_allclose(means, [[200, 40 * number, 0] for number in range(5)], atol=6)


def test_a_video_where_none_can_be_written_is_refused(tmp_path):
    with pytest.raises(InputError, match="opens no MP4 file there"), VideoWriter(tmp_path / "no" / "a.mp4", 5) as one:
        one.add(Image.new("RGB", (320, 240)))
