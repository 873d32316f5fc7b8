"""Image outputs of a run that do not delay it: the web page, snapshots of new faces, and frames to label."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from pocketsight.device.errors import ServeError
from pocketsight.device.faults import FaultReporter
from pocketsight.device.results import FrameResult, LogEntry
from pocketsight.device.runtime.config import RunConfig
from pocketsight.device.runtime.status import RunStatus
from pocketsight.device.system.paths import state_dir
from pocketsight.device.vision.pixels import Content

if TYPE_CHECKING:  # each is imported where it is asked for
    from pocketsight.device.sinks.collector import Collector
    from pocketsight.device.sinks.snapshots import Snapshots
    from pocketsight.device.web.server import WebServer


class FrameOutputs(NamedTuple):
    """Two functions that the loop calls. Neither waits for anything."""

    on_frame: Callable[[Content, FrameResult], None]
    on_event: Callable[[LogEntry, Content, FrameResult], None]


@contextmanager
def open_outputs(
    config: RunConfig,
    status: RunStatus,
    report_fault: FaultReporter,
    thresholds: Callable[[], Mapping[str, float]],
) -> Iterator[FrameOutputs]:
    """Open the outputs that `config` asks for. Raises ServeError or LogError if one cannot be opened.

    `thresholds` returns those of the detector by label.
    """
    consumers: list[Callable[[Content, FrameResult], None]] = []
    event_consumers: list[Callable[[LogEntry, Content, FrameResult], None]] = []
    with ExitStack() as stack:
        if config.preview_url and not config.preview_url.startswith(("http://", "https://")):
            raise ServeError(f"--preview-url {config.preview_url} must begin with http:// or https://")
        if config.preview:
            consumers.append(_open_page(config, status, stack).update)
        for keeper in _open_keepers(config, status, report_fault, thresholds):
            stack.callback(keeper.close)
            consumers.append(keeper.add_frame)
            event_consumers.append(keeper.add_event)

        def on_frame(content: Content, result: FrameResult) -> None:
            for consume in consumers:
                consume(content, result)

        def on_event(entry: LogEntry, content: Content, result: FrameResult) -> None:
            for consume in event_consumers:
                consume(entry, content, result)

        yield FrameOutputs(on_frame, on_event)


def _open_page(config: RunConfig, status: RunStatus, stack: ExitStack) -> WebServer:
    from pocketsight.device.web.server import serve

    assert config.preview
    origins = config.preview_frame_origins
    server = stack.enter_context(serve(config.preview, config.token_file, status, config.blur, frame_origins=origins))
    status.info["page_url"] = config.preview_url or (None if server.is_local else server.url)
    return server


def _open_keepers(
    config: RunConfig,
    status: RunStatus,
    report_fault: FaultReporter,
    thresholds: Callable[[], Mapping[str, float]],
) -> Iterator[Snapshots | Collector]:
    """What keeps images in a folder."""
    if config.snapshots:
        from pocketsight.device.sinks.snapshots import Snapshots

        yield Snapshots(
            config.snapshots, config.snapshots_retain_days, config.snapshots_max_bytes, config.blur, report_fault
        )
    if config.collect:
        from pocketsight.device.sinks.collector import Collector

        limits = config.collect_retain_days, config.collect_max_bytes
        folder = config.collect_folder or state_dir() / "collected"
        yield Collector(folder, config.collect, limits, config.blur, status, thresholds, report_fault)
