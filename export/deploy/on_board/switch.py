"""Change what the service runs, watch it, and go back when it fails.

The file PREFIX/unfinished exists from before the change until the new release has proved itself. Whoever finds it
without a deployment at work, which is the next start of the service or the next deployment, goes back.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from pocketsight.export.deploy.on_board.releases import Refused, Releases, write_file
from pocketsight.export.deploy.on_board.service import Service, is_locked, read_status

START_TIMEOUT = 180.0  # seconds until a run must have taken its first steps; TimeoutStartSec of the unit
FRESH = 10.0  # seconds: the age of a frame that shows a working camera
FRAME_GRACE = 5.0  # seconds: a run writes its status every two seconds
POLL = 0.2
UNFINISHED, LOCK = "unfinished", "deploy.lock"


def switch(
    releases: Releases,
    service: Service,
    new: str,
    models: Mapping[str, str],
    watch: float,
    by_reload: bool,
    say: Callable[[str], None],
) -> str:
    """Run another release, by a reload or a restart, and return how it does after `watch` seconds.

    `models` are the sums that it must report, by task. Raises Refused with the reason if it fails; the release before
    runs again then, or nothing if there was none.
    """
    if not releases.is_verified(new):
        raise Refused(f"release {new} has not passed its checks")
    releases.verify(new)
    old, before, process = releases.current, read_status(service), service.process()
    write_file(releases.prefix / UNFINISHED, json.dumps({"old": old, "new": new}).encode())
    try:
        releases.point("current", new)
        say("reloading" if by_reload else "restarting")
        service.reload() if by_reload else service.restart()
        status = _wait_until_ready(service, models, 0 if by_reload else process, before if by_reload else {})
        _watch(service, status, watch, _sees(before), say)
    except BaseException as error:
        reason = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
        say("going back")
        if old != new:
            releases.unmark(new)
        _go_back(releases, service, old)
        raise Refused(f"{new} failed: {reason}; {f'{old} runs again' if old else 'nothing runs now'}") from error
    if old != new:
        releases.point("previous", old)
    (releases.prefix / UNFINISHED).unlink()
    releases.prune(set())
    return _describe(read_status(service))


def recover(releases: Releases, service: Service | None = None) -> str:
    """Go back if a deployment ended in the middle of its change; returns the release that was left, or "".

    With a `service` it is restarted too; without one it is just starting.
    """
    path = releases.prefix / UNFINISHED
    try:
        names = json.loads(path.read_text())
    except FileNotFoundError:
        return ""
    except ValueError:
        names = {"old": "", "new": releases.current}
    if service:
        _go_back(releases, service, names["old"])
    else:
        _point_back(releases, names["old"])
    return str(names["new"])


def prepare_start(releases: Releases) -> None:
    """Before each start of the service: only a release that passed its checks and is undamaged may run.

    Raises Refused if there is none.
    """
    if not is_locked(releases.prefix / LOCK) and (left := recover(releases)):
        print(f"{left} was never watched to the end: back to {releases.current or 'nothing'}")
    problem = "there is no release"
    for name in (releases.current, releases.previous):
        if not name:
            continue
        try:
            if not releases.is_verified(name):
                raise Refused(f"release {name} has not passed its checks")
            releases.verify(name)
        except Refused as error:
            print(error)
            problem = str(error)
            continue
        if name != releases.current:
            print(f"back to {name}")
            releases.point("current", name)
        return
    raise Refused(problem)


def _go_back(releases: Releases, service: Service, old: str) -> None:
    _point_back(releases, old)
    if not old:
        service.stop()
        return
    process = service.process()
    service.restart()
    with suppress(Refused):  # then it did not run before either
        _wait_until_ready(service, {}, process, {})


def _point_back(releases: Releases, old: str) -> None:
    releases.point("current", old if releases.is_verified(old) else "")
    (releases.prefix / UNFINISHED).unlink(missing_ok=True)


def _wait_until_ready(
    service: Service, models: Mapping[str, str], replaced: int, before: Mapping[str, Any]
) -> dict[str, Any]:
    """The first status with the models that were asked for.

    `replaced` is the process that a restart ends, `before` the status before a reload; 0 and {} without them. Raises
    Refused if the new process ends, refuses the models or is not ready in time.
    """
    end, seen = time.monotonic() + START_TIMEOUT, 0
    refusals = before.get("counters", {}).get("fault settings refused", 0)
    while time.monotonic() < end:
        process = service.process()
        if process == replaced != 0:
            time.sleep(POLL)
            continue
        if seen and process != seen:
            raise Refused("the run ended" + _last_message(service))
        seen = process
        status = read_status(service)
        if status and all(str(status.get("models", {}).get(task)).endswith(sum_) for task, sum_ in models.items()):
            return status
        if before and status.get("counters", {}).get("fault settings refused", 0) > refusals:
            raise Refused("the run refuses the models or settings" + _last_message(service))
        time.sleep(POLL)
    raise Refused(f"the run is not ready after {START_TIMEOUT:.0f} s" + _last_message(service))


def _watch(
    service: Service, status: Mapping[str, Any], seconds: float, must_see: bool, say: Callable[[str], None]
) -> None:
    """Raise Refused if the run ends within some seconds, or sees no frames although the one before did."""
    end, process = time.monotonic() + seconds, status["pid"]
    while (left := end - time.monotonic()) > 0:
        say(f"watching it for {left:.0f} s")
        time.sleep(min(left, 1.0))
        if service.process() != process:
            raise Refused(f"the run ended {seconds - left:.0f} s after its start" + _last_message(service))
    while must_see and not _sees(read_status(service)):
        if time.monotonic() > end + FRAME_GRACE:
            raise Refused("it gets no frames from the camera, and the release before did")
        time.sleep(POLL)


def _sees(status: Mapping[str, Any]) -> bool:
    """Whether a run gets frames."""
    age = status.get("last_frame_age_s")
    return age is not None and float(age) < FRESH


def _last_message(service: Service) -> str:
    lines = [line.strip() for line in service.messages() if line.strip()]
    return f" ({lines[-1]})" if lines else ""


def _describe(status: Mapping[str, Any]) -> str:
    return f"{status.get('fps', 0):g} fps, {len(status.get('faults', {}))} faults"
