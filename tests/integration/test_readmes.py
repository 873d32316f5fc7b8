"""The READMEs: the same headings everywhere, every file listed, links that resolve, commands and options that exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from pocketsight.device.cli.main import main
from pocketsight.export.deploy.cli import DEFAULT_COMMAND, DeployGroup
from tests.support import ROOT

HEADINGS = ["What it does", "Use", "Options", "Files in this folder", "Limits"]
WIDTH = 100  # of lines that are neither tables nor code
README_LINES = 100
FOLDERS = "device", "train", "export", "scripts"
PAGES = [
    ROOT / "README.md",
    ROOT / ".github" / "CONTRIBUTING.md",
    *sorted(page for folder in (*FOLDERS, "models") for page in (ROOT / folder).rglob("*.md")),
]
# `rglob` does not follow the links of scripts/package, so each page occurs once.
FOLDER_PAGES = [page for page in PAGES if page.name == "README.md" and page.parts[len(ROOT.parts)] in FOLDERS]
CODE_FOLDERS = sorted(
    {path.parent for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if path.name != "__init__.py"}
)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def without_code_blocks(text: str) -> str:
    """Text without fenced and indented code."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"^ {4}.*$", "", text, flags=re.MULTILINE)


def section(text: str, heading: str) -> str:
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def first_cells(text: str) -> set[str]:
    """The names in code or links in the first column of the table of files."""
    rows = re.findall(r"^\| *(.*?) *\|", section(text, "Files in this folder"), re.MULTILINE)
    return {word for row in rows for word in re.findall(r"`([^`]+)`|\[([^\]]+)\]", row) for word in word if word}


@pytest.mark.parametrize("page", FOLDER_PAGES, ids=name)
def test_folder_pages_have_the_same_headings(page: Path) -> None:
    assert re.findall(r"^## (.*)$", page.read_text(), re.MULTILINE) == HEADINGS


@pytest.mark.parametrize("folder", CODE_FOLDERS, ids=name)
def test_every_file_is_in_the_table_of_its_folder(folder: Path) -> None:
    """A folder without a README is listed in that of a folder above, with its path from there."""
    page = next(up / "README.md" for up in (folder, *folder.parents) if (up / "README.md").exists())
    listed = first_cells(page.read_text())
    files = {str(path.relative_to(page.parent)) for path in folder.glob("*.py") if path.name != "__init__.py"}
    assert files <= listed, f"{name(page)} lacks {', '.join(sorted(files - listed))}"


@pytest.mark.parametrize("page", FOLDER_PAGES, ids=name)
def test_every_listed_file_exists(page: Path) -> None:
    paths = {cell.strip("`") for cell in first_cells(page.read_text())}
    assert [path for path in sorted(paths) if not (page.parent / path).exists()] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_lines_are_short(page: Path) -> None:
    prose = without_code_blocks(page.read_text()).splitlines()
    long = [line for line in prose if len(line) > WIDTH and not re.match(r"\s*(\||!\[|<|\[[^\]]*\]:)", line)]
    assert long == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_resolve(page: Path) -> None:
    targets = re.findall(
        r"\]\(([^)#\s]+)(?:#[^)]*)?\)|(?:src|href)=\"([^\"#]+)\"", without_code_blocks(page.read_text())
    )
    local = [path for pair in targets for path in pair if path and "://" not in path]
    assert [path for path in local if not (page.parent / path).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_named_paths_exist(page: Path) -> None:
    """Paths in code, from the top of the checkout."""
    named = re.findall(
        r"(?<![\w./-])((?:device|train|export|scripts|tests)/[\w./-]+\.(?:py|sh|md|json|toml|service))\b",
        page.read_text(),
    )
    assert [path for path in sorted(set(named)) if not (ROOT / path).exists()] == []


def commands(text: str) -> Iterator[list[str]]:
    """The words after `pocketsight` of each command in code spans and code blocks, without comments."""
    text = re.sub(r"\\\n\s*", " ", text)
    blocks = re.findall(r"^ {4}.*$", text, re.MULTILINE) + re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", text)
    for code in blocks:
        code = re.sub(r"(^|\s)#.*$", "", " ".join(code.split()))
        for match in re.finditer(r"(?:^|[;&|$(] *|sudo |/bin/)pocketsight ([^;&|`]*)", code.strip()):
            yield match[1].split()


def find_command(words: list[str]) -> tuple[click.Command, click.Context, list[str]]:
    """The command that the words name, and the words after it."""
    command: click.Command = main
    context = click.Context(command, info_name="pocketsight")
    while isinstance(command, click.Group) and words and re.fullmatch(r"-[a-z]+|[a-z][a-z0-9-]*", words[0]):
        if words[0].startswith("-"):
            words = words[1:]
            continue
        inner = command.get_command(context, words[0])
        if inner is None:
            break
        command, words = inner, words[1:]
        context = click.Context(command, info_name=command.name, parent=context)
    if isinstance(command, DeployGroup) and (inner := command.get_command(context, DEFAULT_COMMAND)):
        command, context = inner, click.Context(inner, info_name=inner.name, parent=context)
    return command, context, words


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_and_options_exist(page: Path) -> None:
    wrong = []
    for words in commands(page.read_text()):
        command, context, rest = find_command(words)
        known = {option for param in command.get_params(context) for option in (*param.opts, *param.secondary_opts)}
        if isinstance(command, click.Group) and rest and re.fullmatch(r"[a-z][a-z-]*", rest[0]) and not command.params:
            wrong.append(f"no command: pocketsight {' '.join(words)}")
        options = [found[0] for word in rest if (found := re.match(r"--[a-z][a-z-]*", word))]
        wrong += [f"no option {option}: pocketsight {' '.join(words)}" for option in options if option not in known]
    assert wrong == []
