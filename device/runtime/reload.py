"""Reload settings and models in a thread while the loop continues."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pocketsight.device.errors import PocketsightError
from pocketsight.device.inference.coral_fallback import compiled_path
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.model_loader import active_delegate, load_model
from pocketsight.device.runtime.config import RunConfig

logger = logging.getLogger(__name__)

ConfigReader = Callable[[], RunConfig]
"""Reads the settings again. Raises PocketsightError if they are invalid."""

ModelPair = tuple[Model, Model]
"""Detector and classifier."""


class ReloadResult(NamedTuple):
    """The new settings, and the models if their files changed."""

    config: RunConfig
    models: ModelPair | None


def load_models(config: RunConfig) -> ModelPair:
    """Load the detector and the classifier. Raises ModelError if one cannot be loaded or fails its golden test."""
    return _load_model(config, config.detector, "detector"), _load_model(config, config.classifier, "classifier")


def _load_model(config: RunConfig, path: Path, task: str) -> Model:
    model = load_model(path, task, config.threads, config.delegate, config.verify)
    logger.info("%s: %s loaded, runs on %s", task, path, active_delegate(model))
    return model


class ConfigReloader:
    """Reads in a thread, because loading models and measuring thread counts can take seconds."""

    def __init__(self, config: RunConfig, read_config: ConfigReader) -> None:
        self.read_config, self.initial_config, self.loaded_stamps = read_config, config, _model_stamps(config)
        self.thread: threading.Thread | None = None
        self.result: ReloadResult | PocketsightError | None = None

    def start(self) -> None:
        """Start to read the settings, after a reading in progress has ended."""
        previous = self.thread
        self.thread = threading.Thread(target=self._reload, args=(previous,), name="reload", daemon=True)
        self.thread.start()

    def take_result(self) -> ReloadResult | PocketsightError | None:
        """The result of a reading, once; None if there is nothing new."""
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
    """Values that change when a model file is replaced or another one is configured."""
    stamps: list[object] = []
    for path in (config.detector, config.classifier, compiled_path(config.detector), compiled_path(config.classifier)):
        stamps.append(path)
        with suppress(OSError):
            status = path.stat()
            stamps.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return stamps
