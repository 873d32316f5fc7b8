"""Folders of the user or the service, moved by environment variables."""

from pathlib import Path

import pytest

from pocketsight.device.system.paths import cache_dir, state_dir


@pytest.mark.parametrize(
    ("variables", "state", "cache"),
    [
        ({}, "/home/me/.local/state/pocketsight", "/home/me/.cache/pocketsight"),
        ({"XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "/c"}, "/s/pocketsight", "/c/pocketsight"),
        ({"STATE_DIRECTORY": "/var/lib/pocketsight:/b", "XDG_STATE_HOME": "/s"}, "/var/lib/pocketsight", None),
    ],
)
def test_environment_variables_move_the_folders(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], state: str, cache: str | None
) -> None:
    for name in ("STATE_DIRECTORY", "XDG_STATE_HOME", "CACHE_DIRECTORY", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **variables}.items():
        monkeypatch.setenv(name, value)
    assert state_dir() == Path(state)
    assert cache is None or cache_dir() == Path(cache)
