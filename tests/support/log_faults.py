"""What test_log_faults.py runs in processes of its own.

log_faults.py kill FILE KILLS SEED     children write FILE at full speed, one after the other, and are killed;
                                       prints a line a child: its number and that of its last finished batch
log_faults.py full FOLDER              logs in FOLDER, a small disk that is filled, then freed; prints the faults
log_faults.py loop FILE                writes until SIGTERM, then closes within the deadline
"""

import json
import os
import random
import shutil
import signal
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pocketsight.device.errors import LogError
from pocketsight.device.sinks.base import RotationConfig, Sink
from pocketsight.device.sinks.csv_file import open_csv
from pocketsight.device.sinks.jsonl import open_jsonl
from pocketsight.device.sinks.sqlite import SqliteSink
from pocketsight.device.sinks.worker import SinkWorker
from tests.support.entries import face

NUMBER = struct.Struct("=q")
BATCH = 5


def opened(path: Path, limits: RotationConfig) -> Sink:
    """By its ending."""
    if path.suffix == ".db":
        return SqliteSink(path, limits, lambda *fault: print(json.dumps(fault), file=sys.stderr))
    return (open_csv if path.suffix == ".csv" else open_jsonl)(path, limits)


def kill(path: Path, kills: int, chance: random.Random) -> None:
    """Fork, let write, kill, and tell how far the child says it got."""
    for child in range(kills):
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(read)
            signal.alarm(60)
            _write_on(path, f"child{child}", write)
        os.close(write)
        done = os.read(read, NUMBER.size)  # the first batch is written, or the child failed
        time.sleep(chance.uniform(0, 0.03))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        while more := os.read(read, 65536):
            done += more
        os.close(read)
        last = NUMBER.unpack(done[len(done) // NUMBER.size * NUMBER.size - NUMBER.size :][: NUMBER.size])[0]
        print(json.dumps([child, last]))


def _write_on(path: Path, run: str, report: int) -> None:
    try:
        sink = opened(path, RotationConfig(300_000, None, None))
        for batch in range(1_000_000):
            sink.write([face(number, run=run) for number in range(BATCH * batch, BATCH * batch + BATCH)])
            os.write(report, NUMBER.pack(batch))
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
    os._exit(1)


def full(folder: Path) -> None:
    """Write, fill the disk, write more than may wait, free the disk, write again."""
    reports: dict[str, list[Any]] = {}
    over = {name: threading.Event() for name in ("log.jsonl", "log.csv", "log.db")}

    def reporter_for(name: str) -> Any:
        def report(fault: str, active: bool, detail: str) -> None:
            reports[name].append([fault, active, detail])
            (over[name].clear if active else over[name].set)()

        return report

    writers = {}
    for name in over:
        reports[name] = []
        writers[name] = SinkWorker(
            opened(folder / name, RotationConfig(None, None, None)), reporter_for(name), queue_size=200
        )
    count = _put(writers, 0, 100)
    _until(lambda: all(writer.written == count for writer in writers.values()))
    _fill(folder / "ballast")
    while not all(reports.values()):
        count = _put(writers, count, 10)
        time.sleep(0.02)
    count = _put(writers, count, 500)
    lost = {name: writer.lost for name, writer in writers.items()}
    assert all(count > 0 for count in lost.values()), lost
    (folder / "ballast").unlink()
    _until(lambda: all(event.is_set() for event in over.values()))
    count = _put(writers, count, 100)
    closed = {name: writer.close(10) for name, writer in writers.items()}
    lost = {name: writer.lost for name, writer in writers.items()}
    print(json.dumps({"put": count, "lost": lost, "closed": closed, "reports": reports}))


def _put(writers: dict[str, SinkWorker], first: int, count: int) -> int:
    for number in range(first, first + count):
        for writer in writers.values():
            writer.put(face(number))
    return first + count


def _fill(ballast: Path) -> None:
    with open(ballast, "wb", buffering=0) as file:
        for size in (65536, 4096):
            try:
                while file.write(bytes(size)):
                    pass
            except OSError:
                pass
    assert shutil.disk_usage(ballast.parent).free < 4096


def _until(true: Any) -> None:
    end = time.monotonic() + 40
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def loop(path: Path) -> None:
    """A run in small."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        writer = SinkWorker(opened(path, RotationConfig(None, None, None)), lambda *fault: None)
    except LogError as error:
        sys.exit(f"Error: {error}")
    count = 0
    while not ended.wait(0.001):
        writer.put(face(count))
        count += 1
        if count == 50:
            print("open", flush=True)
    start = time.monotonic()
    whole = writer.close()
    print(json.dumps({"put": count, "whole": whole, "seconds": time.monotonic() - start}))


if __name__ == "__main__":
    what, where, *more = sys.argv[1:]
    if what == "kill":
        kill(Path(where), int(more[0]), random.Random(int(more[1])))
    else:
        {"full": full, "loop": loop}[what](Path(where))
