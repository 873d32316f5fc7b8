"""A table of samples holds what the samples hold, and other processes map it."""

import multiprocessing
import pickle
from pathlib import Path

import numpy as np

from pocketsight.train.datasets.detection_sample import NO_BOXES, DetectionSample
from pocketsight.train.datasets.sample_table import SampleTable

BOXES = np.array([[1, 2, 3, 4.5], [5, 6, 7, 8]], np.float32)
SAMPLES = [
    DetectionSample(Path("a/x.jpg"), BOXES, BOXES[:1], "g", (60, 80), "yard", (1, -1)),
    DetectionSample(Path("/b/ü\udcff.png"), NO_BOXES, mask_states=()),  # a name that is not UTF-8
    DetectionSample(Path("c.jpg"), BOXES[1:], NO_BOXES, mask_states=(0,)),
]


def as_tuple(sample: DetectionSample) -> tuple[object, ...]:
    boxes = sample.boxes.tolist(), sample.ignored_boxes.tolist()
    return sample.path, *boxes, sample.group, sample.size, sample.source, sample.mask_states


def paths(table: SampleTable) -> list[str]:
    return [sample.path.name for sample in table]


def test_it_gives_back_the_samples() -> None:
    table = SampleTable.from_samples(SAMPLES)
    assert len(table) == 3 and [as_tuple(sample) for sample in table] == [as_tuple(sample) for sample in SAMPLES]
    assert as_tuple(table[-1]) == as_tuple(SAMPLES[-1])
    assert not SampleTable.from_samples([])


def test_a_selection_keeps_counts_and_states() -> None:
    table = SampleTable.from_samples(SAMPLES)[::-1].select(np.array([True, False, True]))
    assert paths(table) == ["c.jpg", "x.jpg"]
    assert table.object_counts.tolist() == [1, 2] and table.ignored_counts.tolist() == [0, 1]
    states, _, owners = table.object_facts()
    assert states.tolist() == [0, 1, -1] and owners.tolist() == [0, 1, 1]
    assert list(table.group_keys()) == ["c.jpg", "g"]


def test_another_process_maps_the_columns_of_a_small_pickle() -> None:
    many = SampleTable.from_samples(SAMPLES * 2_000)
    assert len(pickle.dumps(many)) < 40_000
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(paths, (many[1:3],)) == ["ü\udcff.png", "c.jpg"]
    copy = pickle.loads(pickle.dumps(many))
    assert isinstance(copy.columns.boxes, np.memmap)
    file = Path(many.columns.file)
    assert file.exists()
    del many
    assert not file.exists()
    assert as_tuple(copy[3]) == as_tuple(SAMPLES[0])  # what is mapped stays
