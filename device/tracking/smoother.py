"""The label of one tracked face over time, averaged and with hysteresis, so that it does not flicker."""

from __future__ import annotations

from math import exp, log

from pocketsight.device.inference.classifier import UNSURE, Classification, Probabilities
from pocketsight.device.inference.manifest import ModelSpec

# Probabilities are clipped here, or one frame could outweigh all others.
MIN_PROBABILITY = 1e-4


class LabelSmoother:
    """Exponential average of log-probabilities with hysteresis; `SmoothingConfig` of the manifest has the numbers.

    A label is reported once its score reaches the threshold. It is dropped when its score falls below the threshold
    by more than the hysteresis, or is lower than that of another label above the threshold by more than that.

    Plain numbers: arrays take longer for a few classes.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self.spec, self.num_reported = spec, len(spec.reported_labels)
        self.log_probabilities: list[float] = []
        self.last_update = self.candidate_since = 0.0  # seconds of the monotonic clock
        self.label = self.candidate = UNSURE

    def update(self, probabilities: Probabilities, now: float) -> Classification:
        """Add the probabilities (classes,) of one frame at `now`, in seconds of the monotonic clock."""
        values = probabilities.tolist()
        logs = [log(max(value, MIN_PROBABILITY)) for value in values]
        if not self.log_probabilities:
            self.log_probabilities, self.last_update = logs, now
            self.label = self.candidate = self._choose_label(values[: self.num_reported])
        time_constant = self.spec.smoothing.time_constant
        weight = 1 - exp(-max(now - self.last_update, 0.0) / time_constant) if time_constant else 1.0
        self.log_probabilities = [
            old + weight * (new - old) for old, new in zip(self.log_probabilities, logs, strict=True)
        ]
        self.last_update = now
        powers = [exp(value) for value in self.log_probabilities]
        total = sum(powers)
        scores = [power / total for power in powers[: self.num_reported]]
        self._switch_label(self._choose_label(scores), now)
        best = self.spec.labels.index(self.label) if self.label != UNSURE else scores.index(max(scores))
        return Classification(self.label, scores[best], best)

    def _choose_label(self, scores: list[float]) -> str:
        highest, threshold = max(scores), self.spec.score_threshold
        if self.label != UNSURE:
            current, hysteresis = scores[self.spec.labels.index(self.label)], self.spec.smoothing.hysteresis
            if current >= threshold - hysteresis and (highest < threshold or highest - current <= hysteresis):
                return self.label
        return self.spec.labels[scores.index(highest)] if highest >= threshold else UNSURE

    def _switch_label(self, candidate: str, now: float) -> None:
        if candidate != self.candidate:
            self.candidate, self.candidate_since = candidate, now
        if self.candidate != self.label and now - self.candidate_since >= self.spec.smoothing.min_duration:
            self.label = self.candidate
