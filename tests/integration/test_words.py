"""Words of earlier versions that must not come back: in texts for users, docstrings, comments or names."""

import re
from collections.abc import Iterator

import click
import pytest

from pocketsight.device.cli.main import main
from tests.support import ROOT

BANNED = re.compile(
    r"\b(told|tells|mend(s|ed|ing)?|cure[sd]?|anew|besides?|vain|sittings?|surer|surest|certainty|naked|promises?|"
    r"false alarms?|so many|edge[k]it)\b",
    re.IGNORECASE,
)
FOLDERS = "device", "train", "export", "scripts", "models"
SUFFIXES = {".py", ".md", ".j2", ".html", ".js", ".sh", ".toml", ".service"}
# It translates the names of old manifests.
EXCEPTIONS = {ROOT / "device" / "inference" / "legacy_manifest.py"}
# `rglob` does not follow the links of scripts/package, so each file occurs once.
FILES = [
    ROOT / "README.md",
    ROOT / "pyproject.toml",
    *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")) if path.suffix in SUFFIXES),
]


def find_banned(text: str) -> list[str]:
    return [match[0] for match in BANNED.finditer(" ".join(text.split()))]


def help_texts(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    yield context.command_path, command.get_help(context)
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            if inner := command.get_command(context, name):
                yield from help_texts(inner, click.Context(inner, info_name=name, parent=context))


@pytest.mark.parametrize("text", ["what was told", "2 to mend", "false\nalarms", "Edge" + "kit"])
def test_banned_words_are_found(text: str) -> None:
    assert find_banned(text)


def test_files_are_in_plain_words() -> None:
    banned = {str(path.relative_to(ROOT)): find_banned(path.read_text()) for path in FILES if path not in EXCEPTIONS}
    assert len(banned) > 300
    assert {path: words for path, words in banned.items() if words} == {}


def test_help_texts_are_in_plain_words() -> None:
    texts = dict(help_texts(main, click.Context(main, info_name="pocketsight")))
    assert "pocketsight export tflite" in texts
    assert {path: words for path, text in texts.items() if (words := find_banned(text))} == {}
