"""`pocketsight data label`: starts labelme, in which people draw boxes.

labelme runs as a separate program: it is GPL, and depends on Qt.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from pocketsight.device.errors import DataError
from pocketsight.device.system.desktop import has_display
from pocketsight.device.system.install_hint import install_command
from pocketsight.device.vision.image import list_images
from pocketsight.train.console import log_unread_images
from pocketsight.train.datasets.formats.detect import import_hint, iter_formats
from pocketsight.train.datasets.formats.layout import index_by_label_name
from pocketsight.train.datasets.splits import list_split_folders, require_no_inner_splits

# Debian packages that Qt 5 needs on a desktop without it.
QT_PACKAGES = "libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-render-util0 libxcb-xinerama0 libxkbcommon-x11-0"
USAGE_HINT = "labelme: Ctrl+R draws a box, D and A show the next and the previous image; it saves automatically"


def run_labelme(data: Path, labels: tuple[str, ...]) -> None:
    """Run labelme on DATA/images until it is closed; its files go to DATA/labels.

    It saves automatically, stores no pixels in its files, and allows only `labels`. If `labels` is empty, the labels
    in use are allowed, or else "face". Raises DataError, with the fix, when labelme cannot run or ends with an error.
    """
    images = _images_to_label(data)
    program = shutil.which("labelme", path=str(Path(sys.executable).parent)) or shutil.which("labelme")
    if program is None:
        hint = f"{install_command('label')}, or in an environment of its own: pipx install labelme"
        raise DataError(f"labelme is not installed; install it with: {hint}")
    if not has_display():
        raise DataError("labelme needs a display, and there is none (DISPLAY and WAYLAND_DISPLAY are not set)")
    folder = data / "labels"
    allowed = labels or labels_in_use(folder) or ("face",)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror}") from error
    click.echo(USAGE_HINT)
    _launch(program, data / "images", folder, allowed)
    labeled = sum((folder / f"{path.stem}.json").is_file() for path in images)
    click.echo(f"{labeled} of {len(images)} images have labels; next: pocketsight data check {shlex.quote(str(data))}")


def labels_in_use(folder: Path) -> tuple[str, ...]:
    """The labels in the labelme files of a folder, sorted. Files that cannot be read are skipped."""
    labels: set[str] = set()
    for path in folder.rglob("*.json"):
        try:
            labels |= {shape["label"] for shape in json.loads(path.read_text(encoding="utf-8-sig"))["shapes"]}
        except (OSError, ValueError, KeyError, TypeError):
            continue  # `pocketsight data check` reports it
    return tuple(sorted(label for label in labels if isinstance(label, str) and label))


def _images_to_label(data: Path) -> list[Path]:
    """The images of DATA/images. Raises DataError when labelme would use one label file for two of them."""
    folder = data / "images"
    split = next((path for _, path in list_split_folders(data) if (path / "images").is_dir()), None)
    if not folder.is_dir() and split:
        raise DataError(f"{data} is split; label one split: pocketsight data label {shlex.quote(str(split))}")
    found = next(iter_formats(data / "labels"), None) if (data / "labels").is_dir() else None
    if found and found[1] != "labelme":
        raise DataError(f"{data / 'labels'} has labels that labelme cannot read{import_hint(data)}")
    require_no_inner_splits(folder)
    log_unread_images(folder)
    images = list_images(folder)
    if not images:
        hint = import_hint(data) or f"; capture some with: pocketsight data capture -o {folder}"
        raise DataError(f"{folder} has no images{hint}")
    for path in images:
        if path.parent != folder:
            raise DataError(f"{path} must be in {folder} itself; labelme keeps all labels in one folder")
    return list(index_by_label_name(images, folder).values())


def _launch(program: str, images: Path, folder: Path, labels: tuple[str, ...]) -> None:
    """Run labelme with a settings file: its options differ between versions 5 and 6, the settings do not.

    The file replaces ~/.labelmerc, where labelme 5 may have stored other values.
    """
    settings = {"auto_save": True, "store_data": False, "labels": list(labels), "validate_label": "exact"}
    with TemporaryDirectory(prefix="pocketsight-") as temporary:
        file = Path(temporary, "labelmerc")
        file.write_text(json.dumps(settings), encoding="utf-8")  # JSON is valid YAML
        command = [program, str(images), "--output", str(folder), "--config", str(file), "--logger-level", "warning"]
        done = subprocess.run(command, stderr=subprocess.PIPE, errors="replace", env=_labelme_environment())
    if done.returncode:
        raise DataError(f"labelme ended with status {done.returncode}: {_failure_reason(done.stderr)}")


def _labelme_environment() -> dict[str, str]:
    """Our environment without the Qt paths that importing OpenCV sets: labelme's Qt cannot load those plugins."""
    return {k: v for k, v in os.environ.items() if not (k.startswith("QT_QPA_") and f"{os.sep}cv2{os.sep}" in v)}


def _failure_reason(stderr: str) -> str:
    """The last line of the error output, or the fix of a known error."""
    if "could not connect to display" in stderr:
        return f"it cannot connect to the display {os.environ.get('DISPLAY', '')}; does it exist, and may you use it?"
    if "platform plugin" in stderr:
        return f"its Qt cannot open a window; on Debian: sudo apt install {QT_PACKAGES}"
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", stderr).splitlines() if line.strip()]
    return lines[-1] if lines else "no error message"
