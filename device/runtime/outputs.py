"""What leaves the process as pictures, where asked: the page, and snapshots of faces that appear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from pocketsight.device.faults import FaultReporter
from pocketsight.device.results import FrameResult, LogEntry
from pocketsight.device.runtime.config import RunConfig
from pocketsight.device.runtime.status import RunStatus
from pocketsight.device.vision.image import Image


class FrameOutputs(NamedTuple):
    """Two calls of the loop; neither waits for anything."""

    on_frame: Callable[[Image, FrameResult], None]
    on_event: Callable[[LogEntry, Image, FrameResult], None]


@contextmanager
def open_outputs(config: RunConfig, status: RunStatus, report_fault: FaultReporter) -> Iterator[FrameOutputs]:
    """What `plan` asks to show. Raises ServeError or LogError when it cannot be."""
    frames: list[Callable[[Image, FrameResult], None]] = []
    event: Callable[[LogEntry, Image, FrameResult], None] = _ignore
    with ExitStack() as stack:
        if config.preview:
            from pocketsight.device.web.server import serve

            frames.append(stack.enter_context(serve(config.preview, config.token_file, status, config.blur)).update)
        if config.snapshots:
            from pocketsight.device.sinks.snapshots import Snapshots

            kept = Snapshots(
                config.snapshots, config.snapshots_retain_days, config.snapshots_max_bytes, config.blur, report_fault
            )
            stack.callback(kept.close)
            frames.append(kept.add_frame)
            event = kept.add_event

        def frame(image: Image, record: FrameResult) -> None:
            for show in frames:
                show(image, record)

        yield FrameOutputs(frame, event)


def _ignore(*_: object) -> None:
    """Nobody looks."""
