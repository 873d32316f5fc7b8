"""The command that installs an extra, for every way in which pocketsight gets onto a machine."""

import json
import shlex
import sys
from importlib.metadata import PackageNotFoundError, PathDistribution
from pathlib import Path

import pytest

from pocketsight.device.system import install_hint
from pocketsight.device.system.install_hint import install_command
from tests.support import ROOT

METADATA = """Metadata-Version: 2.4
Name: pocketsight
Version: 0.2.0
Requires-Dist: click>=8.1
Provides-Extra: board
Requires-Dist: ai-edge-litert>=1.2; (platform_machine != "armv7l" and platform_machine != "armv6l") and extra == "board"
Provides-Extra: mqtt
Requires-Dist: paho-mqtt>=2; extra == "mqtt"
Provides-Extra: train
Requires-Dist: pocketsight[board]; extra == "train"
Requires-Dist: rich>=13; extra == "train"
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The dist-info folder of an installed copy. It has no origin yet."""
    folder = tmp_path / "pocketsight-0.2.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(METADATA)
    monkeypatch.setattr(install_hint, "distribution", lambda name: PathDistribution(folder))
    monkeypatch.setattr("shutil.which", lambda name: str(Path(sys.executable).parent / name))
    return folder


def came_from(installed: Path, url: str, **facts: object) -> None:
    """Note the origin as pip does."""
    (installed / "direct_url.json").write_text(json.dumps({"url": url} | facts))


def test_an_editable_checkout_is_installed_again_with_the_extra(installed: Path, tmp_path: Path) -> None:
    came_from(installed, tmp_path.as_uri(), dir_info={"editable": True})
    assert install_command("mqtt") == f"pip install -e '{tmp_path}[mqtt]'"
    assert install_command("mqtt", "web") == f"pip install -e '{tmp_path}[mqtt,web]'"
    assert (
        install_command("board", options="--force-reinstall") == f"pip install --force-reinstall -e '{tmp_path}[board]'"
    )


def test_a_wheel_is_named_by_its_path(installed: Path, tmp_path: Path) -> None:
    wheel = tmp_path / "wheels of mine" / "pocketsight-0.2.0-py3-none-any.whl"
    wheel.parent.mkdir()
    wheel.touch()
    came_from(installed, wheel.as_uri(), archive_info={})
    assert shlex.split(install_command("mqtt")) == ["pip", "install", f"{wheel}[mqtt]"]


def test_without_its_wheel_the_packages_are_named(installed: Path, tmp_path: Path) -> None:
    came_from(installed, (tmp_path / "deleted.whl").as_uri(), archive_info={})
    assert install_command("mqtt") == "pip install 'paho-mqtt>=2'"
    litert = 'ai-edge-litert>=1.2; (platform_machine != "armv7l" and platform_machine != "armv6l")'
    assert shlex.split(install_command("train")) == ["pip", "install", litert, "rich>=13"]


def test_from_an_index_the_packages_are_named_too(installed: Path) -> None:
    assert install_command("mqtt") == "pip install 'paho-mqtt>=2'"


def test_an_address_is_given_again(installed: Path) -> None:
    came_from(installed, "https://releases.example/pocketsight-0.2.0-py3-none-any.whl", archive_info={})
    wanted = "pocketsight[web] @ https://releases.example/pocketsight-0.2.0-py3-none-any.whl"
    assert shlex.split(install_command("web")) == ["pip", "install", wanted]
    came_from(installed, "https://code.example/kit.git", vcs_info={"vcs": "git", "commit_id": "abc123"})
    assert shlex.split(install_command("web"))[-1] == "pocketsight[web] @ git+https://code.example/kit.git@abc123"


def test_a_folder_on_the_path_is_a_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(install_hint, "distribution", missing)
    assert shlex.split(install_command("mqtt"))[-2:] == ["-e", f"{ROOT}[mqtt]"]


def test_another_pip_on_the_path_is_not_used(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/pip3")
    assert shlex.split(install_command("mqtt"))[:4] == [sys.executable, "-m", "pip", "install"]
