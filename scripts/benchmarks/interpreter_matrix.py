"""`pocketsight verify` of every shipped model on every supported interpreter, each in its own virtual environment.

    python scripts/benchmarks/interpreter_matrix.py [FOLDER]    # the environments are kept in FOLDER (.venv-runtimes)

Installs pocketsight from a wheel of this checkout, so it also tests that the wheel is complete. tflite-runtime needs
Python 3.11, the last version with wheels of it. An environment that cannot be made is reported as missing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import click

PROJECT = Path(__file__).resolve().parents[2]
OPENCV = "opencv-python-headless"
ENVIRONMENTS = {
    "ai-edge-litert, newest": ["ai-edge-litert", OPENCV],
    "ai-edge-litert, oldest allowed": ["ai-edge-litert==1.2.0", OPENCV],
    "tflite-runtime, last release": ["tflite-runtime==2.14.0", "numpy<2", f"{OPENCV}<4.12"],
    "tf.lite": ["tensorflow", OPENCV],
}
# tf.lite under a module name that pocketsight looks for.
TFLITE_RUNTIME_SHIM = "from tensorflow.lite.python.interpreter import *\n"


def run(*words: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, env=env)


def make_environment(folder: Path, wheel: Path, packages: list[str]) -> str:
    """Make or update an environment. Returns the last line of the error, or an empty string."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    install = python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"
    done = run(*install, wheel, *packages)
    done = done if done.returncode else run(*install, "--force-reinstall", "--no-deps", wheel)
    return done.stderr.strip().splitlines()[-1] if done.returncode else ""


def verify(folder: Path, shim: Path | None) -> list[dict[str, Any]]:
    """The report of `pocketsight verify --json` in an environment."""
    done = run(folder / "bin" / "pocketsight", "verify", "--json", env={"PYTHONPATH": str(shim)} if shim else {})
    text = done.stdout
    if "[" not in text:
        return [{"file": "all", "verdict": done.stderr.strip().splitlines()[-1], "interpreter": "-"}]
    report: list[dict[str, Any]] = json.loads(text[text.index("[") : text.rindex("]") + 1])
    return report


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), default=PROJECT / ".venv-runtimes")
def main(folder: Path) -> None:
    """Print the table. Exit status 1 if a model fails on any interpreter."""
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    done = run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, PROJECT)
    if done.returncode:
        sys.exit(done.stderr)
    (wheel,) = folder.glob("pocketsight-*.whl")
    shim = folder / "shim"
    (shim / "tflite_runtime").mkdir(parents=True, exist_ok=True)
    (shim / "tflite_runtime" / "interpreter.py").write_text(TFLITE_RUNTIME_SHIM)
    failed = False
    for name, packages in ENVIRONMENTS.items():
        environment = folder / name.replace(", ", "-").replace(" ", "-")
        if error := make_environment(environment, wheel, packages):
            click.echo(f"{name:32} missing: {error}")
            continue
        for row in verify(environment, shim if name == "tf.lite" else None):
            unequal = f", {row['num_different']} of {row['num_values']} differ" if row.get("num_different") else ""
            click.echo(f"{name:32} {Path(row['file']).name:24} {row['verdict']}{unequal}")
            failed |= row["verdict"] != "bit-exact" and not row["verdict"].startswith("within")
    sys.exit(failed)


if __name__ == "__main__":
    main()
