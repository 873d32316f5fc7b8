"""Messages of training commands: through `logging`, shown by default, hidden by -q."""

import logging
from collections.abc import Iterator

import pytest

from pocketsight.train.console import log_message, progress_bar, suggest_next


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    logger = logging.getLogger("pocketsight")
    before = logger.level
    yield
    logger.setLevel(before)


def test_messages_are_records_and_whole_lines(capsys: pytest.CaptureFixture[str]) -> None:
    records: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = records.append  # type: ignore[method-assign]
    logging.getLogger("pocketsight.train").addHandler(handler)
    try:
        log_message("a [b] 50% " + 200 * "x")
    finally:
        logging.getLogger("pocketsight.train").removeHandler(handler)
    assert [(record.name, record.levelname) for record in records] == [("pocketsight.train", "INFO")]
    log_message("a [b] 50% " + 200 * "x")
    assert capsys.readouterr().err.splitlines()[-1] == "a [b] 50% " + 200 * "x"


@pytest.mark.parametrize(("level", "is_shown"), [(0, True), (logging.WARNING, True), (logging.ERROR, False)])
def test_messages_are_shown_unless_the_log_is_quiet(
    level: int, is_shown: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    logging.getLogger("pocketsight").setLevel(level)
    log_message("hello")
    assert (capsys.readouterr().err == "hello\n") == is_shown
    logging.getLogger("pocketsight").setLevel(logging.NOTSET)
    log_message("again")
    assert capsys.readouterr().err == "again\n"


def test_the_next_command_can_be_pasted(capsys: pytest.CaptureFixture[str]) -> None:
    suggest_next("data", "check", "my data")
    assert capsys.readouterr().err == "next: pocketsight data check 'my data'\n"


def test_no_progress_bar_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress_bar([1, 2, 3])) == [1, 2, 3]
    assert capsys.readouterr().err == ""
