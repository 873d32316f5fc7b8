"""A release: all files that a board runs, with their sums and a name that stands for them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from pocketsight.device.errors import BoardError
from pocketsight.device.inference.imx500_file import SUFFIX, camera_file, read_imx500_file
from pocketsight.export.deploy.on_board.releases import SETTINGS, name_digits

LAUNCHER = """#!/bin/sh
# pocketsight of this release, with its own packages before those of the system.
here=${{0%/bin/*}}
export PYTHONPATH="$here/site" PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1
exec {python} -P -c 'from pocketsight.device.cli.main import main; main(prog_name="pocketsight")' "$@"
"""
SERVICE = """#!/bin/sh
# What the service starts, as PREFIX/current/bin/service: so a reload finds the models of the current release.
here=${{0%/bin/*}}
settings=$here/{own}
[ -e "$settings" ] || settings={settings}
exec "$here/bin/pocketsight" run --config "$settings" {options}
"""
MODELS = "models/"
COMPILED_ENDING = "_edgetpu.tflite"
CAMERA_FILE = f"models/detector{SUFFIX}"  # that the run finds next to its detector


class Kept(NamedTuple):
    """A file that the board has already, by its SHA-256 and its size in bytes."""

    digest: str
    size: int


Source = Path | bytes | Kept


@dataclass
class Release:
    """Its files by path; `models` are the sums that the run must report, by task."""

    version: str
    files: dict[str, Source]
    models: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        facts = {path: _describe(source) for path, source in sorted(self.files.items())}
        self.sizes = {path: kept.size for path, kept in facts.items()}
        self.sums = "".join(f"{kept.digest}  {path}\n" for path, kept in facts.items())
        self.name = f"{self.version}-{name_digits(self.sums)}"

    @property
    def model_paths(self) -> list[str]:
        """The models that are not those of the package; compiled ones are found next to them."""
        return _model_paths(self.files)

    def read(self, path: str) -> bytes:
        """The content of a file. Raises BoardError if it cannot be read, or should be on the board."""
        source = self.files[path]
        if isinstance(source, Kept):
            raise BoardError(f"{path} is damaged on the board; give it again, with --models or --settings")
        return _read(source)


def make_release(
    version: str,
    package: Mapping[str, bytes],
    packages: Path | None,
    models: Sequence[Path] | None,
    settings: Mapping[str, Any] | None,
    kept: Mapping[str, Kept],
    board: str,
    python: str,
    settings_path: str,
) -> Release:
    """Put a release together.

    `package` are the files of pocketsight, `packages` a folder with those that it needs, None if the board has all.
    `settings` become its settings file. Where `models` or `settings` are None, those among `kept`, the files of the
    current release, stay. Without any settings the run takes the file at `settings_path`, a word of the shell. Raises
    BoardError, and ModelError for a model that cannot be read.
    """
    files: dict[str, Source] = {f"site/{name}": data for name, data in package.items()}
    if packages:
        for path in packages.rglob("*"):
            if path.is_file():
                files.setdefault(f"site/{path.relative_to(packages)}", path)
    sums = _add_models(files, models or ())
    if models is None:
        files |= {path: each for path, each in kept.items() if path.startswith(MODELS)}
    if settings is not None:
        files[SETTINGS] = settings_text(settings).encode()
    elif SETTINGS in kept:
        files[SETTINGS] = kept[SETTINGS]
    options = ["--board", shlex.quote(board), *(f'--{Path(path).stem} "$here/{path}"' for path in _model_paths(files))]
    files["bin/pocketsight"] = LAUNCHER.format(python=shlex.quote(python)).encode()
    files["bin/service"] = SERVICE.format(own=SETTINGS, settings=settings_path, options=" ".join(options)).encode()
    return Release(version, files, sums)


def _model_paths(files: Iterable[str]) -> list[str]:
    return sorted(path for path in files if path.startswith(MODELS) and not path.endswith((COMPILED_ENDING, SUFFIX)))


def find_camera_files(models: Sequence[Path]) -> list[Path]:
    """The files for the AI Camera among `models`, or else those next to them."""
    given = [path for path in models if path.name.endswith(SUFFIX)]
    return given or [path for path in map(camera_file, models) if path.exists()]


def _add_models(files: dict[str, Source], models: Sequence[Path]) -> dict[str, str]:
    """Add model files by their task, and return the sums that a run reports for them.

    Raises BoardError for a second model of a task, and for a file for the AI Camera without a detector.
    """
    from pocketsight.device.inference.model_file import read_model_file

    sums: dict[str, str] = {}
    cameras = find_camera_files(models)
    for path in models:
        if path in cameras:
            continue
        _, spec = read_model_file(path)
        if spec.task in sums:
            raise BoardError(f"{path} is the second {spec.task}; a release has one of each task")
        sums[spec.task] = spec.short_sum
        files[f"models/{spec.task}.tflite"] = path
        compiled = path.with_name(path.stem + COMPILED_ENDING)
        if compiled.exists():
            files[f"models/{spec.task}{COMPILED_ENDING}"] = compiled
    for path in cameras:
        read_imx500_file(path)
        if "detector" not in sums or CAMERA_FILE in files:
            raise BoardError(f"{path}: give one file for the AI Camera, and the detector.tflite of the same training")
        files[CAMERA_FILE] = path
    return sums


def settings_text(settings: Mapping[str, Any]) -> str:
    """Tables of settings as TOML. Raises BoardError for a value that is no setting."""
    lines = ["# Written by pocketsight deploy; a change here is undone by the next deployment."]
    for table, content in settings.items():
        if not isinstance(content, Mapping):
            raise BoardError(f"settings: {table} must be a table, such as {table} = {{key = value}}")
        lines.append(f"\n[{table}]")
        lines += [f"{_key(key)} = {_toml(value)}" for key, value in content.items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    """A value of TOML: numbers, flags, texts and lists are as in JSON."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool | int | float | str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    raise BoardError(f"settings: {value!r} is no value of a setting")


def _key(key: str) -> str:
    return json.dumps(key, ensure_ascii=False)


def _describe(source: Source) -> Kept:
    if isinstance(source, Kept):
        return source
    data = _read(source)
    return Kept(sha256(data).hexdigest(), len(data))


def _read(source: Path | bytes) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        return source.read_bytes()
    except OSError as error:
        raise BoardError(f"{source} cannot be read: {error.strerror}") from error
