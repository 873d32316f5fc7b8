"""Our detector against Ultralytics YOLO: same images, same minutes of training on the same cores, both as int8 TFLite.

    python -m venv yolo && yolo/bin/pip install 'ultralytics[export-litert]'
    python scripts/benchmarks/yolo_comparison.py yolo/bin/yolo OUT --minutes 8

Ultralytics is AGPL-3.0. Its command runs in an environment of its own, and nothing of it is imported here. Both
networks start from random weights and learn drawn signs (draw_signs.py). `export adopt` takes the int8 file of YOLO, so
that `evaluate` and `bench` of pocketsight judge both. Where other programs use the cores too, the same minutes are not
the same work: the processor time of both trainings is measured, and YOLO must have had no less. There --samples and
--yolo-epochs set the lengths.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "draw_signs.py"
POCKETSIGHT = sys.executable, "-c", "from pocketsight.device.cli.main import main; main(prog_name='pocketsight')"
YOLO_SIZE = 320
MAX_TIME = 0.15  # of the time of YOLO


def run(*words: object, env: dict[str, str] | None = None, read: bool = False) -> Any:
    """Run a command and print it; returns its JSON if `read`. Ends this script if the command fails."""
    command = list(map(str, words))
    print("$", *(command[len(POCKETSIGHT) :] if command[:3] == list(POCKETSIGHT) else command), flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE if read else None, text=True, env=env)
    if done.returncode:
        sys.exit(f"failed: {command}")
    return json.loads(done.stdout) if read else None


def run_timed(*words: object, env: dict[str, str] | None = None) -> dict[str, float]:
    """Run a command; returns its minutes, and those of the processor, of all its processes."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    run(*words, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"minutes": (time.monotonic() - start) / 60, "cpu_minutes": cpu / 60}


def write_yolo_data(signs: Path, out: Path) -> Path:
    """The signs in the format of Ultralytics; returns its .yaml file."""
    notes = {path: json.loads(path.read_text()) for path in sorted(signs.glob("*/labels/*.json"))}
    labels = sorted({shape["label"] for note in notes.values() for shape in note["shapes"]})
    for path, note in notes.items():
        size = note["imageWidth"], note["imageHeight"]
        rows = []
        for shape in note["shapes"]:
            sides = [[start / side, end / side] for start, end, side in zip(*shape["points"], size, strict=True)]
            box = [*((start + end) / 2 for start, end in sides), *(end - start for start, end in sides)]
            rows.append(" ".join(map(str, [labels.index(shape["label"]), *box])))
        folder = out / path.parts[-3]
        (folder / "labels").mkdir(parents=True, exist_ok=True)
        (folder / "labels" / f"{path.stem}.txt").write_text("\n".join(rows))
        if not (folder / "images").exists():
            (folder / "images").symlink_to(path.parents[1].resolve() / "images")
    names = "".join(f"  {number}: {label}\n" for number, label in enumerate(labels))
    target = out / "data.yaml"
    target.write_text(f"path: {out.resolve()}\ntrain: train/images\nval: test/images\nnames:\n{names}")
    return target


def train_ours(signs: Path, out: Path, length: Sequence[object], arch: str) -> tuple[dict[str, float], Path]:
    """Train and export; returns the times of the training, and the model."""
    folder = out / "ours"
    words = "train", "detector", "--data", signs, "--arch", arch, "--out", folder, "--no-tensorboard"
    times = run_timed(*POCKETSIGHT, *words, *length)
    run(*POCKETSIGHT, "export", "tflite", folder, "--calibration-data", signs)
    return times, folder / "detector.tflite"


def train_yolo(yolo: Path, net: str, signs: Path, out: Path, length: str) -> tuple[dict[str, float], Path]:
    """Train and export; returns the times of the training, and the adopted model.

    The last weights are taken, and the test images do not choose anything: `val=False`.
    """
    env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    env |= {"YOLO_CONFIG_DIR": str(out.resolve()), "YOLO_OFFLINE": "true"}
    data = f"data={write_yolo_data(signs, out / 'yolo_data')}"
    settings = f"imgsz={YOLO_SIZE}", "device=cpu", "cache=ram", "val=False", "plots=False", "exist_ok=True"
    place = f"project={out.resolve()}", "name=yolo"
    times = run_timed(yolo, "train", f"model={net}.yaml", data, length, *settings, *place, env=env)
    weights = out / "yolo" / "weights" / "last.pt"
    run(yolo, "export", f"model={weights}", "format=litert", "quantize=8", f"imgsz={YOLO_SIZE}", data, env=env)
    adopted = out / "yolo.tflite"
    exported = weights.with_name("last_int8.tflite")
    run(*POCKETSIGHT, "export", "adopt", exported, "--task", "detector", "--out", adopted)
    return times, adopted


def score(model: Path, signs: Path) -> dict[str, float]:
    """AP50, that of each label, and the size of the file."""
    scores = run(*POCKETSIGHT, "evaluate", model, "--data", signs, "--json", read=True)
    by_label = {f"ap50 {label}": part["ap50"] for label, part in scores["by_label"].items()}
    return {"ap50": scores["ap50"]} | by_label | {"bytes": model.stat().st_size}


@click.command()
@click.argument("yolo", type=click.Path(path_type=Path, exists=True))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--minutes", default=8.0, show_default=True, help="Length of each training.")
@click.option("--samples", type=int, help="Length of our training instead.")
@click.option("--yolo-epochs", type=int, help="Length of the training of YOLO instead.")
@click.option("--images", default=800, show_default=True, help="Images with signs; a fifth of them are for the test.")
@click.option("--arch", default="grid141k", show_default=True, help="Our network.")
@click.option("--net", default="yolo26n", show_default=True, help="Network of Ultralytics.")
def main(
    yolo: Path,
    out: Path,
    minutes: float,
    samples: int | None,
    yolo_epochs: int | None,
    images: int,
    arch: str,
    net: str,
) -> None:
    """YOLO is the command of Ultralytics, OUT a new folder."""
    out.mkdir(parents=True)
    signs = out / "signs"
    run(sys.executable, EXAMPLE, signs, images)
    ours, model = train_ours(signs, out, ("--samples", samples) if samples else ("--time", f"{minutes:g}min"), arch)
    length = f"epochs={yolo_epochs}" if yolo_epochs else f"time={minutes / 60}"
    theirs, adopted = train_yolo(yolo.absolute(), net, signs, out, length)
    ours |= score(model, signs)
    theirs |= score(adopted, signs)
    bench = run(*POCKETSIGHT, "bench", adopted, model, "--threads", 1, "--json", read=True)
    theirs["ms"], ours["ms"] = (row["p50"] for row in bench["models"])
    ratio = bench["models"][1]["ratio"]
    fair = theirs["cpu_minutes"] >= ours["cpu_minutes"]
    reached = ours["ap50"] >= theirs["ap50"] and ratio <= MAX_TIME
    verdict = {"time_ratio": ratio, "is_fair": fair, "is_reached": reached}
    print(json.dumps({"ours": ours, net: theirs} | verdict, indent=1))
    sys.exit(0 if fair and reached else 1)


if __name__ == "__main__":
    main()
