"""A wheel and a checkout in fresh environments: each printed command installs this copy, and no other."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

PRINT_COMMAND = (
    "from pocketsight.device.system.install_hint import install_command as c; import sys; print(c(*sys.argv[1:]))"
)
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "runs", "demo", "data")


def used_extras() -> list[tuple[str, ...]]:
    """The extras of every call of install_command in the product's code."""
    calls = set()
    for path in (path for folder in ("device", "train", "export") for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "install_command":
                words = tuple(str(word.value) for word in node.args if isinstance(word, ast.Constant))
                calls.add(words)
    return sorted(words for words in calls if words)


class Environment:
    """A virtual environment with pip, and nothing else."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        self.variables = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
        self.variables |= {"PATH": f"{self.bin}:{os.environ['PATH']}", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def shell(self, command: str) -> str:
        """The output of a command, typed as it is. Skips the test where the package index cannot be reached."""
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, env=self.variables, cwd="/", timeout=300
        )
        if "Failed to establish a new connection" in done.stderr or "Temporary failure in name" in done.stderr:
            pytest.skip("needs the package index")
        assert done.returncode == 0, command + "\n" + done.stdout + done.stderr
        return done.stdout

    def printed(self, *extras: str) -> str:
        return self.shell(f'python -c "{PRINT_COMMAND}" {" ".join(extras)}').strip()

    def origin(self, command: str) -> str:
        """The URL that pip takes pocketsight from, by its report on what it would do."""
        report = json.loads(self.shell(f"{command} --dry-run --ignore-installed --no-deps --quiet --report -"))
        names = [item["metadata"]["name"] for item in report["install"]]
        assert names == ["pocketsight"]
        return str(report["install"][0]["download_info"]["url"])


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout: a build writes into the folder it builds from."""
    folder = tmp_path_factory.mktemp("install") / "kit"
    shutil.copytree(ROOT, folder, symlinks=True, ignore=NOT_COPIED)
    return folder


@pytest.fixture(scope="module")
def wheel(checkout: Path) -> Path:
    environment = Environment(checkout.parent / "build-venv")
    environment.shell(f"pip wheel --quiet --no-deps --wheel-dir {checkout.parent}/wheels {checkout}")
    (path,) = (checkout.parent / "wheels").glob("pocketsight-*.whl")
    return path


def test_every_command_takes_the_wheel_it_was_installed_from(wheel: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "venv")
    environment.shell(f"pip install --quiet --no-deps {wheel}")
    assert len(used_extras()) >= 4
    for extras in used_extras():
        command = environment.printed(*extras)
        assert command == f"pip install '{wheel}[{','.join(extras)}]'"
        assert environment.origin(command) == wheel.as_uri()
    environment.shell(environment.printed("mqtt"))  # as it is printed
    environment.shell("python -c 'import paho.mqtt.client, numpy, click' && pip check")
    assert environment.printed("mqtt") == f"pip install '{wheel}[mqtt]'"
    wheel.rename(moved := wheel.with_suffix(".moved"))
    try:
        assert environment.printed("mqtt") == "pip install 'paho-mqtt>=2'"
    finally:
        moved.rename(wheel)


def test_every_command_takes_the_checkout_it_was_installed_from(checkout: Path, tmp_path: Path) -> None:
    environment = Environment(tmp_path / "venv")
    environment.shell(f"pip install --quiet --no-deps -e {checkout}")
    command = environment.printed("web")
    assert command == f"pip install -e '{checkout}[web]'"
    assert environment.origin(command) == checkout.as_uri()


def tracked_texts() -> list[tuple[str, str]]:
    """Path and text of every tracked text file but the changelog."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if done.returncode:
        pytest.skip("this is not a git checkout")
    texts = []
    for name in done.stdout.decode().split("\0"):
        path = ROOT / name
        if name and name != "CHANGELOG.md" and path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            if b"\0" not in data[:8000]:
                texts.append((name, data.decode()))
    return texts


def test_the_former_name_is_gone() -> None:
    former = "edge" + "kit"
    assert [name for name, text in tracked_texts() if former in text.lower() or former in name.lower()] == []


def test_no_text_gives_the_bare_name_to_pip() -> None:
    bare = re.compile(r"pip3? install .*(?<![/\w.{}-])pocketsight(\[[^\]\n]*\])?(?! @ )(['\"`\s),;]|$)", re.MULTILINE)
    found = [f"{name}: {match[0]}" for name, text in tracked_texts() for match in bare.finditer(text)]
    assert found == []
