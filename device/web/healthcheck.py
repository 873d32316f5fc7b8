"""Whether a run does what it is for: frames come and are looked at."""

from __future__ import annotations

from typing import Any

DEFAULT_STALE_AFTER = 10.0  # seconds without a frame


def check_health(snapshot: dict[str, Any]) -> dict[str, Any]:
    """`ok`, and `why` not, of a snapshot of the state.

    A run that rests because nothing moves is well. So is one whose broker is away or whose board is hot: those are
    faults for people, and a restart would not help.
    """
    faults: dict[str, str] = snapshot.get("faults", {})
    camera_faults = [f"{name}: {detail}" for name, detail in faults.items() if name.startswith("camera")]
    age = snapshot["last_frame"]
    if camera_faults:
        return {"ok": False, "why": "; ".join(camera_faults)}
    if age is None:
        return {"ok": False, "why": "no frame yet"}
    if age > snapshot.get("patience", DEFAULT_STALE_AFTER) and not snapshot.get("resting"):
        return {"ok": False, "why": f"no frame for {age:.0f} s"}
    return {"ok": True, "why": ""}
