"""Whether a run does what it is for: frames come and are looked at."""

from __future__ import annotations

from typing import Any

STALE = 10.0  # seconds without a frame


def health(found: dict[str, Any]) -> dict[str, Any]:
    """`ok`, and `why` not, of a snapshot of the state.

    A run that rests because nothing moves is well. So is one whose broker is away or whose board is hot: those are
    faults for people, and a restart would not help.
    """
    faults: dict[str, str] = found.get("faults", {})
    of_camera = [f"{name}: {detail}" for name, detail in faults.items() if name.startswith("camera")]
    age = found["last_frame"]
    if of_camera:
        return {"ok": False, "why": "; ".join(of_camera)}
    if age is None:
        return {"ok": False, "why": "no frame yet"}
    if age > found.get("patience", STALE) and not found.get("resting"):
        return {"ok": False, "why": f"no frame for {age:.0f} s"}
    return {"ok": True, "why": ""}
