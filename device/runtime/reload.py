"""Settings and models that are read again while the loop goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pocketsight.device.errors import PocketsightError
from pocketsight.device.inference.coral_fallback import compiled_path
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.model_loader import load_model
from pocketsight.device.runtime.config import RunConfig

ConfigReader = Callable[[], RunConfig]  # reads the settings once more
ModelPair = tuple[Model, Model]  # detector, sentiment


class ReloadResult(NamedTuple):
    """What the settings say now, and the models if they are others than before."""

    config: RunConfig
    models: ModelPair | None


def load_models(config: RunConfig) -> ModelPair:
    """Both models of a plan. Raises ModelError, also when one computes something else than where it was exported."""
    return _load_model(config, config.detector, "detector"), _load_model(config, config.classifier, "classifier")


def _load_model(config: RunConfig, path: Path, task: str) -> Model:
    return load_model(path, task, config.threads, config.delegate, config.verify)


class ConfigReloader:
    """A thread for each reading, since models may take seconds to load, and longer to be measured."""

    def __init__(self, config: RunConfig, read_config: ConfigReader) -> None:
        self.read_config, self.initial_config, self.loaded_stamps = read_config, config, _model_stamps(config)
        self.thread: threading.Thread | None = None
        self.result: ReloadResult | PocketsightError | None = None

    def start(self) -> None:
        """Read once more, after the reading that goes on if there is one."""
        before = self.thread
        self.thread = threading.Thread(target=self._reload, args=(before,), name="reload", daemon=True)
        self.thread.start()

    def take_result(self) -> ReloadResult | PocketsightError | None:
        """What was read, once; None while there is nothing new."""
        if self.thread is None or self.thread.is_alive():
            return None
        result, self.thread, self.result = self.result, None, None
        return result

    def _reload(self, previous: threading.Thread | None) -> None:
        if previous:
            previous.join()
        try:
            config = self.read_config()
            stamps = _model_stamps(config)
            effective_config = replace(
                config, threads=self.initial_config.threads, delegate=self.initial_config.delegate
            )
            models = load_models(effective_config) if stamps != self.loaded_stamps else None
            self.result, self.loaded_stamps = ReloadResult(config, models), stamps
        except PocketsightError as error:
            self.result = error


def _model_stamps(config: RunConfig) -> list[object]:
    """What differs when a model file is another one, or was replaced."""
    stamps: list[object] = []
    for path in (config.detector, config.classifier, compiled_path(config.detector), compiled_path(config.classifier)):
        stamps.append(path)
        with suppress(OSError):
            status = path.stat()
            stamps.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return stamps
