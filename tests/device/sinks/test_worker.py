"""The thread between the loop and a sink. Sinks are lists here, with faults on request."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pocketsight.device.errors import LogError
from pocketsight.device.results import LogEntry
from pocketsight.device.sinks import worker as module
from pocketsight.device.sinks.base import DiskFull, RotationConfig
from pocketsight.device.sinks.group import FaultAggregator, SinkGroup
from pocketsight.device.sinks.jsonl import open_jsonl
from pocketsight.device.sinks.worker import SinkWorker
from tests.support.entries import face
from tests.support.processes import until


class Kept:
    """A sink that is a list. `error` is raised by each write with entries; while `held` is set a write stalls."""

    name, batch_interval, entries_deleted = "kept", 0.0, 0

    def __init__(self) -> None:
        self.entries: list[Any] = []
        self.batches: list[int] = []
        self.firsts: list[LogEntry] = []  # of every try
        self.error: Exception | None = None
        self.free = threading.Event()
        self.free.set()
        self.closed = self.idle = self.bytes_written = self.tries = 0

    def write(self, entries: Sequence[LogEntry]) -> None:
        """Keep them."""
        self.idle += not entries
        self.tries += bool(entries)
        self.firsts += entries[:1]
        self.free.wait(20)
        if self.error and entries:
            raise self.error
        self.entries += entries
        self.batches.append(len(entries))
        self.bytes_written += 100 * len(entries)

    def close(self) -> None:
        """Count it."""
        self.closed += 1


Reports = list[tuple[str, bool, str]]


@pytest.fixture
def reports() -> Reports:
    return []


@pytest.fixture
def kept() -> Iterator[Kept]:
    sink = Kept()
    yield sink
    sink.free.set()


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of a test's length."""
    monkeypatch.setattr(module, "RETRY_DELAYS", (0.02, 0.1))
    monkeypatch.setattr(module, "IDLE_INTERVAL", 0.05)


def writer(sink: Any, reports: Reports, room: int = 100) -> SinkWorker:
    return SinkWorker(sink, lambda *fault: reports.append(fault), room)


def wait_for_failure(log: SinkWorker) -> None:
    """Ends with the failure of the thread, as the loop would hear of it."""

    def never() -> bool:
        log.raise_failure()
        return False

    until(never)


def some(count: int, first: int = 0) -> list[Any]:
    return [{"n": number} for number in range(first, first + count)]


def test_entries_are_written_in_order_and_all_at_the_end(kept: Kept, reports: Reports) -> None:
    kept.batch_interval = 60.0
    log = writer(kept, reports, 10_000)
    for entry in some(1234):
        log.put(entry)
    assert log.close(10)
    assert kept.entries == some(1234) and max(kept.batches) == module.BATCH_SIZE
    assert (log.written, log.lost, kept.closed, reports) == (1234, 0, 1, [])


def test_entries_are_gathered_for_a_while(kept: Kept, reports: Reports) -> None:
    kept.batch_interval = 0.3
    log = writer(kept, reports)
    for entry in some(5):
        log.put(entry)
        time.sleep(0.01)
    until(lambda: log.written == 5)
    assert kept.batches.count(5) == 1 or len([batch for batch in kept.batches if batch]) < 5
    assert log.close()


def test_a_sink_is_called_also_when_nothing_comes(kept: Kept, reports: Reports) -> None:
    log = writer(kept, reports)
    until(lambda: kept.idle >= 3)
    assert log.close()


def test_put_never_waits_and_when_too_much_waits_the_oldest_goes(kept: Kept, reports: Reports) -> None:
    log = writer(kept, reports)
    kept.free.clear()
    log.put({"n": -1})
    until(lambda: kept.tries == 1)  # the thread holds it, and stalls
    for entry in some(250):
        log.put(entry)
    assert (log.lost, log.queued) == (150, 101)
    assert reports[0][:2] == ("log failing", True)
    kept.free.set()
    until(lambda: len(reports) == 2)
    assert reports[1] == ("log failing", False, "kept is written again; 149 entries were lost")  # after the first
    assert log.close()
    assert kept.entries == [{"n": -1}, *some(100, 150)] and log.written == 101


def test_one_that_waits_loses_nothing(kept: Kept, reports: Reports) -> None:
    log = writer(kept, reports, 10)
    kept.free.clear()

    def fill() -> None:
        for entry in some(500):
            log.put(entry, block=True)

    thread = threading.Thread(target=fill)
    thread.start()
    time.sleep(0.2)
    assert thread.is_alive() and not log.has_capacity()
    kept.free.set()
    thread.join(20)
    assert log.close(10)
    assert kept.entries == some(500) and log.lost == 0 and not reports


@pytest.mark.parametrize(("error", "what"), [(LogError("gone"), "log failing"), (DiskFull("no space"), "disk full")])
def test_a_fault_is_told_once_and_what_waited_is_written_when_it_is_over(
    kept: Kept, reports: Reports, error: Exception, what: str
) -> None:
    kept.error = error
    log = writer(kept, reports)
    for entry in some(30):
        log.put(entry)
    until(lambda: kept.tries >= 4)
    assert reports == [(what, True, str(error))] and log.fault and log.fault.detail == str(error)
    kept.error = None
    until(lambda: len(reports) == 2)
    assert reports[1] == (what, False, "kept is written again; 0 entries were lost")
    assert log.close()
    assert all(first == {"n": 0} for first in kept.firsts[:4])
    assert kept.entries == some(30) and log.lost == 0 and not log.fault


def test_what_a_long_fault_costs_is_counted(kept: Kept, reports: Reports) -> None:
    kept.error = LogError("gone")
    log = writer(kept, reports)
    for entry in some(1000):
        log.put(entry)
    until(lambda: kept.tries >= 3)
    for entry in some(500, 1000):
        log.put(entry)
    kept.error = None
    until(lambda: len(reports) == 2)
    assert log.close()
    count = len(kept.entries)
    assert kept.entries == some(count, 1500 - count) and 100 <= count <= 200
    assert log.lost == 1500 - count


def test_the_pauses_grow(kept: Kept, reports: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_DELAYS", (0.05, 10.0))
    kept.error = LogError("gone")
    log = writer(kept, reports)
    log.put({})
    time.sleep(1.2)
    assert 2 <= kept.tries <= 6  # after 0.05, 0.15, 0.35, 0.75 s
    kept.error = None
    assert log.close()  # does not wait for the next try
    assert log.written == 1


def test_one_that_waits_for_a_faulty_sink_hears_why(kept: Kept, reports: Reports) -> None:
    kept.error = LogError("the disk is gone")
    log = writer(kept, reports)
    with pytest.raises(LogError, match="the disk is gone"):
        for entry in some(1000):
            log.put(entry, block=True)
    assert log.lost == 0 and not log.close()


def test_closing_is_over_at_the_deadline(kept: Kept, reports: Reports) -> None:
    log = writer(kept, reports)
    kept.free.clear()
    log.put({})
    start = time.monotonic()
    assert not log.close(0.2)
    assert time.monotonic() - start < 10
    kept.free.set()
    log._thread.join(10)


def test_closing_a_faulty_sink_tries_once_more_and_says_no(kept: Kept, reports: Reports) -> None:
    kept.error = DiskFull("no space")
    log = writer(kept, reports)
    log.put({})
    until(lambda: bool(log.fault))
    assert not log.close()
    assert log.queued == 1 and kept.closed == 1


def test_an_error_that_nobody_foresaw_is_raised_where_it_is_seen(kept: Kept, reports: Reports) -> None:
    kept.error = ZeroDivisionError("a bug")
    log = writer(kept, reports)
    log.put({})
    with pytest.raises(ZeroDivisionError, match="a bug"):
        wait_for_failure(log)
    with pytest.raises(ZeroDivisionError):
        log.put({}, block=True)
    with pytest.raises(ZeroDivisionError):
        log.close()
    assert kept.closed == 1


def test_a_tell_that_fails_is_not_swallowed(kept: Kept) -> None:
    def tell(*fault: Any) -> None:
        raise ZeroDivisionError

    kept.error = LogError("gone")
    log = SinkWorker(kept, tell)
    log.put({})
    with pytest.raises(ZeroDivisionError):
        wait_for_failure(log)


def test_a_reader_who_has_seen_enough_ends_it_quietly(kept: Kept, reports: Reports) -> None:
    kept.error = BrokenPipeError()
    log = writer(kept, reports)
    log.put({})
    until(lambda: log.reader_closed)
    for entry in some(1000):
        log.put(entry, block=True)
    assert log.close() and not reports and SinkGroup([log]).reader_closed


def test_a_fault_may_be_told_to_the_log_itself(kept: Kept) -> None:
    logs: list[SinkWorker] = []
    log = SinkWorker(kept, lambda event, active, detail: logs[0].put({"event": event, "active": active}))
    logs.append(log)
    kept.error = LogError("gone")
    log.put({"n": 0})
    until(lambda: bool(log.fault))
    kept.error = None
    until(lambda: log.written == 3)
    assert kept.entries == [
        {"n": 0},
        {"event": "log failing", "active": True},
        {"event": "log failing", "active": False},
    ]
    assert log.close()


def test_a_fault_that_two_sinks_share_is_over_when_both_are_well() -> None:
    heard: list[tuple[str, bool]] = []
    shared = FaultAggregator(lambda fault, active, detail: heard.append((fault, active)))
    a, b = shared.reporter_for("a.db"), shared.reporter_for("b.db")
    a("disk full", True, "a")
    b("disk full", True, "b")
    a("disk full", False, "a is back")
    assert heard == [("disk full", True)]
    b("disk full", False, "b is back")
    assert heard == [("disk full", True), ("disk full", False)]


def test_bytes_a_day_go_on_as_since_the_start(kept: Kept, reports: Reports, monkeypatch: pytest.MonkeyPatch) -> None:
    log = writer(kept, reports)
    log.put({})
    until(lambda: log.written == 1)
    assert log.bytes_per_day() == 100 * 24  # the first hour counts as one
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 7200)
    assert 1190 <= log.bytes_per_day() <= 1200
    monkeypatch.undo()
    assert log.close()


def test_all_logs_are_closed_in_one_deadline(reports: Reports) -> None:
    sinks = [Kept() for _ in range(7)]
    logs = SinkGroup([writer(sink, reports) for sink in sinks])
    for sink in sinks[:6]:
        sink.free.clear()
    logs.put({})
    start = time.monotonic()
    assert logs.finish(0.5) == 6  # each of the six holds one
    assert time.monotonic() - start < 2.5  # one after the other would take 3
    assert sinks[6].entries == [{}] and "is too slow" in logs.failure_reason
    for sink in sinks:
        sink.free.set()
    for log in logs.workers:
        log._thread.join(10)


def test_many_threads_may_put(tmp_path: Path, reports: Reports) -> None:
    log = writer(open_jsonl(tmp_path / "log.jsonl", RotationConfig(None, None, None)), reports, 10_000)
    threads = [
        threading.Thread(target=lambda run=run: deque(map(log.put, (face(n, run=run) for n in range(500))), 0))
        for run in "abcd"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert log.close(10)
    assert len(set((tmp_path / "log.jsonl").read_text().splitlines())) == 2000


def test_no_thread_and_no_descriptor_stay(tmp_path: Path, reports: Reports) -> None:
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        log = writer(open_jsonl(tmp_path / "log.jsonl", RotationConfig(None, None, None)), reports)
        log.put(face(0))
        assert log.close(10)
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before
