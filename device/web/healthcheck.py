"""The health check: frames arrive and are processed."""

from __future__ import annotations

from typing import Any

from pocketsight.device.results import DEFAULT_STALE_AFTER


def check_health(snapshot: dict[str, Any]) -> dict[str, Any]:
    """`ok` and the `reason` if it is not, from a snapshot of the status.

    An idle run is healthy. So is a run whose broker is down or whose board is hot: a restart would not help there, and
    people see the fault.
    """
    faults: dict[str, str] = snapshot.get("faults", {})
    camera_faults = [f"{name}: {detail}" for name, detail in faults.items() if name.startswith("camera")]
    age = snapshot["last_frame_age_s"]
    if camera_faults:
        return {"ok": False, "reason": "; ".join(camera_faults)}
    if age is None:
        return {"ok": False, "reason": "no frame yet"}
    if age > snapshot.get("stale_after_s", DEFAULT_STALE_AFTER) and not snapshot.get("idle"):
        return {"ok": False, "reason": f"no frame for {age:.0f} s"}
    return {"ok": True, "reason": ""}
