"""Time and memory of `data check` and `data split` on a COCO file of many entries: links to a few images.

    python scripts/benchmarks/data_scale.py COUNT FOLDER

FOLDER gets 50 images, COUNT links to them and the COCO file. Prints seconds, milliseconds per entry, and the largest
memory of the command and its workers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np

IMAGES, SIZE = 50, (120, 160)  # height, width
PROGRAM = "from pocketsight.device.cli.main import main; main(prog_name='pocketsight')"


def write_data(folder: Path, count: int) -> Path:
    """A COCO file with one box for each entry."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for n in range(IMAGES):
        clouds = cv2.resize(rng.uniform(0, 255, (9, 12, 3)), SIZE[::-1], interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{n}.jpg"), np.clip(clouds, 0, 255).astype(np.uint8))
    rows, notes = [], []
    for n in range(count):
        name = f"images/{n:07}.jpg"
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"../{n % IMAGES}.jpg")
        rows.append({"id": n, "file_name": name, "height": SIZE[0], "width": SIZE[1]})
        notes.append({"id": n, "image_id": n, "category_id": 1, "bbox": [40, 30, 40, 60], "iscrowd": 0})
    path = folder / f"faces{count}.json"
    path.write_text(json.dumps({"images": rows, "annotations": notes, "categories": [{"id": 1, "name": "face"}]}))
    return path


def measure(words: list[str]) -> tuple[float, float]:
    """Seconds of a command, and its largest memory with that of its workers in GB, by samples of /proc."""
    start, peak = time.perf_counter(), 0
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], stdout=subprocess.DEVNULL, start_new_session=True
    ) as run:
        while run.poll() is None:
            peak = max(peak, sum(_resident_bytes(pid) for pid in _family(run.pid)))
            time.sleep(0.2)
    return time.perf_counter() - start, peak / 1e9


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(member for child in children for member in _family(int(child)))]


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def main(count: int, folder: Path) -> None:
    """Measure both commands."""
    data = write_data(folder, count)
    out = folder / f"split{count}"
    for name, words in (
        ("check", ["data", "check", str(data), "--html", str(folder / "check.html")]),
        ("split", ["data", "split", str(data), "-o", str(out)]),
    ):
        seconds, memory = measure(words)
        print(
            f"{name} {count:8} entries: {seconds:7.1f} s, {1000 * seconds / count:6.2f} ms each, {memory:.2f} GB",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
