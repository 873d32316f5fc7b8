"""Release folders: PREFIX/releases/NAME, each with the sums of its files, and the links PREFIX/current and previous.

NAME ends with the beginning of the sum of the file SHA256SUMS, so a name stands for one content. Files that another
release already has are linked, not copied.
"""

from __future__ import annotations

import compileall
import importlib.util
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

# Sums of what was sent, sums of the bytecode that was compiled here, and the mark of a release that passed its checks.
SUMS, COMPILED, VERIFIED = "SHA256SUMS", "COMPILED", "VERIFIED"
SETTINGS = "settings.toml"
SPARE_BYTES = 50_000_000  # that stay free
DIGITS = 10  # of the sum, in a name


class Refused(Exception):
    """The board cannot or must not do this; the message is for the user."""


class Releases:
    """The releases below a folder."""

    def __init__(self, prefix: Path) -> None:
        self.prefix, self.folder = prefix, prefix / "releases"
        self._hashed: dict[tuple[int, ...], str] = {}  # sums of files whose other names were read already

    @property
    def current(self) -> str:
        """The release that the service runs; "" if there is none."""
        return self._target("current")

    @property
    def previous(self) -> str:
        """The release before; "" if there is none."""
        return self._target("previous")

    def point(self, link: str, name: str) -> None:
        """Make `link` name another release, in one step; "" removes it."""
        path, part = self.prefix / link, self.prefix / f".{link}.part"
        if name:
            part.unlink(missing_ok=True)
            part.symlink_to(f"releases/{name}")
            os.replace(part, path)
        else:
            path.unlink(missing_ok=True)
        flush_folder(self.prefix)

    def names(self) -> list[str]:
        """All releases, complete or not."""
        return sorted(path.name for path in self.folder.glob("*") if path.is_dir())

    def is_verified(self, name: str) -> bool:
        """Whether a release has passed its checks."""
        return bool(name) and (self.folder / name / VERIFIED).exists()

    def own_files(self, name: str) -> dict[str, tuple[str, int]]:
        """Sum and size of the models and settings of a release, by path."""
        folder, sums = self.folder / name, self._sums(name, SUMS)
        own = {path: sums[path] for path in sums if path.startswith("models/") or path == SETTINGS}
        return {
            path: (digest, (folder / path).stat().st_size) for path, digest in own.items() if self.is_verified(name)
        }

    def missing(self, name: str, text: str) -> list[str]:
        """Files of a release that are nowhere on this board yet; `text` is its SHA256SUMS. Changes nothing."""
        sums = parse_sums(text)
        at_hand = {digest for release in self.names() for digest in self._sums(release, SUMS).values()}
        folder = self.folder / name
        return [path for path, digest in sums.items() if digest not in at_hand and sum_of(folder / path) != digest]

    def prepare(self, name: str, text: str, size: int) -> list[str]:
        """Make the folder of a release, link what is here already, and return the files that are missing.

        `size` is the number of bytes of all its files. Releases that are not needed any more are deleted. Raises
        Refused when the disk is too small.
        """
        sums, folder = parse_sums(text), self.folder / name
        if not name.endswith("-" + name_digits(text)):
            raise Refused(f"the name {name} does not fit its sums")
        folder.mkdir(parents=True, exist_ok=True)
        write_file(folder / SUMS, text.encode())
        for path in self._unknown_files(folder, sums):
            path.unlink()
        self._link(folder, sums)
        self.prune({name})
        if not self.is_verified(name):
            self._require_space(size, folder, sums)
        return [path for path, digest in sums.items() if self._sum(folder / path) != digest]

    def write(self, name: str, path: str, data: bytes) -> None:
        """Write a file of a release that is being prepared. Raises Refused if it is not one of its files."""
        if self._sums(name, SUMS).get(path) != sha256(data).hexdigest():
            raise Refused(f"{path} was damaged on its way, or is no file of {name}")
        try:
            write_file(self.folder / name / path, data, _mode(path))
            if path == SETTINGS and os.geteuid() == 0:
                shutil.chown(self.folder / name / path, group="video")  # the service is in it
        except OSError as error:
            shutil.rmtree(self.folder / name, ignore_errors=True)
            raise Refused(f"{path} cannot be written: {error.strerror}; what was copied is removed") from error

    def verify(self, name: str) -> None:
        """Raise Refused unless every file of a release is what was sent. Damaged bytecode is compiled again."""
        folder = self.folder / name
        try:
            text = (folder / SUMS).read_text()
        except OSError as error:
            raise Refused(f"release {name} has no sums: {error.strerror}") from error
        if not name.endswith("-" + name_digits(text)):
            raise Refused(f"release {name} is damaged: {SUMS} has changed")
        for path, digest in parse_sums(text).items():
            if sum_of(folder / path) != digest:
                raise Refused(f"release {name} is damaged: {path} has changed")
        compiled = self._sums(name, COMPILED)
        if any(compiled.get(str(path.relative_to(folder))) != sum_of(path) for path in folder.rglob("*.pyc")):
            self.compile(name)

    def mark_verified(self, name: str) -> None:
        """Note that a release has passed its checks. What it consists of reaches the disk before."""
        os.sync()
        write_file(self.folder / name / VERIFIED, b"")

    def unmark(self, name: str) -> None:
        """Note that a release must pass its checks again."""
        (self.folder / name / VERIFIED).unlink(missing_ok=True)

    def differ_in_models(self, name: str) -> bool:
        """Whether a release has the same files as the current one, except that models have other contents.

        A file for the AI Camera must be the same: the camera loads it at its start.
        """
        old, new = self._sums(self.current, SUMS), self._sums(name, SUMS)
        return old.keys() == new.keys() and all(
            old[path] == new[path] for path in new if not (path.startswith("models/") and path.endswith(".tflite"))
        )

    def prune(self, keep: set[str]) -> None:
        """Delete all releases but `keep`, the current and the previous one."""
        for name in self.names():
            if name not in keep | {self.current, self.previous}:
                self.unmark(name)  # first: it must not look complete while it vanishes
                shutil.rmtree(self.folder / name, ignore_errors=True)

    def compile(self, name: str) -> None:
        """Compile what has no bytecode yet, and note its sums. Bytecode that does not fit them is replaced."""
        folder, known = self.folder / name, self._sums(name, COMPILED)
        for path in folder.rglob("*.pyc"):
            if known.get(str(path.relative_to(folder))) != sum_of(path):
                path.unlink()
        compileall.compile_dir(folder / "site", quiet=2, workers=1)
        self._note_compiled(folder, sorted(folder.rglob("*.pyc")))

    def _note_compiled(self, folder: Path, paths: Sequence[Path]) -> None:
        lines = [f"{sum_of(path)}  {path.relative_to(folder)}\n" for path in paths]
        write_file(folder / COMPILED, "".join(lines).encode())

    def _link(self, folder: Path, sums: Mapping[str, str]) -> None:
        """Give files and bytecode of other releases a second name, if they are whole."""
        compiled = []
        for release in self.names():
            if release == folder.name:
                continue
            origin, bytecode = self.folder / release, self._sums(release, COMPILED)
            paths = {digest: path for path, digest in self._sums(release, SUMS).items()}
            for path, digest in sums.items():
                if digest not in paths or self._sum(folder / path) == digest != self._sum(origin / paths[digest]):
                    continue
                link_file(origin / paths[digest], folder / path)
                cache = importlib.util.cache_from_source(path) if path.endswith(".py") else ""
                if cache in bytecode and sum_of(origin / cache) == bytecode[cache]:
                    link_file(origin / cache, folder / cache)
                    compiled.append(folder / cache)
        self._note_compiled(folder, compiled)

    def _unknown_files(self, folder: Path, sums: Mapping[str, str]) -> list[Path]:
        known = {folder / path for path in (*sums, SUMS, COMPILED, VERIFIED)}
        return [path for path in folder.rglob("*") if not path.is_dir() and path not in known and path.suffix != ".pyc"]

    def _require_space(self, size: int, folder: Path, paths: Iterable[str]) -> None:
        at_hand = sum((folder / path).stat().st_size for path in paths if (folder / path).exists())
        disk = os.statvfs(self.prefix)
        free, needed = disk.f_bavail * disk.f_frsize, size - at_hand + SPARE_BYTES
        if free < needed:
            shutil.rmtree(folder, ignore_errors=True)
            raise Refused(
                f"the disk is full: {needed / 1e6:.0f} MB are needed in {self.prefix}, {free / 1e6:.0f} are free"
            )

    def _sum(self, path: Path) -> str:
        """As sum_of, but a file with several names is read once: a slow board needs minutes for all of a release."""
        try:
            facts = path.stat()
        except OSError:
            return ""
        key = facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns
        if key not in self._hashed:
            self._hashed[key] = sum_of(path)
        return self._hashed[key]

    def _sums(self, name: str, file: str) -> dict[str, str]:
        try:
            return parse_sums((self.folder / name / file).read_text())
        except OSError:
            return {}

    def _target(self, link: str) -> str:
        try:
            return Path(os.readlink(self.prefix / link)).name
        except OSError:
            return ""


def _mode(path: str) -> int:
    """Settings can hold the password of a camera."""
    return 0o640 if path == SETTINGS else 0o755 if path.startswith("bin/") else 0o644


def name_digits(text: str) -> str:
    """The end of the name of a release with this SHA256SUMS."""
    return sha256(text.encode()).hexdigest()[:DIGITS]


def parse_sums(text: str) -> dict[str, str]:
    """Path and sum of each line, as sha256sum writes them. Raises Refused for a path that leaves the folder."""
    sums = {path: digest for digest, _, path in (line.partition("  ") for line in text.splitlines())}
    if wrong := [path for path in sums if path.startswith("/") or ".." in path.split("/")]:
        raise Refused(f"{wrong[0]} is not a path below a release")
    return sums


def sum_of(path: Path) -> str:
    """The SHA-256 of a file; "" if it cannot be read."""
    digest = sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


def write_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file in one step: it has its old or its new content, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.chmod(part, mode)
    os.replace(part, path)


def link_file(origin: Path, path: Path) -> None:
    """Give a file a second name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    try:
        os.link(origin, path)
    except OSError:  # a file system without links
        shutil.copy2(origin, path)


def flush_folder(folder: Path) -> None:
    """Write the names in a folder to the disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
