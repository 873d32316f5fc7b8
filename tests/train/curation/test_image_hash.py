"""What is known of a picture without its labels, and which pictures look alike."""

from pathlib import Path

import cv2
import numpy as np

from pocketsight.device.vision.image import read_image
from pocketsight.device.vision.resize import resize
from pocketsight.train.curation.image_hash import (
    NEAR_DUPLICATE_BITS,
    Fingerprint,
    first_earlier_match,
    first_match,
    near_duplicate_groups,
    read_fingerprint,
    read_fingerprints,
    unpack_hashes,
)
from tests.support.images import save, scene


def test_versions_of_a_picture_are_alike_and_others_are_not(tmp_path: Path) -> None:
    whole = scene(0, (240, 320))
    versions = {
        "plain": whole,
        "half": resize(whole, (120, 160)),
        "dark": (whole * 0.75).astype(np.uint8),
        "grey": np.repeat(whole.mean(-1, keepdims=True).astype(np.uint8), 3, axis=-1),
        "cut": whole[4:-4, 4:-4],
        "blurred": np.asarray(cv2.GaussianBlur(whole, (5, 5), 0), np.uint8),
    }
    paths = [save(tmp_path / f"{name}.jpg", image, quality=70) for name, image in versions.items()]
    paths += [save(tmp_path / f"{n}.jpg", scene(n, (240, 320))) for n in range(1, 80)]
    prints = list(read_fingerprints(paths, workers=2))
    assert [p.path for p in prints] == paths and prints[3].is_gray and not prints[0].is_gray
    assert near_duplicate_groups(prints) == [[0, 1, 2, 3, 4, 5]]


def test_hashes_are_compared_whatever_block_they_are_in() -> None:
    rng = np.random.default_rng(0)
    hashes = [rng.bytes(32) for _ in range(4200)]
    hashes[4150] = hashes[3]
    flipped = bytearray(hashes[600])
    for n in range(NEAR_DUPLICATE_BITS // 8 + 1):
        flipped[n] ^= 0xFF
    hashes[20] = bytes(flipped)  # 8 bits too many
    flipped[0] ^= 0xFF
    hashes[4199] = bytes(flipped)  # within NEAR of both
    bits = unpack_hashes(hashes)
    assert {n: m for n, m in enumerate(first_earlier_match(bits)) if m >= 0} == {4150: 3, 4199: 20}
    assert {n: m for n, m in enumerate(first_match(bits[600:], bits[:600])) if m >= 0} == {
        4150 - 600: 3,
        4199 - 600: 20,
    }
    assert first_match(bits[:5], bits[4100:], 0)[3] == 50
    prints = [Fingerprint(Path(str(n)), perceptual_hash=value) for n, value in enumerate(hashes)]
    assert near_duplicate_groups([*prints, Fingerprint(Path("unread"))]) == [[3, 4150], [20, 600, 4199]]
    assert first_earlier_match(bits[:0]) == [] and first_match(bits[:2], bits[:0]) == [-1, -1]


def test_a_picture_turned_by_its_exif_entry_has_its_upright_size(tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(scene(0, (40, 80))).save(tmp_path / "a.jpg", exif=exif)
    assert read_fingerprint(tmp_path / "a.jpg").size == read_image(tmp_path / "a.jpg").shape[:2] == (80, 40)
