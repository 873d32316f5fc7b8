"""Signals as events."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager


@contextmanager
def signal_events(events: Mapping[signal.Signals, threading.Event]) -> Iterator[None]:
    """Set an event when its signal arrives, until the block is left. Does nothing outside the main thread.

    A thread sets the events. A signal handler must not: the thread that it interrupts may hold the lock of the event.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    thread = threading.Thread(target=_set_events, args=(reader, events), name="signals", daemon=True)
    thread.start()
    before_fd = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    before = {number: signal.signal(number, lambda *_: None) for number in events}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before_fd)
        writer.close()  # ends the thread
        thread.join()


def _set_events(reader: socket.socket, events: Mapping[signal.Signals, threading.Event]) -> None:
    with reader:
        while numbers := reader.recv(64):
            for number, event in events.items():
                if number in numbers:
                    event.set()


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set, so that the current frame can be finished."""
    stop = threading.Event()
    with signal_events({signal.SIGINT: stop, signal.SIGTERM: stop}):
        yield stop
