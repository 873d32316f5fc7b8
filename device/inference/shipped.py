"""The models and the example image that come with pocketsight."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

MODELS_DIR = Path(str(files("pocketsight.models")))
EXAMPLE_IMAGE = MODELS_DIR / "example.jpg"
DETECTOR, CLASSIFIER = MODELS_DIR / "detector.tflite", MODELS_DIR / "sentiment.tflite"

SHIPPED_MODELS = {"detector": DETECTOR, "classifier": CLASSIFIER}
"""The default model of each task."""

PRESETS = "precise", "balanced", "sensitive"
"""Names of the thresholds that export chooses for a detector; see export/detector_presets.py."""

NO_MODEL = Path("none")
"""The value of --classifier that means: only detect, and of --detector that means: classify whole frames."""

MODEL_NAMES = SHIPPED_MODELS | {
    "tiny": MODELS_DIR / "detector-tiny.tflite",
    "large": MODELS_DIR / "detector-large.tflite",
}
"""The names that load_model() takes: the default models, and the smaller and the larger detector."""
