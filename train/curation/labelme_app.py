"""`pocketsight data label`: boxes are drawn with labelme, started as a program of its own; it is GPL and brings Qt."""

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
from pocketsight.device.vision.image import list_images

INSTALL_HINT = "pip install 'pocketsight[label]', or in an environment of its own: pipx install labelme"
QT_PACKAGES = (  # what a desktop without Qt 5 lacks
    "libxcb-icccm4 libxcb-image0 libxcb-keysyms1 libxcb-render-util0 libxcb-xinerama0 libxkbcommon-x11-0"
)
USAGE_HINT = "labelme: Ctrl+R draws a box, D and A turn to the next and the last picture; it saves by itself"


def run_labelme(data: Path, labels: tuple[str, ...]) -> None:
    """Run labelme on DATA/images until it is closed; its files go to DATA/labels.

    It saves by itself, keeps no pixels in its files, and takes no label but `labels`: if empty, those that are used
    already, or else "face". Raises DataError, one line with the cure, when it cannot run or ends with an error.
    """
    found = _images_to_label(data)
    program = shutil.which("labelme", path=str(Path(sys.executable).parent)) or shutil.which("labelme")
    if program is None:
        raise DataError(f"labelme is not installed; get it with: {INSTALL_HINT}")
    if not has_display():
        raise DataError("labelme needs a screen, and there is none here (no DISPLAY or WAYLAND_DISPLAY)")
    folder = data / "labels"
    allowed = labels or labels_in_use(folder) or ("face",)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be written: {error.strerror}") from error
    click.echo(USAGE_HINT)
    _launch(program, data / "images", folder, allowed)
    labelled = sum((folder / f"{path.stem}.json").is_file() for path in found)
    click.echo(
        f"{labelled} of {len(found)} pictures have labels; next: pocketsight data check {shlex.quote(str(data))}"
    )


def labels_in_use(folder: Path) -> tuple[str, ...]:
    """The labels in the labelme files of a folder, by name; files that cannot be read are passed over."""
    labels: set[str] = set()
    for path in folder.rglob("*.json"):
        try:
            labels |= {shape["label"] for shape in json.loads(path.read_text())["shapes"]}
        except (OSError, ValueError, KeyError, TypeError):
            continue  # `pocketsight data check` names it
    return tuple(sorted(label for label in labels if isinstance(label, str) and label))


def _images_to_label(data: Path) -> list[Path]:
    """The pictures of DATA/images. Raises DataError where labelme would not keep their labels apart."""
    images = data / "images"
    part = next((data / name for name in ("train", "val", "test") if (data / name / "images").is_dir()), None)
    if not images.is_dir() and part:
        raise DataError(f"{data} has parts; name the one to label: pocketsight data label {shlex.quote(str(part))}")
    found = list_images(images)
    if not found:
        raise DataError(f"{images} holds no pictures; take some with: pocketsight data capture -o {images}")
    seen: dict[str, Path] = {}
    for path in found:  # labelme names its files after a picture's last part alone
        if path.parent != images:
            raise DataError(f"{path} must lie in {images} itself; labelme keeps all labels in one folder")
        if other := seen.get(path.stem):
            raise DataError(f"{path} and {other.name} would share one label file; rename one")
        seen[path.stem] = path
    return found


def _launch(program: str, images: Path, folder: Path, labels: tuple[str, ...]) -> None:
    """The settings are a file of ours, since labelme 5 and 6 differ in their options but not in what such a file says.

    It stands in for ~/.labelmerc, where labelme 5 once wrote the opposite of each.
    """
    settings = {"auto_save": True, "store_data": False, "labels": list(labels), "validate_label": "exact"}
    with TemporaryDirectory(prefix="pocketsight-") as temporary:
        file = Path(temporary, "labelmerc")
        file.write_text(json.dumps(settings))  # YAML holds JSON
        command = [program, str(images), "--output", str(folder), "--config", str(file), "--logger-level", "warning"]
        done = subprocess.run(command, stderr=subprocess.PIPE, errors="replace", env=_labelme_environment())
    if done.returncode:
        raise DataError(f"labelme ended with status {done.returncode}: {_failure_reason(done.stderr)}")


def _labelme_environment() -> dict[str, str]:
    """Ours, but for where OpenCV, imported here, tells every Qt to look: another Qt's plugins would not load."""
    return {k: v for k, v in os.environ.items() if not (k.startswith("QT_QPA_") and f"{os.sep}cv2{os.sep}" in v)}


def _failure_reason(stderr: str) -> str:
    """The last line of what a program said, or what is known of it."""
    if "could not connect to display" in stderr:
        return f"it cannot reach the screen {os.environ.get('DISPLAY', '')}; is it there, and yours?"
    if "platform plugin" in stderr:
        return f"its Qt cannot open a window; on Debian: sudo apt install {QT_PACKAGES}"
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;]*m", "", stderr).splitlines() if line.strip()]
    return lines[-1] if lines else "it gave no reason"
