"""Image outputs of a run that do not delay it: the web page, and snapshots of new faces."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from pocketsight.device.errors import ServeError
from pocketsight.device.faults import FaultReporter
from pocketsight.device.results import FrameResult, LogEntry
from pocketsight.device.runtime.config import RunConfig
from pocketsight.device.runtime.status import RunStatus
from pocketsight.device.vision.pixels import Content


class FrameOutputs(NamedTuple):
    """Two functions that the loop calls. Neither waits for anything."""

    on_frame: Callable[[Content, FrameResult], None]
    on_event: Callable[[LogEntry, Content, FrameResult], None]


@contextmanager
def open_outputs(config: RunConfig, status: RunStatus, report_fault: FaultReporter) -> Iterator[FrameOutputs]:
    """Open the outputs that `config` asks for. Raises ServeError or LogError if one cannot be opened."""
    consumers: list[Callable[[Content, FrameResult], None]] = []
    on_event: Callable[[LogEntry, Content, FrameResult], None] = _ignore
    with ExitStack() as stack:
        if config.preview_url and not config.preview_url.startswith(("http://", "https://")):
            raise ServeError(f"--preview-url {config.preview_url} must begin with http:// or https://")
        if config.preview:
            from pocketsight.device.web.server import serve

            server = stack.enter_context(
                serve(
                    config.preview,
                    config.token_file,
                    status,
                    config.blur,
                    frame_origins=config.preview_frame_origins,
                )
            )
            status.info["page_url"] = config.preview_url or (None if server.is_local else server.url)
            consumers.append(server.update)
        if config.snapshots:
            from pocketsight.device.sinks.snapshots import Snapshots

            snapshots = Snapshots(
                config.snapshots, config.snapshots_retain_days, config.snapshots_max_bytes, config.blur, report_fault
            )
            stack.callback(snapshots.close)
            consumers.append(snapshots.add_frame)
            on_event = snapshots.add_event

        def on_frame(content: Content, result: FrameResult) -> None:
            for consume in consumers:
                consume(content, result)

        yield FrameOutputs(on_frame, on_event)


def _ignore(*_: object) -> None:
    """There are no snapshots."""
