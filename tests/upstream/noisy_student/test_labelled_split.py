import pytest

from frozen_det.errors import InputError
from frozen_det.upstream.image_records import read_list
from frozen_det.upstream.noisy_student.labelled_split import write_split

from ..image_sets import write_folder


def lines(path):
    return path.read_text().splitlines()


def test_as_many_of_each_class_are_labelled_and_the_rest_is_the_pool(tmp_path):
    root = write_folder(tmp_path / "data", dict(ash=9, birch=7, cedar=5))
    files = write_split(tmp_path / "split", root, per_class=3, seed=1)
    records = read_list(files.labelled, classes=str(files.classes))
    assert records.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3 and records.classes == ("ash", "birch", "cedar")
    own = {line.rpartition(" ")[0] for line in lines(files.labelled)}
    rest = lines(files.pool)
    assert len(rest) == len(set(rest)) == 12 and not own & set(rest)


def test_the_draw_follows_from_the_seed_and_the_pool_may_be_smaller(tmp_path):
    root = write_folder(tmp_path / "data", dict(ash=9, birch=7, cedar=5))
    drawn = [
        lines(write_split(tmp_path / str(i), root, per_class=3, seed=seed).labelled) for i, seed in enumerate((4, 4, 5))
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(lines(write_split(tmp_path / "few", root, per_class=3, pool_images=4).pool)) == 4


def test_more_than_there_are_is_refused(tmp_path):
    root = write_folder(tmp_path / "data", dict(ash=4, birch=2))
    with pytest.raises(InputError, match="at least 3 images of class 'birch'.*got 2"):
        write_split(tmp_path, root, per_class=3)
    with pytest.raises(InputError, match="1 to 2 images for the pool"):
        write_split(tmp_path, root, per_class=2, pool_images=3)
