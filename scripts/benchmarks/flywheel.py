"""The way from a board to a better model and back, with the images of one source in place of a camera.

    python scripts/benchmarks/flywheel.py FACES.json SOURCE OUT --test TEST.json --test OTHER.json

The first model is a shipped one, which must not have seen the source. A third of the source is held out, by groups. A
board runs on the rest and keeps what it is in doubt about; `collect` brings it home. The boxes of FACES.json are in
place of a person who corrects the labels. The second model starts from the weights of the first and learns from the
collected images and from some of the other sources. `evaluate --against` compares both on each test set. The commands
are printed.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pocketsight.device.inference.shipped import MODEL_NAMES

Coco = dict[str, Any]
PATH = click.Path(path_type=Path)
ARCH = "grid133k-256"  # of the tiny detector


def pocketsight(*words: object) -> None:
    """Run a command, and print it. Ends this script if the command fails; 3 is a verdict of `evaluate`."""
    print("$ pocketsight", shlex.join(map(str, words)), flush=True)
    program = "from pocketsight.device.cli.main import main; main(prog_name='pocketsight')"
    if subprocess.run([sys.executable, "-c", program, *map(str, words)]).returncode not in (0, 3):
        sys.exit(f"pocketsight {words[0]} failed")


def write_part(coco: Coco, folder: Path, out: Path, is_chosen: Callable[[Any], bool]) -> list[Path]:
    """Write the chosen images of a COCO file, with absolute paths, and return these."""
    images = [i | {"file_name": str((folder / i["file_name"]).resolve())} for i in coco["images"] if is_chosen(i)]
    numbers = {i["id"] for i in images}
    notes = [a for a in coco["annotations"] if a["image_id"] in numbers]
    out.write_text(json.dumps(coco | {"images": images, "annotations": notes}))
    return [Path(i["file_name"]) for i in images]


def correct_labels(coco: Coco, kept: Path, collected: Path) -> int:
    """Replace the first guesses by the boxes of the COCO file; returns the number of files."""
    boxes: dict[int, list[Any]] = {}
    for note in coco["annotations"]:
        boxes.setdefault(note["image_id"], []).append(note)
    numbers = {Path(i["file_name"]).name: i["id"] for i in coco["images"]}
    files = sorted(collected.glob("*/*/labels/*.json"))
    for file in files:
        source = json.loads((kept / file.name).read_text())["source"]
        document = json.loads(file.read_text())
        document["shapes"] = [
            {
                "label": "face",
                "points": [[left, top], [left + width, top + height]],
                "shape_type": "rectangle",
                "flags": {"difficult": bool(note.get("iscrowd"))},
            }
            for note in boxes.get(numbers[Path(source).name], [])
            for left, top, width, height in [note["bbox"]]
        ]
        file.write_text(json.dumps(document))
    return len(files)


@click.command()
@click.argument("faces", type=PATH)
@click.argument("source")
@click.argument("out", type=PATH)
@click.option("--test", "tests", type=PATH, multiple=True, help="Further test sets.")
@click.option("--images", default=600, show_default=True, help="Images that the board sees.")
@click.option("--others", default=600, show_default=True, help="Images of other sources in the training.")
@click.option("--samples", default=8000, show_default=True, help="Length of the training.")
def main(faces: Path, source: str, out: Path, tests: tuple[Path, ...], images: int, others: int, samples: int) -> None:
    """Play the images of SOURCE in FACES.json to a board; OUT is a new folder."""
    out.mkdir(parents=True)
    coco = json.loads(faces.read_text())
    groups = sorted({i["group"] for i in coco["images"] if i.get("source") == source})
    held_out = set(groups[::3])
    write_part(coco, faces.parent, out / f"{source}.json", lambda i: i.get("group") in held_out)
    rest = [i for i in coco["images"] if i.get("source") == source and i["group"] not in held_out][:images]
    chosen = {i["id"] for i in rest}
    (out / "camera").mkdir()
    for path in write_part(coco, faces.parent, out / "camera.json", lambda i: i["id"] in chosen):
        shutil.copy(path, out / "camera")
    elsewhere = [i["id"] for i in coco["images"] if i.get("source") != source]
    some = set(elsewhere[:: max(1, len(elsewhere) // others)])
    write_part(coco, faces.parent, out / "others.json", lambda i: i["id"] in some)

    old, kept, collected = MODEL_NAMES["tiny"], out / "kept", out / "collected"
    wanted = "--collect", "low-score,unsure", "--collect-folder", kept
    pocketsight("run", "--camera", out / "camera", "--detector", "tiny", *wanted, "--log", out / "board.jsonl")
    pocketsight("collect", kept, "--known", out / "others.json", "-o", collected)
    print(f"# corrected the labels of {correct_labels(coco, kept, collected)} images")
    days = [word for day in sorted(collected.glob("*/*")) for word in ("--data", day)]
    start = "--arch", ARCH, "--weights", "shipped", "--samples", samples
    run = out / "run"
    pocketsight("train", "detector", "--data", out / "others.json", *days, *start, "--out", run, "--no-tensorboard")
    pocketsight("export", "tflite", run, "--calibration-data", out / "others.json")
    test_sets = [word for test in (out / f"{source}.json", *tests) for word in ("--data", test)]
    pocketsight("evaluate", run / "detector.tflite", *test_sets, "--against", old)


if __name__ == "__main__":
    main()
