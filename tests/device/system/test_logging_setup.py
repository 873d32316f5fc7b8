"""Logging of the program: levels, priorities for the journal, and a full pipe that blocks nobody."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from pocketsight.device.system.logging_setup import (
    INFO_BY_DEFAULT,
    JournalFormatter,
    NonBlockingHandler,
    configure_logging,
    is_journal,
)

LOGGERS = "pocketsight", "pocketsight.device.camera.live", *INFO_BY_DEFAULT, "other"
SETUP = "from pocketsight.device.system.logging_setup import configure_logging\nimport logging\n"


@pytest.fixture(autouse=True)
def unchanged() -> Iterator[None]:
    """The levels and handlers of this process afterwards are those before."""
    before = {name: logging.getLogger(name).level for name in ("", *LOGGERS)}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, NonBlockingHandler)]


def log_all(name: str) -> None:
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logging.getLogger(name).log(level, "%s of %s", logging.getLevelName(level), name)


@pytest.mark.parametrize(
    ("verbosity", "module", "by_default", "other"),
    [
        (-2, "ERROR", "ERROR", "WARNING ERROR"),
        (-1, "ERROR", "ERROR", "WARNING ERROR"),
        (0, "WARNING ERROR", "INFO WARNING ERROR", "WARNING ERROR"),
        (1, "INFO WARNING ERROR", "INFO WARNING ERROR", "WARNING ERROR"),
        (2, "DEBUG INFO WARNING ERROR", "DEBUG INFO WARNING ERROR", "WARNING ERROR"),
        (9, "DEBUG INFO WARNING ERROR", "DEBUG INFO WARNING ERROR", "WARNING ERROR"),
    ],
)
def test_levels(capsys: pytest.CaptureFixture[str], verbosity: int, module: str, by_default: str, other: str) -> None:
    configure_logging(verbosity)
    for name, expected in (
        ("pocketsight.device.camera.live", module),
        ("pocketsight.device.runtime.loop", by_default),
        ("pocketsight.train.datasets.scan", by_default),
        ("other", other if verbosity >= 0 else "ERROR"),
    ):
        log_all(name)
        lines = capsys.readouterr().err.splitlines()
        assert [line.partition(" of ")[0].split()[-1] for line in lines] == expected.split()


def test_a_line_has_its_time_and_level_unless_it_is_progress_of_the_workstation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging()
    configure_logging()  # once more: still one handler
    logging.getLogger("pocketsight.device.runtime.loop").warning("camera lost: unplugged")
    logging.getLogger("pocketsight.train.console").info("reading %d images", 3)
    fault, progress = capsys.readouterr().err.splitlines()
    assert fault[10] == "T" and fault[23:] == "Z WARNING camera lost: unplugged"
    assert progress == "reading 3 images"


def test_the_journal_gets_a_priority_on_every_line() -> None:
    record = logging.LogRecord("x", logging.WARNING, "", 1, "one\ntwo", None, None)
    assert JournalFormatter().format(record) == "<4>one\n<4>two"
    levels = (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)
    records = [logging.LogRecord("x", level, "", 1, "", None, None) for level in levels]
    assert [JournalFormatter().format(record) for record in records] == ["<2>", "<3>", "<4>", "<6>", "<7>"]


def test_only_the_journal_gets_priorities() -> None:
    """JOURNAL_STREAM names the socket of the journal, see systemd.exec(5); a file or a pipe is something else."""
    code = SETUP + "configure_logging()\nlogging.getLogger('pocketsight').warning('careful')"
    out, into = os.pipe()
    status = os.fstat(into)
    for stream, expected in ((f"{status.st_dev}:{status.st_ino}", "<4>careful\n"), ("1:1", "Z WARNING careful\n")):
        environment = {**os.environ, "JOURNAL_STREAM": stream}
        subprocess.run([sys.executable, "-c", code], stderr=into, env=environment, check=True, timeout=60)
        assert os.read(out, 4096).decode().endswith(expected)
    os.close(into)
    os.close(out)
    assert not is_journal(None) and not is_journal("")


def test_messages_for_a_pipe_that_nobody_empties_block_nobody() -> None:
    code = (
        SETUP + "configure_logging()\n"
        "for number in range(5000): logging.getLogger('pocketsight').warning('%d %s', number, 'x' * 200)\n"
        "logging.shutdown()\n"
        "print('done', flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout and process.stdout.readline() == b"done\n"
            assert process.wait(timeout=20) == 0
        finally:
            process.kill()


def test_the_last_messages_of_a_program_are_written() -> None:
    code = SETUP + "configure_logging()\nfor n in range(50): logging.getLogger('pocketsight').warning('%d', n)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert [line.split()[-1] for line in done.stderr.splitlines()] == [str(n) for n in range(50)]


def test_a_closed_standard_error_is_no_error() -> None:
    code = "import os; os.close(2)\n" + SETUP + "configure_logging()\nlogging.getLogger('pocketsight').error('x')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60)
    assert done.returncode == 0


def test_the_main_program_is_not_configured_by_importing() -> None:
    code = "import logging, pocketsight.device.runtime.loop\nprint(logging.getLogger().handlers)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"
