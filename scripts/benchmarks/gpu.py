"""Training on a GPU, for each backend of Keras that is installed. Prints a table, or JSON with --json; see gpu.sh.

Each measurement is a child process, since a process has one backend. All of them take the same batches of drawn
faces. Detectors start from the shipped weights, classifiers from random ones of the same seed.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import click

BACKENDS = "jax", "torch", "tensorflow"
ARCHITECTURES = {"detector": "grid141k", "classifier": "crop71k"}
HIDE_GPUS = {"CUDA_VISIBLE_DEVICES": "-1", "JAX_PLATFORMS": "cpu"}
TRAIN = "from pocketsight.train.cli.train import train; train(prog_name='pocketsight train')"
EPOCH = re.compile(r"epoch (\d+)/\d+ .* ([\d.]+) s, (\d+)% of it waiting")
COMPARED_BATCH = {"detector": 32, "classifier": 64}  # those of the recipes
COMPARED_STEPS = 2  # measured, after as many that are not
BATCHES = 4  # different ones, in turns


@click.group(invoke_without_command=True)
@click.option("--cpu", is_flag=True, help="Use the CPU only.")
@click.option("--small", is_flag=True, help="A few steps of small batches: proof that it works, no measurement.")
@click.option("--backend", "backends", multiple=True, type=click.Choice(BACKENDS), help="Only these backends.")
@click.option("--compare", default=0, metavar="ROUNDS", help="Only CPU time of the steps of the backends, in turns.")
@click.option("--seconds", default=440.0, show_default=True, help="Start no measurement after this time.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON only.")
@click.pass_context
def main(
    context: click.Context,
    cpu: bool,
    small: bool,
    backends: tuple[str, ...],
    compare: int,
    seconds: float,
    as_json: bool,
) -> None:
    """Measure training with every installed backend."""
    if context.invoked_subcommand:
        return
    end = time.monotonic() + seconds
    wanted = backends or BACKENDS
    installed = [backend for backend in wanted if find_spec(backend)]
    report: dict[str, Any] = {"missing": [backend for backend in wanted if backend not in installed], "steps": []}
    with tempfile.TemporaryDirectory() as folder:
        data = write_data(Path(folder), small or bool(compare))
        if compare:
            click.echo("\n".join(compare_backends(task, installed, data, compare) for task in ARCHITECTURES))
            return
        report["training"] = []
        for backend in installed:
            for task in ARCHITECTURES:
                report["steps"] += measure_steps(backend, task, data, cpu, small, end)
                if time.monotonic() < end:
                    report["training"].append(measure_training(backend, task, data, cpu, small, end))
    report["seconds"] = round(time.monotonic() - end + seconds)
    if not as_json:
        click.echo(as_text(report))
    click.echo(json.dumps(report))


def write_data(folder: Path, small: bool) -> Path:
    """Drawn faces for both tasks, and some batches of them for the steps."""
    from pocketsight.device.synthetic.faces import write_classification_dataset, write_detection_dataset

    for number, (split, count) in enumerate((("train", 40 if small else 400), ("val", 20 if small else 40))):
        write_detection_dataset(folder / "detector" / split, count, seed=number)
        write_classification_dataset(folder / "classifier" / split, 2 * count, seed=10 + number)
    return folder


def measure_steps(backend: str, task: str, data: Path, cpu: bool, small: bool, end: float) -> list[dict[str, Any]]:
    """Steps without a loader, on the GPU in two precisions, and on the CPU for the loss."""
    cases = [("cpu", "float32")] if cpu else [("cpu", "float32"), ("gpu", "float32"), ("gpu", "bfloat16")]
    results = []
    for device, precision in cases:
        if time.monotonic() > end:
            break
        # The CPU computes the losses only; its speed is that of a few steps.
        sizes = [8] if small else [32] if device == "cpu" else [32, 256]
        words = "steps", task, str(data), precision, str(2 if small else 20), *map(str, sizes)
        facts = {"backend": backend, "task": task, "device": device, "precision": precision}
        results.append(facts | run_child([sys.argv[0], *words], backend, device, end))
    return results


def measure_training(backend: str, task: str, data: Path, cpu: bool, small: bool, end: float) -> dict[str, Any]:
    """A whole training by `pocketsight train`: images a second of its epochs after the first, and share of waiting."""
    batch = 8 if small else 128
    epoch_steps = max(20, (40 if task == "detector" else 80) // batch) if small else 100
    samples = 2 * epoch_steps * batch if small else 6 * epoch_steps * batch
    out = data / f"run-{backend}-{task}"
    words = [task, "--data", data / task, "--out", out, "--samples", samples, "--batch-size", batch]
    facts = {"backend": backend, "task": task, "batch": batch}
    done = run_child(["-c", TRAIN, *map(str, words)], backend, "cpu" if cpu else "gpu", end)
    epochs = [tuple(map(float, match.groups())) for match in EPOCH.finditer(done.get("log", ""))]
    if not epochs:
        return facts | {"error": done.get("error", "no epoch ended")}
    per_epoch = samples / len(epochs)
    rows = [{"images_per_s": round(per_epoch / seconds), "waiting": share / 100} for _, seconds, share in epochs]
    first = re.search(r"training on .*", done["log"])
    return facts | {"line": first[0] if first else "", "epochs": rows}


def compare_backends(task: str, backends: list[str], data: Path, rounds: int) -> str:
    """A table: CPU time of a step with the batch of the recipe. It depends less on other programs than images a second.

    Meant for one core (`taskset -c 0`): threads that wait for each other in a loop count too.
    """
    size = COMPARED_BATCH[task]
    times: dict[str, list[float]] = {backend: [] for backend in backends}
    for _ in range(rounds):
        for backend in backends:
            words = "steps", task, str(data), "float32", str(COMPARED_STEPS), str(size)
            done = run_child([sys.argv[0], *words], backend, "cpu", time.monotonic() + 600)
            if "error" in done:
                return f"{task}: {backend} failed: {done['error']}"
            times[backend].append(done["cpu_ms"][str(size)])
            click.echo(f"{task}, {backend}: {times[backend][-1]} ms", err=True)
    lines = [f"{task}, batches of {size}: CPU time of an image"]
    for backend, values in times.items():
        lines.append(f"{backend:11} {median(values):.2f} ms ({min(values):.2f} to {max(values):.2f})")
    return "\n".join(lines)


def run_child(words: list[str], backend: str, device: str, end: float) -> dict[str, Any]:
    """The JSON of the last line of a child, if there is one, and its log; or its error."""
    environment = os.environ | {"KERAS_BACKEND": backend} | (HIDE_GPUS if device == "cpu" else {})
    limit = max(20.0, end - time.monotonic() + 20)
    try:
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"error": f"not ready after {limit:.0f} s"}
    lines = done.stdout.strip().splitlines()
    result: dict[str, Any] = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
    if done.returncode and not result:
        words_of_error = [line for line in done.stderr.splitlines() if line.strip()]
        return {"error": words_of_error[-1] if words_of_error else f"exit status {done.returncode}", "log": done.stderr}
    return result or {"log": done.stderr}


@main.command(hidden=True)
@click.argument("task")
@click.argument("data", type=click.Path(path_type=Path))
@click.argument("precision")
@click.argument("steps", type=int)
@click.argument("sizes", type=int, nargs=-1)
def steps(task: str, data: Path, precision: str, steps: int, sizes: tuple[int, ...]) -> None:
    """The work of a child: a training whose batches are ready. Prints JSON."""
    from pocketsight.train.gpu import describe_device, use_precision

    result: dict[str, Any] = {"name": describe_device(), "images_per_s": {}, "cpu_ms": {}, "losses": []}
    with use_precision(precision):
        for size in sizes:
            speed, cpu_ms, losses = time_steps(task, data, size, steps)
            result["images_per_s"][size], result["cpu_ms"][size] = round(speed), round(cpu_ms, 3)
            result["losses"] = result["losses"] or [round(loss, 4) for loss in losses]  # of the first size
    click.echo(json.dumps(result))


def time_steps(task: str, data: Path, size: int, steps: int) -> tuple[float, float, list[float]]:
    """Images a second and CPU ms of an image in the second half of the steps, and the running loss after each."""
    from dataclasses import replace

    from pocketsight.device.inference.manifest import ModelSpec
    from pocketsight.device.inference.shipped import MODELS_DIR
    from pocketsight.train.datasets import classification, detection, detection_batches
    from pocketsight.train.keras_backend import keras
    from pocketsight.train.networks.registry import ARCHITECTURES as NETWORKS
    from pocketsight.train.recipe import RECIPES
    from pocketsight.train.run_folder import build_network
    from pocketsight.train.training.trainer import Trainer, compile_trainer

    name = ARCHITECTURES[task]
    recipe = replace(RECIPES[task][name], batch_size=size)
    keras.utils.set_random_seed(0)
    spec = ModelSpec(task, name, recipe.input_size, ("face",), 0.5, strides=NETWORKS[task][name].strides)
    batches: Any
    if task == "detector":
        dataset = detection.read_detection_dataset(data / task)
        batches = detection_batches.DetectionBatches(dataset.splits["train"], spec, recipe)
    else:
        dataset = classification.read_classification_dataset([data / task], [], (), ())
        spec = replace(spec, labels=dataset.classes)
        batches = classification.ClassificationBatches(dataset.splits["train"], spec, recipe)
    ready = [batches(step)[:2] for step in range(BATCHES)]
    net = build_network(spec, any_size=True)
    if task == "detector":
        net.load_weights(MODELS_DIR / f"{NETWORKS[task][name].shipped_model}.weights.h5")
    trainer = Trainer(net, NETWORKS[task][name].loss, recipe, None, NETWORKS[task][name].loss_parts)
    compile_trainer(trainer, net, recipe, 1000, 100)
    recorder = _recorder(keras)
    trainer.fit(
        (ready[step % BATCHES] for step in range(2 * steps)),
        steps_per_epoch=2 * steps,
        shuffle=False,
        verbose=0,
        callbacks=[recorder],
    )
    seconds, cpu_seconds = (ends[-1] - ends[steps - 1] for ends in (recorder.times, recorder.cpu_times))
    return size * steps / seconds, 1000 * cpu_seconds / (size * steps), recorder.losses


def _recorder(keras: Any) -> Any:
    class Recorder(keras.callbacks.Callback):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.times: list[float] = []
            self.cpu_times: list[float] = []
            self.losses: list[float] = []

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            self.losses.append(float(logs["loss"]))  # waits for the GPU
            self.times.append(time.perf_counter())
            self.cpu_times.append(time.process_time())

    return Recorder()


def as_text(report: dict[str, Any]) -> str:
    """A table of both measurements."""
    lines = [f"missing backends: {', '.join(report['missing']) or 'none'}", "", "Steps whose batches are ready:"]
    losses = {
        (row["backend"], row["task"]): row["losses"]
        for row in report["steps"]
        if row.get("losses") and row["device"] == "cpu"
    }
    for row in report["steps"]:
        start = f"{row['backend']:11} {row['task']:11} {row['device']:4} {row['precision']:9}"
        if "error" in row:
            lines.append(f"{start} failed: {row['error']}")
            continue
        speeds = ", ".join(f"{speed} images/s at {size}" for size, speed in row["images_per_s"].items())
        reference = None if row["device"] == "cpu" else losses.get((row["backend"], row["task"]))
        pairs = zip(row["losses"], reference or [], strict=False)
        gap = max((abs(a - b) / max(abs(b), 1e-6) for a, b in pairs), default=0.0)
        apart = f"; loss {row['losses'][-1]:.4f}, at most {gap:.2%} from the CPU's" if reference else ""
        lines.append(f"{start} {speeds}{apart}")
    lines += ["", "Whole trainings by pocketsight train:"]
    for row in report["training"]:
        start = f"{row['backend']:11} {row['task']:11} batch {row['batch']:4}"
        if "error" in row:
            lines.append(f"{start} failed: {row['error']}")
            continue
        lines += [f"{start} {each['images_per_s']} images/s, {each['waiting']:.0%} waiting" for each in row["epochs"]]
    return "\n".join([*lines, f"{report['seconds']} s in all", ""])


if __name__ == "__main__":
    main()
