"""The models and the example picture that come with pocketsight."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

MODELS_DIR = Path(str(files("pocketsight.models")))
EXAMPLE_IMAGE = MODELS_DIR / "example.jpg"
DETECTOR, CLASSIFIER = MODELS_DIR / "detector.tflite", MODELS_DIR / "sentiment.tflite"
SHIPPED_MODELS = {"detector": DETECTOR, "classifier": CLASSIFIER}  # the default of each task
