"""What leaves the process as pictures, where asked: the page, and snapshots of faces that appear."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from pocketsight.device.events import Tell
from pocketsight.device.image import Image
from pocketsight.device.plan import Plan
from pocketsight.device.record import Entry, Record
from pocketsight.device.state import State


class Shown(NamedTuple):
    """Two calls of the loop; neither waits for anything."""

    frame: Callable[[Image, Record], None]
    event: Callable[[Entry, Image, Record], None]


@contextmanager
def shown(plan: Plan, state: State, tell: Tell) -> Iterator[Shown]:
    """What `plan` asks to show. Raises ServeError or LogError when it cannot be."""
    frames: list[Callable[[Image, Record], None]] = []
    event: Callable[[Entry, Image, Record], None] = _nothing
    with ExitStack() as stack:
        if plan.preview:
            from pocketsight.device.web.serve import serve

            frames.append(stack.enter_context(serve(plan.preview, plan.token_file, state, plan.blur)).show)
        if plan.snapshots:
            from pocketsight.device.snapshots import Snapshots

            kept = Snapshots(plan.snapshots, plan.snapshots_days, plan.snapshots_size, plan.blur, tell)
            stack.callback(kept.close)
            frames.append(kept.saw)
            event = kept.event

        def frame(image: Image, record: Record) -> None:
            for show in frames:
                show(image, record)

        yield Shown(frame, event)


def _nothing(*_: object) -> None:
    """Nobody looks."""
