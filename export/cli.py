"""edgekit export ..."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import click

from edgekit.device.errors import DataError

PRECISIONS = "int8", "float32", "float16", "dynamic"
PATH = click.Path(path_type=Path)
CALIBRATE = "Sets the int8 ranges, which demand it: data as for training, or, for a detector, a folder of pictures."


@click.group()
def export() -> None:
    """Turn a trained model into a file for the board."""


@export.command()
@click.argument("run", type=PATH)
@click.option("--calibrate", type=PATH, multiple=True, help=CALIBRATE)
@click.option("--format", "precision", type=click.Choice(PRECISIONS), default="int8", show_default=True)
@click.option("--limit", type=click.FloatRange(0, 1), help="Largest loss of AP50 or accuracy.  [default: 0.01, 0.005]")
@click.option("--licence", help="Terms of the weights, for the manifest.")
@click.option("--out", type=PATH, help="The file to write.  [default: RUN/detector.tflite or RUN/sentiment.tflite]")
def tflite(
    run: Path, calibrate: tuple[Path, ...], precision: str, limit: float | None, licence: str | None, out: Path | None
) -> None:
    """Write one .tflite with its manifest inside, proved against the trained model."""
    if precision == "int8" and not calibrate:
        raise DataError("int8 needs pictures to set its ranges: --calibrate DATA, the training data will do")

    from edgekit.device import golden
    from edgekit.device.files import write_whole
    from edgekit.device.interpreter import Loaded, TfliteModel
    from edgekit.device.spec import pack
    from edgekit.export import calibration, parity
    from edgekit.export import tflite as converter
    from edgekit.train.backend import keras
    from edgekit.train.run import as_model, load_run
    from edgekit.train.say import console, say, suggest

    if keras.backend.backend() != "tensorflow":
        raise DataError("only TensorFlow exports; unset KERAS_BACKEND, the weights are the same")
    net, spec = load_run(run, batch=1)
    target = out or run / f"{spec.task}.tflite"
    drawn = calibration.read_calibration(spec, calibrate) if calibrate else None
    samples = drawn.samples if drawn else []
    for line in drawn.skipped if drawn else []:
        say(f"skipped: {line}")
    with console.status(f"converting {run} to {precision}"):
        flatbuffer = converter.convert(net, precision, samples)
    converter.demand_clean(flatbuffer, precision)
    spec = replace(
        spec, precision=precision, licence=licence or spec.licence, sha256=sha256(flatbuffer).hexdigest(),
        calibration=drawn.facts if drawn else {}, needs=converter.needs(flatbuffer),
    )  # fmt: skip
    exported = Loaded(TfliteModel(flatbuffer, threads=1, origin=target), spec)
    if drawn:
        facts = parity.compare(as_model(net, spec), exported, samples[:50] + samples[-2:], drawn.held_out)
        console.print(_table(facts))
        parity.demand(facts, limit)
        spec = replace(spec, parity=facts)
    else:
        say("no parity check: give --calibrate DATA to have one")
    write_whole(target, pack(flatbuffer, spec, golden.entries(golden.make(exported.model, spec.size))))
    say(f"wrote {target}, {target.stat().st_size:,} bytes")
    suggest("run", f"--{spec.task}", target)


def _table(facts: dict[str, Any]) -> Any:
    """The parity report for people."""
    from rich.table import Table

    table = Table(title="parity: trained net against exported file", title_justify="left")
    table.add_column("output")
    table.add_column("largest difference", justify="right")
    table.add_column("mean", justify="right")
    for name, gap in facts["difference"].items():
        table.add_row(name, f"{gap['largest']:.4f}", f"{gap['mean']:.5f}")
    if "loss" in facts:
        table.caption = (f"{facts['metric']} on {facts['pictures']} pictures: trained {facts['trained']:.4f}, "
                         f"exported {facts['exported']:.4f}, loss {facts['loss']:+.4f}")  # fmt: skip
    else:
        table.caption = "nothing in the pictures could be scored"
    return table
