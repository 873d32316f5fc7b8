"""`--max-temperature`: work a little less before the board gets so hot that it slows down by itself, and by much."""

from __future__ import annotations

MARGIN_CELSIUS = 3.0  # degrees under the limit at which the temperature is held
CONTROL_BAND_CELSIUS = 14.0  # degrees below that in which the pace gives way; what happens further down is no matter
MIN_DUTY = 0.1
GAIN = 0.05  # pace a degree. A bare Pi 4 is some 35 degrees hotter at work than idle.
INTEGRAL_TIME = 100.0  # seconds; about as long as a Pi 4 takes to warm up, so that the pace does not swing


class ThermalController:
    """How fast to work, so that a temperature stays under a limit.

    A proportional-integral controller in its incremental form: the pace moves with every change of the temperature,
    and creeps on as long as the temperature is not where it should be. So it gives way while the board still warms up.
    """

    def __init__(self, limit: float) -> None:
        self.target = limit - MARGIN_CELSIUS
        self.duty = 1.0  # the pace
        self._last: tuple[float, float] | None = None  # temperature, and when

    def update(self, temperature: float | None, now: float) -> float:
        """The share of full speed to work at, 0.1..1, at `now` (monotonic seconds); call it as often as you like.

        At pace p, rest (1 / p - 1) times as long as a frame has taken. Where the temperature is unknown the pace stays.
        """
        if temperature is None:
            return self.duty
        temperature = max(temperature, self.target - CONTROL_BAND_CELSIUS)
        if self._last is not None:
            before, then = self._last
            creep = (self.target - temperature) * min(now - then, INTEGRAL_TIME) / INTEGRAL_TIME
            self.duty = min(1.0, max(MIN_DUTY, self.duty + GAIN * (before - temperature + creep)))
        self._last = temperature, now
        return self.duty
