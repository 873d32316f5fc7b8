"""Files for the Raspberry Pi AI Camera: a zip with the packed network, its manifest and golden inputs.

`pocketsight export imx500` writes DETECTOR.imx500.zip. On the board, Raspberry Pi's own program turns the packed
network into the .rpk file that the camera loads.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from pocketsight.device.errors import ModelError
from pocketsight.device.inference.checksum import verify_checksum
from pocketsight.device.inference.manifest import MANIFEST_NAME, ModelSpec
from pocketsight.device.inference.model_file import ZIP_ERRORS
from pocketsight.device.system.atomic_files import atomic_write
from pocketsight.device.system.paths import cache_dir

SUFFIX = ".imx500.zip"
PACKED_NETWORK = "packerOut.zip"
RPK_NAME = "network.rpk"  # that the packager writes
PACKAGERS = "imx500-package", "imx500-package.sh"  # the second is the name of early releases
APT_PACKAGES = "imx500-all", "imx500-tools"  # firmware of the sensor; the packager
INSTALL_COMMAND = f"sudo apt install {' '.join(APT_PACKAGES)}"
PACKAGER_TIMEOUT = 300  # seconds


def camera_file(model: Path) -> Path:
    """The file for the camera that belongs to a model file, in the same folder."""
    return model.with_name(model.stem + SUFFIX)


def read_imx500_file(path: Path) -> tuple[bytes, ModelSpec]:
    """The packed network and the manifest. Raises ModelError when the file is missing, damaged or of another kind."""
    fix = "make one with: pocketsight export imx500"
    try:
        with ZipFile(path) as archive:
            manifest, packed = archive.read(MANIFEST_NAME).decode(), archive.read(PACKED_NETWORK)
    except FileNotFoundError as error:
        raise ModelError(f"{path} does not exist; {fix}") from error
    except ZIP_ERRORS as error:
        raise ModelError(f"{path} is damaged, or not a file for the AI Camera ({error}); {fix}") from error
    spec = ModelSpec.from_json(manifest, path)
    verify_checksum(packed, spec.sha256, path)
    outputs = spec.imx500.get("outputs", {})
    if spec.task != "detector" or not all(f"score_{s}" in outputs and f"box_{s}" in outputs for s in spec.strides):
        raise ModelError(f"{path} does not describe the outputs of a detector; {fix}")
    return packed, spec


def find_packager() -> str | None:
    """The path of Raspberry Pi's packager; None: it is not installed."""
    return next(filter(None, map(shutil.which, PACKAGERS)), None)


def package_network(path: Path) -> Path:
    """The .rpk file of a file for the camera, made with Raspberry Pi's packager unless it is there already.

    It is kept next to that file, or in the cache where its folder is read-only; the name has the checksum of the
    network. Raises ModelError when the packager is missing or fails.
    """
    packed, spec = read_imx500_file(path)
    name = f"{path.name.removesuffix(SUFFIX)}-{spec.short_sum}.rpk"
    own, cached = path.with_name(name), cache_dir() / name
    if known := next((each for each in (own, cached) if each.exists()), None):
        return known
    program = find_packager()
    if program is None:
        raise ModelError(f"{PACKAGERS[0]} is not installed, which prepares {path} for the camera: {INSTALL_COMMAND}")
    with TemporaryDirectory() as folder:
        source, output = Path(folder, PACKED_NETWORK), Path(folder, "out")
        source.write_bytes(packed)
        try:
            done = subprocess.run(
                [program, "-i", source, "-o", output],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PACKAGER_TIMEOUT,
                cwd=folder,
            )
            data = (output / RPK_NAME).read_bytes()
        except (OSError, subprocess.TimeoutExpired) as error:
            output_text = error if isinstance(error, subprocess.TimeoutExpired) else (done.stderr + done.stdout).strip()
            reason = (str(output_text).splitlines() or ["no reason given"])[-1]
            raise ModelError(f"{os.path.basename(program)} could not prepare {path}: {reason}") from error
    target = own if os.access(path.parent, os.W_OK) else cached
    atomic_write(target, data)
    return target
