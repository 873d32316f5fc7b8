"""Exponential backoff with jitter: how long to wait before the next attempt to reconnect."""

from __future__ import annotations

import random


class Backoff:
    """Delays that double from `first` to `longest` seconds, each multiplied by a random factor from `jitter`.

    Jitter keeps many devices from reconnecting at the same moment. After a connection that lasted for `stable_after`
    seconds the delays start again from `first`.
    """

    def __init__(
        self, first: float, longest: float, jitter: tuple[float, float] = (1.0, 1.0), stable_after: float = 0.0
    ) -> None:
        self.first, self.longest, self.jitter, self.stable_after = first, longest, jitter, stable_after
        self.failures = 0  # in a row

    def next_delay(self) -> float:
        """Seconds to wait after one more failure."""
        delay = min(self.longest, self.first * float(1 << min(self.failures, 20)))
        self.failures += 1
        return delay * random.uniform(*self.jitter)

    def succeeded(self, held_for: float) -> None:
        """A connection lasts, or lasted, for `held_for` seconds."""
        if held_for >= self.stable_after:
            self.reset()

    def reset(self) -> None:
        """Start again from the first delay."""
        self.failures = 0

    def exhaust(self) -> None:
        """Continue with the longest delay, because an early attempt would fail too."""
        self.failures = 20
