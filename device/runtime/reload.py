"""Reload settings and models in a thread while the loop continues."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pocketsight.device.errors import ModelError, PocketsightError
from pocketsight.device.inference.coral_fallback import compiled_path
from pocketsight.device.inference.interpreter import Model
from pocketsight.device.inference.model_choice import FRAME_SPEC, find_classifier, require_pair, use_preset
from pocketsight.device.inference.model_loader import active_delegate, load_model
from pocketsight.device.inference.quantized import QuantizedTensor
from pocketsight.device.inference.shipped import CLASSIFIER, NO_MODEL
from pocketsight.device.runtime.config import RunConfig
from pocketsight.device.vision.image import Image

logger = logging.getLogger(__name__)

ConfigReader = Callable[[], RunConfig]
"""Reads the settings again. Raises PocketsightError if they are invalid."""

ModelPair = tuple[Model, Model | None]
"""Detector and classifier, if there is one."""


class ReloadResult(NamedTuple):
    """The new settings, and the models if their files changed."""

    config: RunConfig
    models: ModelPair | None


def load_models(config: RunConfig) -> ModelPair:
    """Load the detector, and the classifier if there is one for what it detects.

    Raises ModelError if one cannot be loaded, fails its golden test, or lacks the labels or thresholds of `config`.
    """
    if config.detector == NO_MODEL:
        detector = Model(_no_outputs, FRAME_SPEC)
    else:
        detector = _load_model(config, config.detector, "detector")
    if config.threshold:
        detector = Model(detector.infer, use_preset(detector.spec, config.threshold, config.detector))
    if missing := [label for label in config.classify if label not in detector.spec.labels]:
        known = ", ".join(detector.spec.labels)
        raise ModelError(f"--classify {missing[0]}: {config.detector} detects {known}; give one of these")
    path = find_classifier(config.classifier, detector.spec)
    if config.classify and not path:
        raise ModelError("--classify needs a classifier; give one with --classifier FILE")
    classifier = _load_model(config, path, "classifier") if path else None
    require_pair(detector.spec, classifier.spec if classifier else None, path)
    return detector, classifier


def _no_outputs(image: Image) -> dict[str, QuantizedTensor]:
    """The network of no detector."""
    return {}


def labels_to_classify(config: RunConfig, models: ModelPair) -> tuple[str, ...]:
    """The labels of detections that the classifier is for; () for all.

    A classifier that was not asked for, which is the shipped one, is only for those that its manifest names.
    """
    classifier = models[1]
    return config.classify or (classifier.spec.classifies if classifier and not config.classifier else ())


def _load_model(config: RunConfig, path: Path, task: str) -> Model:
    model = load_model(path, task, config.threads, config.delegate, config.verify)
    logger.info("%s: %s loaded, runs on %s", task, path, active_delegate(model))
    return model


def describe_models(config: RunConfig, models: Sequence[Model]) -> dict[str, str]:
    """For each task the name of the model file and the beginning of its checksum, such as "detector 3f2a91c07b12"."""
    paths = {"detector": config.detector, "classifier": config.classifier or CLASSIFIER}
    return {model.spec.task: f"{paths[model.spec.task].stem} {model.spec.short_sum}" for model in models}


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
    classifier = config.classifier or CLASSIFIER
    stamps: list[object] = [config.classify, config.threshold]
    for path in (config.detector, classifier, compiled_path(config.detector), compiled_path(classifier)):
        stamps.append(path)
        with suppress(OSError):
            status = path.stat()
            stamps.append((status.st_ino, status.st_size, status.st_mtime_ns))
    return stamps
