"""Which of two files a model runs: the one compiled for a Coral while there is one, else the plain one.

`detector_edgetpu.tflite` beside `detector.tflite` is that model, compiled. A Coral on a cable comes and goes: a model
that loses it goes on with the plain file, in the same frame, and returns to the Coral between two frames.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from pocketsight.device.errors import ModelError
from pocketsight.device.faults import FaultReporter
from pocketsight.device.inference import coral_devices
from pocketsight.device.inference.coral_devices import LIBEDGETPU
from pocketsight.device.inference.delegate import Delegate
from pocketsight.device.inference.golden import check_golden
from pocketsight.device.inference.interpreter import (
    InferenceFn,
    Model,
    TfliteModel,
    import_runtime,
    require_task,
)
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.vision.image import Image

COMPILED_SUFFIX = "_edgetpu"  # what the compiler adds to a file's name
FAULT_NAME = "Coral lost"
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 1.0, 60.0  # seconds until it is tried again; each time twice as long
STABLE_SECONDS = 60.0  # seconds that it must hold until the first try comes as soon as that again


def compiled_path(path: Path) -> Path:
    """Where the compiled file of a plain one lies."""
    return path.with_name(f"{path.stem}{COMPILED_SUFFIX}{path.suffix}")


def cpu_path(compiled: Path) -> Path:
    """Where the file lies that a compiled one was made from."""
    return compiled.with_name(compiled.stem.removesuffix(COMPILED_SUFFIX) + compiled.suffix)


class FallbackModel:
    """A model that has two files. Each call runs one of them, in one thread; any thread may say which comes next."""

    def __init__(
        self, edgetpu_path: Path, cpu_model: Model | None, task: str | None, device: str, verify: bool
    ) -> None:
        self.edgetpu_path, self.cpu_model, self.task, self.device, self.verify = (
            edgetpu_path,
            cpu_model,
            task,
            device,
            verify,
        )
        self.cpu_infer: InferenceFn = cpu_model.infer if cpu_model else self._raise_no_cpu_model
        self.active_infer = self.cpu_infer
        self.fallback_reason = "it was not opened yet"  # the Coral does not run it; "": it does
        self.switch_count = 0
        self.retired: InferenceFn | None = (
            None  # the one that failed: to let it go closes the device, which may take long
        )
        self.on_lost: Callable[[str], None] = _ignore

    def __call__(self, image: Image) -> Mapping[str, QuantizedTensor]:
        now = self.active_infer
        try:
            return now(image)
        except RuntimeError as error:
            if now is self.cpu_infer:
                raise
            self.use_cpu(f"the Coral failed in {self.edgetpu_path.name}: {_first_line(error)}")
        self.on_lost(self.fallback_reason)
        return self.cpu_infer(image)

    def use_cpu(self, reason: str) -> None:
        """Run on the CPU from the next call on."""
        if self.active_infer is not self.cpu_infer:
            self.retired, self.active_infer = self.active_infer, self.cpu_infer
        self.switch_count += 1
        self.fallback_reason = (
            f"{reason}; the CPU runs {cpu_path(self.edgetpu_path).name}" if self.cpu_model else reason
        )

    def use_edgetpu(self, infer: InferenceFn) -> None:
        """Run on the Coral from the next call on, by what `open` gave."""
        self.active_infer, self.fallback_reason = infer, ""
        self.switch_count += 1

    def open_edgetpu(self) -> InferenceFn:
        """The compiled file on the Coral, proved by running it. May take seconds. Raises ModelError, with the cure."""
        flatbuffer, spec = read_model_file(self.edgetpu_path)
        require_task(spec, self.task, self.edgetpu_path)
        if self.cpu_model and spec.edgetpu.get("source_sha256") != self.cpu_model.spec.sha256:
            plain = cpu_path(self.edgetpu_path)
            cure = f"make it again with: pocketsight export edgetpu {plain}"
            raise ModelError(f"{self.edgetpu_path} was not compiled from {plain.name}; {cure}")
        try:
            delegate = Delegate(LIBEDGETPU, {"device": self.device} if self.device else {})
        except OSError as error:
            raise ModelError(_library_error(error)) from error
        except ValueError as error:
            raise ModelError(_device_error(self.device)) from error
        try:
            model = TfliteModel(flatbuffer, 1, self.edgetpu_path, [delegate], spec.edgetpu.get("outputs"))
            model(np.zeros((*spec.input_size, 3), np.uint8))  # sends the weights, too
        except (ModelError, RuntimeError) as error:
            raise ModelError(_run_error(self.edgetpu_path, error)) from error
        if self.verify:
            self._verify_golden(Model(model, spec))
        return model

    def _verify_golden(self, model: Model) -> None:
        try:
            check_golden(model, cpu_path(self.edgetpu_path) if self.cpu_model else self.edgetpu_path, on_coral=True)
        except RuntimeError as error:  # it vanished meanwhile
            raise ModelError(_run_error(self.edgetpu_path, error)) from error

    def _raise_no_cpu_model(self, image: Image) -> Mapping[str, QuantizedTensor]:
        raise ModelError(
            f"{self.fallback_reason}; no plain file that the CPU could run lies beside {self.edgetpu_path}"
        )


def _ignore(reason: str) -> None:
    """Nobody wants to know."""


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "it did not say why")


def _library_error(error: OSError) -> str:
    if "No such file" in str(error) and LIBEDGETPU in str(error):
        return (
            f"{LIBEDGETPU} is not installed: {coral_devices.INSTALL_COMMAND}, or for a newer system a build that fits {import_runtime()[1]} "
            "(see device/inference/README.md)"
        )
    return f"{LIBEDGETPU} does not load ({_first_line(error)}): take the build for this system (see device/inference/README.md)"


def _device_error(device: str) -> str:
    """Why libedgetpu, which says nothing, found none, as far as can be seen from here."""
    bus = {"usb": "USB", "pci": "PCIe"}.get(device.partition(":")[0])
    found = [each for each in coral_devices.find_corals() if bus in (None, each.bus)]
    if not found:
        return f"no Coral is plugged in{f' on {bus}' if bus else ''}: {coral_devices.PLUG_IN_HINT}"
    number = device.partition(":")[2]
    if number and int(number) >= len(found):
        return f"there is no Coral {number}: {len(found)} plugged in, and they count from 0"
    if trouble := coral_devices.find_access_problem(found[int(number or 0)]):
        return f"the Coral cannot be opened: {trouble[0]}: {trouble[1]}"
    return "the Coral is plugged in but does not open: end the program that holds it, or replug it"


def _run_error(compiled: Path, error: Exception) -> str:
    if "unresolved custom op" in str(error):
        return (
            f"{LIBEDGETPU} leaves {compiled} to the CPU, so it does not fit {import_runtime()[1]}: take the build for it "
            "(see device/inference/README.md)"
        )
    return f"{compiled} does not run on this Coral: {_first_line(error)}; replug it, or take a newer libedgetpu"


class EdgeTpuMonitor:
    """Tells when the Coral of a run is lost, tries it again and again, and tells when it is back."""

    def __init__(self, report_fault: FaultReporter) -> None:
        self.report_fault = report_fault
        self.fallback_models: list[FallbackModel] = []
        self.retry_delay, self.next_attempt, self.recovered_at = (
            FIRST_RETRY_SECONDS,
            0.0,
            float("-inf"),
        )  # seconds; the others of the monotonic clock
        self.thread: threading.Thread | None = None

    def watch(self, models: Iterable[Model]) -> None:
        """Watch over these models instead of those before."""
        self.fallback_models = [loaded.infer for loaded in models if isinstance(loaded.infer, FallbackModel)]
        for switch in self.fallback_models:
            switch.on_lost = self._on_lost
        if why := next((switch.fallback_reason for switch in self.fallback_models if switch.fallback_reason), ""):
            self._on_lost(why)
        else:
            self.report_fault(FAULT_NAME, False, "other models are loaded")

    def tick(self, now: float) -> None:
        """Try it again when that is due. Cheap to call."""
        going = self.thread and self.thread.is_alive()
        if now < self.next_attempt or going or not any(switch.fallback_reason for switch in self.fallback_models):
            return
        self.thread = threading.Thread(target=self._reopen, args=(self.fallback_models,), name="coral", daemon=True)
        self.thread.start()

    def _on_lost(self, reason: str) -> None:
        now = time.monotonic()
        self.retry_delay = (
            FIRST_RETRY_SECONDS
            if now - self.recovered_at >= STABLE_SECONDS
            else min(2 * self.retry_delay, MAX_RETRY_SECONDS)
        )
        self.next_attempt = now + self.retry_delay
        self.report_fault(FAULT_NAME, True, reason)

    def _reopen(self, fallback_models: list[FallbackModel]) -> None:
        """All models or none: they share the device, and it is opened anew only when nobody holds it any more."""
        for switch in fallback_models:
            if switch.cpu_model and not switch.fallback_reason:
                switch.use_cpu("another model has lost the Coral")
            switch.retired = None
        try:
            opened = [switch.open_edgetpu() for switch in fallback_models]
        except ModelError:
            self.retry_delay = min(2 * self.retry_delay, MAX_RETRY_SECONDS)
            self.next_attempt = time.monotonic() + self.retry_delay
            return
        if fallback_models is self.fallback_models:
            for switch, model in zip(fallback_models, opened, strict=True):
                switch.use_edgetpu(model)
            self.recovered_at = time.monotonic()
            self.report_fault(FAULT_NAME, False, "the models run on it again")
