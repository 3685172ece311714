"""Labels carry the digest of their rows: a start compares that, and reads no part."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from frozen_det.engine.runner import stages
from frozen_det.engine.runner.stages import Stages
from frozen_det.upstream.noisy_student.label_files import part_record, rows_path
from frozen_det.upstream.noisy_student.label_stages import select_stage
from frozen_det.upstream.noisy_student.labelling import finish_labels
from tests.upstream.label_pools import write_parts

LABELS, SURE = [0, 1, 2, 3, 0, 1], [0.9, 0.8, 0.7, 0.9, 0.8, 0.7]


class Loop:
    """What a stage needs of a loop, and what it read to decide."""

    def __init__(self, work_dir, monkeypatch):
        self.work_dir, self.lines, self.read = Path(work_dir), [], []
        self.log = self.lines.append
        digest = stages.file_digest
        monkeypatch.setattr(stages, "file_digest", lambda path: self.read.append(Path(path).name) or digest(path))

    def select(self, labels):
        self.lines.clear(), self.read.clear()
        self.stage = Stages(self.work_dir, memory="loop.json", log=self.log)
        settings = dict(min_confidence=0.5, per_class=1, seed=0)
        found = select_stage(self, "select", labels, self.work_dir / "manifest", settings, [], list("abcd"))
        del self.stage  # and with it the work directory's lock
        return found["manifest"]


def without_digest(folder):
    """As a version before wrote them."""
    for number in (0, 1):
        table = pq.read_table(rows_path(folder, number))
        record = {key: value for key, value in part_record(folder, number).items() if key != "digest"}
        pq.write_table(
            table.replace_schema_metadata({b"frozen_det": json.dumps(record).encode()}), rows_path(folder, number)
        )
    finish_labels(folder)
    return folder


def test_a_parts_digest_follows_its_rows_alone(tmp_path):
    one, same, other = (
        write_parts(tmp_path / name, LABELS, sure, part_size=3)
        for name, sure in (("one", SURE), ("same", SURE), ("other", [*SURE[:5], 0.71]))
    )
    digests = [[part_record(folder, number)["digest"] for number in (0, 1)] for folder in (one, same, other)]
    assert digests[0] == digests[1] and digests[0][0] == digests[2][0] and digests[0][1] != digests[2][1]
    assert len(set(digests[0])) == 2 and len(digests[0][0]) == 32
    assert finish_labels(one)["digest"] == finish_labels(same)["digest"] != finish_labels(other)["digest"]


def test_a_start_reads_no_part_and_other_rows_select_again(tmp_path, monkeypatch):
    labels, loop = write_parts(tmp_path / "labels", LABELS, SURE, part_size=3), Loop(tmp_path, monkeypatch)
    manifest = loop.select(labels)
    assert not [name for name in loop.read if name.startswith("part-")] and "labels.json" in loop.read
    loop.select(labels)
    assert "reused" in loop.lines[-1] and not [name for name in loop.read if name.startswith("part-")]
    write_parts(labels, LABELS, [0.9, 0.8, 0.7, 0.9, 0.8, 0.95], part_size=3)
    loop.select(labels)
    assert not any("reused" in line for line in loop.lines)
    assert np.isclose(max(row["confidence"] for row in pq.read_table(manifest).to_pylist()), 0.95)


def test_labels_of_before_are_compared_by_their_bytes(tmp_path, monkeypatch):
    labels = without_digest(write_parts(tmp_path / "labels", LABELS, SURE, part_size=3))
    assert "digest" not in json.loads((labels / "labels.json").read_text())
    loop = Loop(tmp_path, monkeypatch)
    loop.select(labels)
    assert {"part-000000.parquet", "part-000001.parquet"} <= set(loop.read)
    loop.select(labels)
    assert "reused" in loop.lines[-1]
