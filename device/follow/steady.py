"""The sentiment of one followed face over time: averaged and with hysteresis, so that the label does not flap."""

from __future__ import annotations

from math import exp, log

from pocketsight.device.sentiment import UNSURE, Probabilities, Sentiment
from pocketsight.device.spec import ModelSpec

LEAST = 1e-4  # a probability counts as no smaller, or one frame could outweigh all


class Steady:
    """Exponential average of log-probabilities; a label is said at the threshold, and taken back when it falls by the
    spec's slack below it, or behind another that has reached it.

    Plain numbers: for a few classes arrays take longer.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self.spec, self.answers = spec, len(spec.answers)
        self.logs: list[float] = []
        self.last = self.since = 0.0  # of the last frame; since when another label would be said
        self.said = self.next = UNSURE

    def update(self, found: Probabilities, now: float) -> Sentiment:
        """Take in the probabilities (classes,) of one frame at `now`, seconds of the monotonic clock."""
        odds = found.tolist()
        logs = [log(max(odd, LEAST)) for odd in odds]
        if not self.logs:
            self.logs, self.last = logs, now
            self.said = self.next = self._wanted(odds[: self.answers])
        memory = self.spec.steadiness.memory
        fresh = 1 - exp(-max(now - self.last, 0.0) / memory) if memory else 1.0
        self.logs = [old + fresh * (new - old) for old, new in zip(self.logs, logs, strict=True)]
        self.last = now
        powers = [exp(value) for value in self.logs]
        total = sum(powers)
        scores = [power / total for power in powers[: self.answers]]
        self._say(self._wanted(scores), now)
        best = self.spec.labels.index(self.said) if self.said != UNSURE else scores.index(max(scores))
        return Sentiment(self.said, scores[best], best)

    def _wanted(self, scores: list[float]) -> str:
        high, least = max(scores), self.spec.threshold
        if self.said != UNSURE:
            said, slack = scores[self.spec.labels.index(self.said)], self.spec.steadiness.slack
            if said >= least - slack and (high < least or high - said <= slack):
                return self.said
        return self.spec.labels[scores.index(high)] if high >= least else UNSURE

    def _say(self, wanted: str, now: float) -> None:
        if wanted != self.next:
            self.next, self.since = wanted, now
        if self.next != self.said and now - self.since >= self.spec.steadiness.dwell:
            self.said = self.next
