"""Requests to the agent of a board that need no board."""

from __future__ import annotations

from pathlib import Path

import pytest

from pocketsight.export.deploy.on_board.agent import Agent

pytestmark = pytest.mark.debian("apt-get")


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(str(tmp_path / "prefix"), "process", tmp_path)


def use_mirror(address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let apt know only this mirror, and keep its state in a folder."""
    (folder / "lists/partial").mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"deb [trusted=yes] {address} ./\n")
    settings = {
        "Dir::State": folder,
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder,
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "APT::Sandbox::User": "",
        "Debug::NoLocking": 1,
    }
    (folder / "apt.conf").write_text("".join(f'{name} "{value}";\n' for name, value in settings.items()))
    monkeypatch.setenv("APT_CONFIG", str(folder / "apt.conf"))


def test_without_internet_no_package_is_tried(agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_mirror("http://127.0.0.1:9/debian", tmp_path / "apt", monkeypatch)
    assert "Failed to fetch" in agent.apt(["nothing"])


def test_the_reason_of_apt(agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    (mirror / "Packages").touch()
    use_mirror(f"file:{mirror}", tmp_path / "apt", monkeypatch)
    assert agent.apt(["nothing"]) == "E: Unable to locate package nothing"
