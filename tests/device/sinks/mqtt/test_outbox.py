import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pocketsight.device.errors import LogError
from pocketsight.device.sinks.mqtt.outbox import DELETE_BATCH_SIZE, MAX_IN_MEMORY, Outbox
from tests.support import ROOT

LIMIT = 64 * 2**20
LONG = "x" * 300


def opened(folder: Path, limit: int = LIMIT) -> Outbox:
    return Outbox(folder / "deep" / "outbox.db", limit)


def lines(first: int, last: int) -> list[str]:
    return [f"{number} {LONG}" for number in range(first, last)]


def texts(outbox: Outbox, after: int = 0, count: int = 100_000) -> list[str]:
    return [text for _, text in outbox.peek(after, count)]


def test_lines_come_out_in_the_order_they_went_in_also_after_a_restart(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    outbox.put(lines(0, 3))
    outbox.put(lines(3, 5))
    assert texts(outbox, count=4) == lines(0, 4) and texts(outbox, after=2) == lines(2, 5)
    outbox.acknowledge(2)
    outbox.close()
    outbox = opened(tmp_path)
    assert len(outbox) == 3 and texts(outbox) == lines(2, 5)
    outbox.close()


def test_numbers_go_on_when_everything_was_taken(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    outbox.put(lines(0, 2))
    outbox.acknowledge(2)
    outbox.put(lines(2, 3))
    assert outbox.peek(2, 9) == [(3, lines(2, 3)[0])] and len(outbox) == 1
    outbox.close()


def test_lines_that_are_taken_at_once_never_touch_the_disk(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    outbox.has_consumer = True
    before = sum(file.stat().st_size for file in outbox.path.parent.iterdir())
    for number in range(1, 1000):
        outbox.put([LONG])
        assert texts(outbox) == [LONG]
        outbox.acknowledge(number)
    assert sum(file.stat().st_size for file in outbox.path.parent.iterdir()) == before and outbox.bytes_written == 0
    outbox.close()


def test_lines_that_are_not_taken_at_once_are_on_the_disk_soon(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    outbox.has_consumer = True
    outbox.put(lines(0, 3))
    assert outbox.bytes_written == 0
    outbox.flush()
    assert outbox.bytes_written > 3 * len(LONG) and texts(outbox) == lines(0, 3)
    outbox.put(lines(3, 4))  # behind others that wait: not held
    assert texts(outbox, after=3) == lines(3, 4) and outbox.bytes_written > 4 * len(LONG)
    outbox.acknowledge(4)
    outbox.put(lines(4, 4 + MAX_IN_MEMORY))
    held = outbox.bytes_written
    outbox.put(lines(4 + MAX_IN_MEMORY, 5 + MAX_IN_MEMORY))
    assert outbox.bytes_written > held + MAX_IN_MEMORY * len(LONG) and texts(outbox) == lines(4, 5 + MAX_IN_MEMORY)
    outbox.close()


@pytest.mark.parametrize("taken", [0, DELETE_BATCH_SIZE + 100])
def test_a_killed_process_leaves_every_line_that_was_not_taken(tmp_path: Path, taken: int) -> None:
    code = (
        "import os, signal; from tests.device.sinks.mqtt.test_outbox import *\n"
        f"outbox = opened(Path({str(tmp_path)!r}))\n"
        "for line in lines(0, 2000): outbox.put([line])\n"
        f"outbox.acknowledge({taken})\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT)
    assert ended.returncode == -signal.SIGKILL
    outbox = opened(tmp_path)
    left = texts(outbox)
    assert left == lines(2000 - len(left), 2000) and 2000 - taken <= len(left) <= 2000 - taken + DELETE_BATCH_SIZE
    outbox.close()


def test_a_full_outbox_drops_the_oldest_and_counts_them(tmp_path: Path) -> None:
    limit = 200_000
    outbox = opened(tmp_path, limit)
    outbox.put(lines(0, 100))
    assert not outbox.is_full and not outbox.dropped
    for number in range(100, 3000):
        outbox.put(lines(number, number + 1))
    left = texts(outbox)
    assert outbox.is_full and left == lines(3000 - len(left), 3000) and len(left) == len(outbox)
    assert outbox.dropped == 3000 - len(left) and len(left) * len(LONG) > 0.6 * limit
    assert outbox.path.stat().st_size <= limit * 1.1
    outbox.acknowledge(outbox.last_number)
    assert not outbox.is_full
    outbox.close()


def test_a_large_file_is_small_again_when_it_was_emptied(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    outbox.put(lines(0, 10_000))
    outbox.acknowledge(10_000)
    outbox.close()
    opened(tmp_path).close()
    assert outbox.path.stat().st_size < 10_000


@pytest.mark.parametrize("how", ["garbage", "cut", "holes", "newer"])
def test_a_broken_file_is_set_aside_and_a_new_one_begun(tmp_path: Path, how: str) -> None:
    outbox = opened(tmp_path)
    outbox.put(lines(0, 1000))
    if how == "newer":
        outbox._db.execute("PRAGMA user_version = 7")
    outbox.close()
    whole = outbox.path.read_bytes()
    broken = {
        "garbage": b"x" * 5000,
        "cut": whole[: len(whole) // 2],
        "newer": whole,
        "holes": whole[:2048] + bytes(9000) + whole[11048:],
    }[how]
    outbox.path.write_bytes(broken)
    outbox = opened(tmp_path)
    assert str(outbox.path) in outbox.quarantine_reason and not len(outbox)
    assert outbox.path.with_name("outbox.db.broken").read_bytes() == broken
    outbox.put(lines(0, 2))
    outbox.close()
    outbox = opened(tmp_path)
    assert texts(outbox) == lines(0, 2) and not outbox.quarantine_reason
    outbox.close()


def test_a_file_that_breaks_while_it_is_used_costs_what_was_in_it_and_no_more(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    outbox.put(lines(0, 3000))
    outbox._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    size = outbox.path.stat().st_size
    outbox._db.execute("PRAGMA shrink_memory")
    with open(outbox.path, "r+b") as file:
        file.write(b"\xaa" * size)
    outbox.has_consumer = True
    assert texts(outbox) == [] and outbox.quarantine_reason and outbox.dropped == 3000 and len(outbox) == 0
    outbox.put(lines(3000, 3002))
    assert outbox.peek(0, 9) == [(3001, lines(3000, 3001)[0]), (3002, lines(3001, 3002)[0])]
    outbox.close()
    outbox = opened(tmp_path)
    assert texts(outbox) == lines(3000, 3002)
    outbox.close()


def test_a_full_disk_is_an_error_while_nobody_takes_lines_and_none_while_somebody_does(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    outbox.put(lines(0, 10))
    (pages,) = outbox._db.execute("PRAGMA page_count").fetchone()
    outbox._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(LogError, match="full"):
        outbox.put(lines(10, 40))
    assert texts(outbox) == lines(0, 10) and len(outbox) == 10
    outbox.has_consumer = True
    outbox.put(lines(10, 40))
    outbox.flush()
    assert texts(outbox) == lines(0, 40)
    with pytest.raises(LogError, match="full"):
        outbox.put(lines(40, 40 + MAX_IN_MEMORY))
    assert texts(outbox) == lines(0, 40)
    with pytest.raises(LogError, match="30 events are lost"):
        outbox.close()
    outbox = opened(tmp_path)
    assert texts(outbox) == lines(0, 10)
    outbox.close()


def test_what_a_full_disk_kept_in_memory_is_written_when_there_is_room_again(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    outbox.has_consumer = True
    outbox._db.execute("PRAGMA max_page_count = 2")
    outbox.put(lines(0, 40))
    outbox.flush()
    outbox._db.execute("PRAGMA max_page_count = 100000")
    outbox.close()
    outbox = opened(tmp_path)
    assert texts(outbox) == lines(0, 40)
    outbox.close()


def test_two_runs_do_not_share_an_outbox(tmp_path: Path) -> None:
    outbox = opened(tmp_path)
    with pytest.raises(LogError, match="another run uses it"):
        opened(tmp_path)
    outbox.close()


def test_a_folder_that_cannot_be_is_an_error_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "deep").write_text("a file")
    with pytest.raises(LogError, match="cannot be opened: File exists"):
        opened(tmp_path)
