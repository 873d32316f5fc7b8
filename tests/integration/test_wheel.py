"""Wheels and the sdist: what is in them, which version they have, and that a build leaves nothing in the checkout."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from packaging.version import Version

from tests.support import ROOT

FALLBACK = "0.2.1.dev0"  # of pyproject.toml
NOT_COPIED = shutil.ignore_patterns(
    ".git", ".venv*", ".*_cache", "__pycache__", "build", "dist", "runs", "demo", "data", "tests", "images", "findings"
)


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=n", "-c", "user.email=e", "-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false")
    return subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def hatchling(folder: Path, *words: str, kind: str = "full") -> str:
    """Output of a command of the build backend in a folder, as pip runs it."""
    command = [sys.executable, "-m", "hatchling", *words]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=os.environ | {"POCKETSIGHT_WHEEL": kind}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def wheel(folder: Path, out: Path, kind: str = "full") -> Path:
    hatchling(folder, "build", "-t", "wheel", "-d", str(out), kind=kind)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a tag, and with what an earlier build by setuptools left in it."""
    folder = tmp_path_factory.mktemp("wheel") / "checkout"
    shutil.copytree(ROOT, folder, symlinks=True, ignore=NOT_COPIED)
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "all")
    git(folder, "tag", "v1.2.3")
    for stale in ("build/lib/pocketsight/stale.py", "pocketsight.egg-info/SOURCES.txt", "dist/old.whl"):
        (folder / stale).parent.mkdir(parents=True)
        (folder / stale).write_text("stale")
    return folder


def untracked(checkout: Path) -> list[str]:
    """Files that git does not know. Python keeps the hook of the build compiled in __pycache__."""
    lines = git(checkout, "status", "--porcelain", "--ignored", "--untracked-files=all").splitlines()
    return [line for line in lines if "__pycache__" not in line]


@pytest.fixture(scope="module")
def full(checkout: Path) -> Path:
    """A wheel for the workstation. Its build leaves the checkout as it was."""
    before = untracked(checkout)
    assert any("stale.py" in line for line in before)
    path = wheel(checkout, checkout.parent / "full")
    assert untracked(checkout) == before
    return path


def names(path: Path) -> set[str]:
    return set(zipfile.ZipFile(path).namelist())


def test_a_wheel_has_every_file_of_the_checkout_and_nothing_stale(checkout: Path, full: Path) -> None:
    tracked = git(checkout, "ls-files", "device", "train", "export", "models").split()
    expected = {f"pocketsight/{name}" for name in tracked if not name.endswith(".md")}
    expected |= {"pocketsight/__init__.py", "pocketsight/py.typed"}
    assert {name for name in names(full) if ".dist-info/" not in name} == expected


def test_a_board_wheel_has_no_training_code_and_no_weights(checkout: Path, full: Path) -> None:
    board = wheel(checkout, checkout.parent / "board", kind="board")
    missing = names(full) - names(board)
    assert names(board) <= names(full) and board.stat().st_size < full.stat().st_size / 2
    assert all(name.startswith(("pocketsight/train/", "pocketsight/export/")) or "weights" in name for name in missing)
    assert {"pocketsight/train/recipe.py", "pocketsight/models/detector.weights.h5"} <= missing
    archive = zipfile.ZipFile(board)
    (entry_points,) = (archive.read(name).decode() for name in names(board) if name.endswith("entry_points.txt"))
    assert entry_points.split("\n")[0] == "[console_scripts]" and "train" not in entry_points
    # It runs without the rest.
    code = "from pocketsight.device.cli.main import main; main(['verify', 'models/sentiment.tflite'])"
    archive.extractall(checkout.parent / "site")
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=checkout,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(checkout.parent / "site")},
    )
    assert done.returncode == 0 and "sentiment" in done.stdout, done.stderr


def test_an_unknown_kind_of_wheel_is_an_error(checkout: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="POCKETSIGHT_WHEEL must be board or full, not baord"):
        wheel(checkout, tmp_path, kind="baord")


def test_the_terms_of_the_models_are_in_the_metadata(full: Path) -> None:
    archive = zipfile.ZipFile(full)
    (metadata,) = (archive.read(name).decode() for name in names(full) if name.endswith(".dist-info/METADATA"))
    assert "License-Expression: MIT AND LicenseRef-pocketsight-models\n" in metadata
    (terms,) = (archive.read(name).decode() for name in names(full) if name.endswith("licenses/models/LICENSE.md"))
    assert terms == (ROOT / "models" / "LICENSE.md").read_text()


def test_the_sdist_makes_the_same_wheel(checkout: Path, full: Path, tmp_path: Path) -> None:
    hatchling(checkout, "build", "-t", "sdist", "-d", str(tmp_path))
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / path.name.removesuffix(".tar.gz")
    found = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    tracked = {name for name in git(checkout, "ls-files").split("\n") if name and not (checkout / name).is_dir()}
    assert found == tracked | {"PKG-INFO"}
    assert wheel(folder, tmp_path / "wheel").read_bytes() == full.read_bytes()


def test_each_commit_and_each_change_is_a_newer_version(checkout: Path) -> None:
    versions = [hatchling(checkout, "version")]
    git(checkout, "commit", "--quiet", "--allow-empty", "--message", "next")
    versions.append(hatchling(checkout, "version"))
    readme = checkout / "README.md"
    text = readme.read_text()
    readme.write_text(text + "changed\n")
    versions.append(hatchling(checkout, "version"))
    readme.write_text(text)
    git(checkout, "tag", "v1.2.4")
    versions.append(hatchling(checkout, "version"))
    assert versions[0] == "1.2.3" and versions[1].startswith("1.2.4.dev1+g") and versions[3] == "1.2.4"
    assert versions == sorted(versions, key=Version) and len(set(versions)) == 4


def test_an_archive_of_git_has_the_version_of_its_commit(checkout: Path, tmp_path: Path) -> None:
    archive = subprocess.run(["git", "archive", "v1.2.3"], cwd=checkout, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as file:
        file.extractall(tmp_path, filter="data")
    assert hatchling(tmp_path, "version") == "1.2.3"


def test_without_git_and_without_a_tag_the_version_starts_at_the_fallback(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    assert hatchling(tmp_path, "version") == FALLBACK
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    version = Version(hatchling(tmp_path, "version"))
    assert version.base_version == "0.2.1" and version.dev and version > Version(FALLBACK)
