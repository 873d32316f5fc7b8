"""Messages of training commands: through `logging`, shown by default, hidden by -q."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from pocketsight.device.cli.main import main
from pocketsight.train.console import log_message, progress_bar, suggest_next
from tests.support.images import save, scene


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    logger = logging.getLogger("pocketsight.train")
    before = logger.level
    logger.setLevel(logging.NOTSET)
    yield
    logger.setLevel(before)


def test_messages_are_records_and_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    records: list[logging.LogRecord] = []

    class Recorder(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Recorder()
    logging.getLogger("pocketsight.train").addHandler(handler)
    try:
        log_message("a [b] 50% " + 200 * "x")
    finally:
        logging.getLogger("pocketsight.train").removeHandler(handler)
    assert [(record.name, record.levelname) for record in records] == [("pocketsight.train", "INFO")]
    log_message("a [b] 50% " + 200 * "x")
    assert capsys.readouterr().err.splitlines()[-1] == "a [b] 50% " + 200 * "x"


@pytest.mark.parametrize(("options", "is_shown"), [([], True), (["-v"], True), (["-q"], False)])
def test_messages_are_shown_unless_the_command_is_quiet(tmp_path: Path, options: list[str], is_shown: bool) -> None:
    for n in range(6):
        save(tmp_path / "data" / ("a" if n % 2 else "b") / f"{n}.jpg", scene(n))
    words = [*options, "data", "check", str(tmp_path / "data"), "--html", str(tmp_path / "page.html")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0 and "6 images" in done.stdout
    assert (f"look at {tmp_path / 'page.html'}" in done.stderr) == is_shown


def test_the_next_command_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    suggest_next("data", "check", "my data")
    assert capsys.readouterr().err == "next: pocketsight data check 'my data'\n"


def test_no_progress_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress_bar([1, 2, 3])) == [1, 2, 3]
    assert capsys.readouterr().err == ""
