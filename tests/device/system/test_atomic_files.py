"""Files are whole or not there."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from pocketsight.device.errors import DataError
from pocketsight.device.system.atomic_files import atomic_path, atomic_write, write_json
from pocketsight.device.vision.image import read_image, write_jpeg
from tests.support.images import scene


def test_what_is_written_replaces_what_was_there_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    atomic_write(path, "old")
    write_json(path, {"a": ["é", 1]})
    assert json.loads(path.read_text()) == {"a": ["é", 1]}
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    atomic_write(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"a\.txt cannot be written: No space left on device"):
        atomic_write(path, b"new")
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_a_jpeg_is_rgb_and_close_to_what_went_in(tmp_path: Path) -> None:
    image = np.zeros((16, 16, 3), np.uint8)
    image[..., 0] = 200
    write_jpeg(tmp_path / "a.jpg", image)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - image).max() < 4
    with pytest.raises(DataError, match="0x0 pixels cannot be a JPEG"):
        write_jpeg(tmp_path / "b.jpg", scene(0)[:0, :0])


def test_a_private_file_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    atomic_write(tmp_path / "token", "secret", mode=0o600)
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


def test_a_path_becomes_the_file_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "clip.mp4"
    with atomic_path(path, ".mp4") as part:
        assert part.suffix == ".mp4" and not part.exists() and part.parent == path.parent
        part.write_bytes(b"first")
    with atomic_path(path) as part:
        part.write_bytes(b"second")
        assert path.read_bytes() == b"first"
    assert path.read_bytes() == b"second" and [p.name for p in path.parent.iterdir()] == ["clip.mp4"]


def test_a_path_may_become_a_folder(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "set") as part:
        part.mkdir()
        (part / "a").touch()
    assert (tmp_path / "set" / "a").exists()


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_block_that_fails_leaves_nothing(tmp_path: Path, is_folder: bool) -> None:
    with pytest.raises(KeyError), atomic_path(tmp_path / "a") as part:
        part.mkdir() if is_folder else part.touch()
        raise KeyError
    with pytest.raises(DataError, match=r"a cannot be written: No such file"), atomic_path(tmp_path / "a"):
        pass
    assert not list(tmp_path.iterdir())
