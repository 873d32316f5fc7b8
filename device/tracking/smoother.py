"""The sentiment of one followed face over time: averaged and with hysteresis, so that the label does not flap."""

from __future__ import annotations

from math import exp, log

from pocketsight.device.inference.classifier import UNSURE, Classification, Probabilities
from pocketsight.device.inference.manifest import ModelSpec

MIN_PROBABILITY = 1e-4  # a probability counts as no smaller, or one frame could outweigh all


class LabelSmoother:
    """Exponential average of log-probabilities; a label is said at the threshold, and taken back when it falls by the
    spec's slack below it, or behind another that has reached it.

    Plain numbers: for a few classes arrays take longer.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self.spec, self.num_reported = spec, len(spec.reported_labels)
        self.log_probabilities: list[float] = []
        self.last_update = self.candidate_since = 0.0  # of the last frame; since when another label would be said
        self.label = self.candidate = UNSURE

    def update(self, probabilities: Probabilities, now: float) -> Classification:
        """Take in the probabilities (classes,) of one frame at `now`, seconds of the monotonic clock."""
        odds = probabilities.tolist()
        logs = [log(max(odd, MIN_PROBABILITY)) for odd in odds]
        if not self.log_probabilities:
            self.log_probabilities, self.last_update = logs, now
            self.label = self.candidate = self._choose_label(odds[: self.num_reported])
        memory = self.spec.smoothing.time_constant
        fresh = 1 - exp(-max(now - self.last_update, 0.0) / memory) if memory else 1.0
        self.log_probabilities = [
            old + fresh * (new - old) for old, new in zip(self.log_probabilities, logs, strict=True)
        ]
        self.last_update = now
        powers = [exp(value) for value in self.log_probabilities]
        total = sum(powers)
        scores = [power / total for power in powers[: self.num_reported]]
        self._switch_label(self._choose_label(scores), now)
        best = self.spec.labels.index(self.label) if self.label != UNSURE else scores.index(max(scores))
        return Classification(self.label, scores[best], best)

    def _choose_label(self, scores: list[float]) -> str:
        high, least = max(scores), self.spec.score_threshold
        if self.label != UNSURE:
            said, slack = scores[self.spec.labels.index(self.label)], self.spec.smoothing.hysteresis
            if said >= least - slack and (high < least or high - said <= slack):
                return self.label
        return self.spec.labels[scores.index(high)] if high >= least else UNSURE

    def _switch_label(self, candidate: str, now: float) -> None:
        if candidate != self.candidate:
            self.candidate, self.candidate_since = candidate, now
        if self.candidate != self.label and now - self.candidate_since >= self.spec.smoothing.min_duration:
            self.label = self.candidate
