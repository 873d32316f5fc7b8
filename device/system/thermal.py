"""Thermal control for `--max-temperature`: reduce the frame rate a little before the board throttles itself a lot."""

from __future__ import annotations

# The target is this much below the limit.
MARGIN_CELSIUS = 3.0
# Temperatures further below the target than this have no effect.
CONTROL_BAND_CELSIUS = 14.0
MIN_DUTY = 0.1
# Change of the duty for each degree. A bare Raspberry Pi 4 is about 35 degrees hotter under load than idle.
GAIN = 0.05
# Seconds. About the time that a Raspberry Pi 4 takes to warm up, so that the duty does not oscillate.
INTEGRAL_TIME = 100.0


class ThermalController:
    """Computes the share of full speed at which the temperature stays below `limit` (degrees Celsius).

    A proportional-integral controller in incremental form: the duty follows each change of the temperature, and drifts
    while the temperature differs from the target. So it already falls while the board warms up.
    """

    def __init__(self, limit: float) -> None:
        self.target = limit - MARGIN_CELSIUS
        self.duty = 1.0
        self._last: tuple[float, float] | None = None  # temperature and time of the last update

    def update(self, temperature: float | None, now: float) -> float:
        """The share of full speed, 0.1..1, at `now` (monotonic seconds), for any interval between calls.

        At duty d, pause (1 / d - 1) times as long as a frame took. An unknown temperature (None) changes nothing.
        """
        if temperature is None:
            return self.duty
        temperature = max(temperature, self.target - CONTROL_BAND_CELSIUS)
        if self._last is not None:
            before, then = self._last
            drift = (self.target - temperature) * min(now - then, INTEGRAL_TIME) / INTEGRAL_TIME
            self.duty = min(1.0, max(MIN_DUTY, self.duty + GAIN * (before - temperature + drift)))
        self._last = temperature, now
        return self.duty
