"""A wheel and a checkout in fresh environments: each printed command installs this copy, and no other."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support import ROOT

PRINT_COMMANDS = """
import sys
from pocketsight.device.system.install_hint import install_command
for extras in sys.argv[1:]:
    print(install_command(*extras.split(",")))
"""
NOT_COPIED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "runs", "demo", "data")


EXTRAS = tuple(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


def test_every_extra_in_a_message_exists() -> None:
    """The names in the calls of install_command, in all product code."""
    named = set()
    for path in (path for folder in ("device", "train", "export") for path in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "install_command":
                named |= {str(word.value) for word in node.args if isinstance(word, ast.Constant)}
    assert {"board", "mqtt", "web"} <= named <= set(EXTRAS)


class Environment:
    """A virtual environment with pip, and nothing else."""

    def __init__(self, folder: Path) -> None:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        self.variables = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
        self.variables |= {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def shell(self, command: str) -> str:
        """The output of a command, typed as it is. Skips the test where the package index cannot be reached."""
        done = subprocess.run(
            ["bash", "-c", command], capture_output=True, text=True, env=self.variables, cwd="/", timeout=600
        )
        if "Failed to establish a new connection" in done.stderr or "Temporary failure in name" in done.stderr:
            pytest.skip("needs the package index")
        assert done.returncode == 0, command + "\n" + done.stdout + done.stderr
        return done.stdout

    def printed(self, *calls: tuple[str, ...]) -> list[str]:
        """The commands that pocketsight prints for these extras."""
        return self.shell(f"python -c '{PRINT_COMMANDS}' {' '.join(map(','.join, calls))}").splitlines()

    def origin(self, command: str) -> str:
        """The URL that pip takes pocketsight from, by its report on what it would do."""
        report = json.loads(self.shell(f"{command} --dry-run --ignore-installed --no-deps --quiet --report -"))
        names = [item["metadata"]["name"] for item in report["install"]]
        assert names == ["pocketsight"]
        return str(report["install"][0]["download_info"]["url"])


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("fresh") / "venv")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this checkout."""
    folder = tmp_path_factory.mktemp("install") / "kit"
    shutil.copytree(ROOT, folder, symlinks=True, ignore=NOT_COPIED)
    return folder


@pytest.fixture(scope="module")
def wheel(checkout: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "../wheels"], cwd=checkout, check=True
    )
    (path,) = (checkout.parent / "wheels").glob("pocketsight-*.whl")
    return path


def test_every_command_takes_the_wheel_it_was_installed_from(wheel: Path, environment: Environment) -> None:
    environment.shell(f"pip install --quiet --no-deps {wheel}")
    calls = [*((extra,) for extra in EXTRAS), ("mqtt", "web")]
    for extras, command in zip(calls, environment.printed(*calls), strict=True):
        assert command == f"pip install '{wheel}[{','.join(extras)}]'"
        assert environment.origin(command) == wheel.as_uri()
    (command,) = environment.printed(("mqtt",))
    environment.shell(command)  # as it is printed
    environment.shell("python -c 'import paho.mqtt.client, numpy, click' && pip check")
    assert environment.printed(("mqtt",)) == [command]
    wheel.rename(moved := wheel.with_suffix(".moved"))
    try:
        assert environment.printed(("mqtt",)) == ["pip install 'paho-mqtt>=2.2'"]
    finally:
        moved.rename(wheel)


def test_a_command_takes_the_checkout_it_was_installed_from(checkout: Path, environment: Environment) -> None:
    environment.shell(f"pip install --quiet --no-deps -e {checkout}")
    (command,) = environment.printed(("web",))
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
    bare = re.compile(
        r"pip3? install [^`\n]*(?<![/\w.{}-])pocketsight(\[[^\]\n]*\])?(?! @ )(['\"`\s),;]|$)", re.MULTILINE
    )
    found = [f"{name}: {match[0]}" for name, text in tracked_texts() for match in bare.finditer(text)]
    assert found == []
