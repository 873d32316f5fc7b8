"""Time and memory of commands on a COCO file of many entries: links to a few images.

    python scripts/benchmarks/data_scale.py COUNT FOLDER [train check split]

FOLDER gets 50 images, COUNT links to them and the COCO file. `train` is the time until the first checkpoint of a
training of four steps with two workers. Prints seconds, milliseconds per entry, and the largest memory of the command
and its workers.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
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


def measure(words: list[str], until: Path | None = None) -> tuple[float, float, float]:
    """Seconds of a command, those of its CPU time, and its largest memory in GB, with its workers, by samples of /proc.

    The command is ended when the file `until` appears.
    """
    start, used, peak = time.perf_counter(), 0.0, 0
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words], stdout=subprocess.DEVNULL, start_new_session=True
    ) as run:
        while run.poll() is None:
            family = _family(run.pid)
            peak = max(peak, sum(map(used_bytes, family)))
            used = max(used, sum(map(cpu_seconds, family)))
            time.sleep(0.2)
            if until and until.exists():
                run.terminate()
                until = None
    if run.returncode not in (0, -signal.SIGTERM):
        raise SystemExit(f"{' '.join(words)} failed")
    return time.perf_counter() - start, used, peak / 1e9


def _family(pid: int) -> list[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(member for child in children for member in _family(int(child)))]


def used_bytes(pid: int) -> int:
    """The memory of a process; what several processes share is divided among them."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def cpu_seconds(pid: int) -> float:
    """The CPU time of a process and of its ended children."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def main(count: int, folder: Path, names: list[str]) -> None:
    """Measure the commands of some names."""
    data = write_data(folder, count)
    run, out = folder / "run", folder / f"split{count}"
    shutil.rmtree(run, ignore_errors=True)
    training = ["train", "detector", "--data", str(data), "--out", str(run), "--samples", "128", "--workers", "2"]
    commands: dict[str, tuple[list[str], Path | None]] = {
        "train": (training, run / "checkpoint.json"),
        "check": (["data", "check", str(data), "--html", str(folder / "check.html")], None),
        "split": (["data", "split", str(data), "-o", str(out)], None),
    }
    for name in names or commands:
        seconds, used, memory = measure(*commands[name])
        each = 1000 * seconds / count
        print(
            f"{name} {count:8} entries: {seconds:7.1f} s (CPU {used:.1f}), {each:6.2f} ms each, {memory:.2f} GB",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
