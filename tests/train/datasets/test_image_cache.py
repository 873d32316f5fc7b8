"""The cache of decoded images and the shared memory below it, with real worker processes."""

import multiprocessing
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pocketsight.train.datasets.augmentation import place_boxes
from pocketsight.train.datasets.detection import read_detection_dataset
from pocketsight.train.datasets.detection_batches import DetectionBatches
from pocketsight.train.datasets.image_cache import ImageCache, make_image_cache
from pocketsight.train.datasets.sample_table import SampleTable
from pocketsight.train.recipe import DETECTOR_RECIPE
from tests.support.images import DETECTOR, labelme, save, scene


def put_and_die(cache: ImageCache) -> None:
    cache.put(1, scene(1))
    os.kill(os.getpid(), signal.SIGKILL)


def test_an_image_of_a_killed_process_stays_for_the_others() -> None:
    cache = ImageCache(3, 1_000_000)
    process = multiprocessing.get_context("spawn").Process(target=put_and_die, args=(cache,))
    process.start()
    process.join()
    image = cache.get(1)
    assert process.exitcode == -signal.SIGKILL
    assert image is not None and (image == scene(1)).all()
    assert cache.get(0) is None
    with pytest.raises(ValueError, match="read-only"):
        image[0, 0] = 1


def test_a_full_cache_keeps_what_it_has() -> None:
    one, two = scene(1), scene(2)
    cache = ImageCache(2, one.nbytes + 10)
    cache.put(0, one)
    cache.put(1, two)
    cache.put(0, two)
    assert (cache.get(0) == one).all() and cache.get(1) is None  # type: ignore[union-attr]


def test_the_memory_is_freed_with_the_cache() -> None:
    descriptors = len(os.listdir("/proc/self/fd"))
    cache = make_image_cache(5)
    assert cache.capacity > 1_000_000
    del cache
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_batches_are_the_same_with_a_cache_and_without(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        labelme(tmp_path, name, [[10, 10], [60, 50]])
    samples = SampleTable.from_samples(read_detection_dataset(tmp_path).splits["train"])
    plain = DetectionBatches(samples, DETECTOR, DETECTOR_RECIPE)
    cached = DetectionBatches(samples, DETECTOR, DETECTOR_RECIPE, cache=ImageCache(samples.number_count, 40_000))
    for step in (0, 1, 0):
        assert (plain(step).images == cached(step).images).all()
        assert (plain(step).targets == cached(step).targets).all()
    assert cached.cache
    assert [cached.cache.get(n) is not None for n in range(3)].count(True) == 2  # the third did not fit


@pytest.mark.parametrize("ending", [".jpg", ".png"])
def test_a_large_image_is_read_smaller_and_its_boxes_fit(tmp_path: Path, ending: str) -> None:
    image = np.zeros((960, 1280, 3), np.uint8)
    image[300:500, 400:600] = 255
    save(tmp_path / "images" / f"a{ending}", image)
    labelme(tmp_path, "a", [[400, 300], [600, 500]], with_picture=False)
    label = tmp_path / "labels" / "a.json"
    label.write_text(label.read_text().replace('"imageWidth": 80', '"imageWidth": 1280').replace(": 60}", ": 960}"))
    samples = SampleTable.from_samples(read_detection_dataset(tmp_path).splits["train"])
    batches = DetectionBatches(samples, DETECTOR, replace(DETECTOR_RECIPE, rotation_prob=0.0))
    assert batches.reduction((960, 1280)) == 2  # 0.35 of the width is 448 px, more than 2 x 128
    assert batches.read(samples[0]).shape == (480, 640, 3)
    rng, seen = np.random.default_rng(0), 0
    for _ in range(30):
        crop, placement = batches.crop(samples[0], batches.image_size, rng)
        ((boxes, *_),) = place_boxes([placement])
        for left, top, right, bottom in boxes.round().astype(int):
            seen += 1
            assert crop[top + 3 : bottom - 3, left + 3 : right - 3].min(initial=255) > 150
    assert seen > 10
