"""Run a model on a Coral, with the CPU as a fallback.

`detector_edgetpu.tflite` is `detector.tflite` compiled for the Coral, in the same folder. A USB Coral may be unplugged:
the model then runs the current frame with the file for the CPU, and returns to the Coral between two frames.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from pocketsight.device.errors import ModelError
from pocketsight.device.faults import FaultReporter
from pocketsight.device.inference import coral_devices
from pocketsight.device.inference.coral_devices import LIBEDGETPU
from pocketsight.device.inference.edgetpu_delegate import Delegate
from pocketsight.device.inference.golden import check_golden
from pocketsight.device.inference.interpreter import InferenceFn, Model, TfliteModel, import_runtime, require_task
from pocketsight.device.inference.model_file import read_model_file
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.system.backoff import Backoff
from pocketsight.device.vision.image import Image

logger = logging.getLogger(__name__)

COMPILED_SUFFIX = "_edgetpu"  # what the compiler appends to the name of a file
FAULT_NAME = "edgetpu lost"
FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 1.0, 60.0
STABLE_SECONDS = 60.0  # a Coral that worked this long is retried after FIRST_RETRY_SECONDS again
README_HINT = "see device/inference/README.md"


def compiled_path(path: Path) -> Path:
    """The path of the file compiled from `path`."""
    return path.with_name(f"{path.stem}{COMPILED_SUFFIX}{path.suffix}")


def cpu_path(compiled: Path) -> Path:
    """The path of the file that `compiled` was compiled from."""
    return compiled.with_name(compiled.stem.removesuffix(COMPILED_SUFFIX) + compiled.suffix)


class FallbackModel:
    """A model with a file for the Coral and one for the CPU. One thread calls it; any thread may switch it."""

    def __init__(
        self, edgetpu_path: Path, cpu_model: Model | None, task: str | None, device: str, verify: bool
    ) -> None:
        self.edgetpu_path, self.cpu_model, self.task = edgetpu_path, cpu_model, task
        self.device, self.verify = device, verify
        self.cpu_infer: InferenceFn = cpu_model.infer if cpu_model else self._raise_no_cpu_model
        self.active_infer = self.cpu_infer
        self.fallback_reason = "the Coral is not open yet"  # why the CPU runs; "" while the Coral runs
        self.switch_count = 0
        # The interpreter that failed. Releasing it closes the device, which may be slow.
        self.retired: InferenceFn | None = None
        self.on_lost: Callable[[str], None] = _ignore

    def __call__(self, image: Image) -> Mapping[str, QuantizedTensor]:
        infer = self.active_infer
        try:
            return infer(image)
        except RuntimeError as error:
            if infer is self.cpu_infer:
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
        """Run on the Coral from the next call on, with the result of `open_edgetpu`."""
        self.active_infer, self.fallback_reason = infer, ""
        self.switch_count += 1

    def open_edgetpu(self) -> InferenceFn:
        """Open the Coral and run the compiled file once, which may take seconds.

        Raises ModelError, with a fix, when there is no Coral or the file does not run or verify on it.
        """
        flatbuffer, spec = read_model_file(self.edgetpu_path)
        require_task(spec, self.task, self.edgetpu_path)
        if self.cpu_model and spec.edgetpu.get("source_sha256") != self.cpu_model.spec.sha256:
            plain = cpu_path(self.edgetpu_path)
            fix = f"make it again with: pocketsight export edgetpu {plain}"
            raise ModelError(f"{self.edgetpu_path} was not compiled from {plain.name}; {fix}")
        try:
            delegate = Delegate(LIBEDGETPU, {"device": self.device} if self.device else {})
        except OSError as error:
            raise ModelError(_library_error(error)) from error
        except ValueError as error:
            raise ModelError(_device_error(self.device)) from error
        try:
            model = TfliteModel(flatbuffer, 1, self.edgetpu_path, spec, [delegate])
            model(np.zeros((*spec.input_size, 3), np.uint8))  # also transfers the weights
        except (ModelError, RuntimeError) as error:
            raise ModelError(_run_error(self.edgetpu_path, error)) from error
        if self.verify:
            self._verify_golden(Model(model, spec))
        return model

    def _verify_golden(self, model: Model) -> None:
        try:
            check_golden(model, cpu_path(self.edgetpu_path) if self.cpu_model else self.edgetpu_path, on_coral=True)
        except RuntimeError as error:  # unplugged meanwhile
            raise ModelError(_run_error(self.edgetpu_path, error)) from error

    def _raise_no_cpu_model(self, image: Image) -> Mapping[str, QuantizedTensor]:
        raise ModelError(f"{self.fallback_reason}; there is no file for the CPU next to {self.edgetpu_path}")


def _ignore(reason: str) -> None:
    """Called when the Coral is lost and nothing watches."""


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "no reason given")


def _library_error(error: OSError) -> str:
    if "No such file" in str(error) and LIBEDGETPU in str(error):
        return (
            f"{LIBEDGETPU} is not installed: {coral_devices.INSTALL_COMMAND}, or on a newer system a build for "
            f"{import_runtime()[1]} ({README_HINT})"
        )
    return f"{LIBEDGETPU} does not load ({_first_line(error)}): install a build for this system ({README_HINT})"


def _device_error(device: str) -> str:
    """Why there is no device, as far as it shows from outside: libedgetpu does not report a reason."""
    bus = {"usb": "USB", "pci": "PCIe"}.get(device.partition(":")[0])
    corals = [coral for coral in coral_devices.find_corals() if bus in (None, coral.bus)]
    if not corals:
        return f"no Coral is plugged in{f' on {bus}' if bus else ''}: {coral_devices.PLUG_IN_HINT}"
    number = device.partition(":")[2]
    if number and int(number) >= len(corals):
        return f"there is no Coral {number}: {len(corals)} plugged in, counted from 0"
    if problem := coral_devices.find_access_problem(corals[int(number or 0)]):
        return f"the Coral cannot be opened: {problem[0]}: {problem[1]}"
    return "the Coral is plugged in but does not open: end the program that uses it, or replug it"


def _run_error(compiled: Path, error: Exception) -> str:
    if "unresolved custom op" in str(error):
        return (
            f"{LIBEDGETPU} leaves {compiled} to the CPU, so it does not fit {import_runtime()[1]}: install a build for "
            f"it ({README_HINT})"
        )
    return f"{compiled} does not run on this Coral: {_first_line(error)}; replug it, or install a newer libedgetpu"


class EdgeTpuMonitor:
    """Reports when the Coral of a run is lost, reopens it in a thread with backoff, and reports when it is back."""

    def __init__(self, report_fault: FaultReporter) -> None:
        self.report_fault = report_fault
        self.fallback_models: list[FallbackModel] = []
        self.backoff = Backoff(FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS, stable_after=STABLE_SECONDS)
        self.retry_delay = FIRST_RETRY_SECONDS
        self.next_attempt, self.recovered_at = 0.0, float("-inf")  # seconds of the monotonic clock
        self.thread: threading.Thread | None = None

    def watch(self, models: Iterable[Model]) -> None:
        """Watch these models instead of the previous ones."""
        self.fallback_models = [model.infer for model in models if isinstance(model.infer, FallbackModel)]
        for model in self.fallback_models:
            model.on_lost = self._on_lost
        if reason := next((model.fallback_reason for model in self.fallback_models if model.fallback_reason), ""):
            self._on_lost(reason)
        else:
            self.report_fault(FAULT_NAME, False, "other models are loaded")

    def tick(self, now: float) -> None:
        """Start an attempt if one is due at `now` (monotonic seconds). Cheap to call."""
        is_trying = self.thread and self.thread.is_alive()
        is_lost = any(model.fallback_reason for model in self.fallback_models)
        if now < self.next_attempt or is_trying or not is_lost:
            return
        self.thread = threading.Thread(target=self._reopen, args=(self.fallback_models,), name="coral", daemon=True)
        self.thread.start()

    def _on_lost(self, reason: str) -> None:
        self.backoff.succeeded(held_for=time.monotonic() - self.recovered_at)
        self._schedule_attempt()
        self.report_fault(FAULT_NAME, True, reason)

    def _schedule_attempt(self) -> None:
        self.retry_delay = self.backoff.next_delay()
        self.next_attempt = time.monotonic() + self.retry_delay

    def _reopen(self, fallback_models: list[FallbackModel]) -> None:
        """Open the Coral for all models or for none: they share it, and it opens only while none of them uses it."""
        for model in fallback_models:
            if model.cpu_model and not model.fallback_reason:
                model.use_cpu("another model has lost the Coral")
            model.retired = None
        try:
            opened = [model.open_edgetpu() for model in fallback_models]
        except ModelError as error:
            self._schedule_attempt()
            logger.info("the Coral is not back, next attempt in %.0f s: %s", self.retry_delay, error)
            return
        if fallback_models is self.fallback_models:
            for model, infer in zip(fallback_models, opened, strict=True):
                model.use_edgetpu(infer)
            self.recovered_at = time.monotonic()
            self.report_fault(FAULT_NAME, False, "the models run on it again")
