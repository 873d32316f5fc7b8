"""The board's gauges, the faults they tell, and cooling."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pocketsight.device.runtime.board_monitor import BoardMonitor
from pocketsight.device.system.sensors import SensorReading, Sensors, disk_free, read_board_info, read_sensors
from pocketsight.device.system.thermal import ThermalController

FIRMWARE = "sys/devices/platform/soc/soc:firmware/get_throttled"


def plant(root: Path, **files: str) -> Path:
    """Files of a kernel: path with "__" for "/", and what they say."""
    for name, words in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(words + "\n")
    return root


def raspberry(root: Path, heat: str = "48312", bits: str = "0", alarm: str = "0") -> Path:
    plant(
        root,
        **{
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
            "sys/class/thermal/thermal_zone0/temp": heat,
            FIRMWARE: bits,
            "sys/class/hwmon/hwmon0/name": "cpu_thermal",
            "sys/class/hwmon/hwmon1/name": "rpi_volt",
            "sys/class/hwmon/hwmon1/in0_lcrit_alarm": alarm,
            "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        },
    )
    return root


def test_a_raspberry_pi_is_read(tmp_path: Path) -> None:
    board = read_sensors(tmp_path, raspberry(tmp_path))
    assert board.temperature == 48.312
    assert (board.throttled, board.under_voltage, board.since_boot) == (False, False, (False, False))
    assert board.disk_free == pytest.approx(disk_free(tmp_path), rel=0.2)
    assert read_board_info(tmp_path).model == "Raspberry Pi 4 Model B Rev 1.4"


@pytest.mark.parametrize(
    ("bits", "throttled", "low", "past"),
    [
        ("50005", True, True, (True, True)),  # what a Pi with a weak supply says most often
        ("50000", False, False, (True, True)),
        ("80008", True, False, (True, False)),
        ("20002", True, False, (True, False)),
        ("1", False, True, (False, False)),
        ("0x50005", True, True, (True, True)),
    ],
)
def test_bits_of_the_firmware(tmp_path: Path, bits: str, throttled: bool, low: bool, past: tuple[bool, bool]) -> None:
    board = read_sensors(root=raspberry(tmp_path, bits=bits))
    assert (board.throttled, board.under_voltage, board.since_boot) == (throttled, low, past)


def test_a_kernel_that_tells_of_voltage_only(tmp_path: Path) -> None:
    raspberry(tmp_path, alarm="1")
    (tmp_path / FIRMWARE).unlink()
    board = read_sensors(root=tmp_path)
    assert (board.throttled, board.under_voltage, board.since_boot) == (None, True, None)


def test_a_machine_that_tells_nothing_is_unknown_and_no_error(tmp_path: Path) -> None:
    assert read_sensors(root=tmp_path) == SensorReading()


@pytest.mark.parametrize("words", ["", "hot", "-"])
def test_a_gauge_that_talks_nonsense_is_unknown(tmp_path: Path, words: str) -> None:
    board = read_sensors(root=raspberry(tmp_path, heat=words, bits=words, alarm=words))
    assert (board.temperature, board.throttled, board.under_voltage) == (None, None, None)


def test_the_zone_of_the_processor_is_taken(tmp_path: Path) -> None:
    for number, (kind, heat) in enumerate([("acpitz", "20000"), ("iwlwifi_1", "31000"), ("x86_pkg_temp", "55000")]):
        zone = f"sys/class/thermal/thermal_zone{number}"
        plant(tmp_path, **{f"{zone}/type": kind, f"{zone}/temp": heat})
    assert read_sensors(root=tmp_path).temperature == 55.0


@pytest.mark.parametrize(
    ("life", "worn"), [("0x01 0x01", 0.1), ("0x03 0x09", 0.9), ("0x0b 0x01", 1.0), ("0x00 0x00", None)]
)
def test_wear_of_the_emmc(tmp_path: Path, life: str, worn: float | None) -> None:
    plant(tmp_path, **{"sys/block/mmcblk0/device/life_time": life})
    assert read_sensors(root=tmp_path).emmc_wear == worn


def test_the_disk_of_a_log_that_is_not_there_yet(tmp_path: Path) -> None:
    assert disk_free(tmp_path / "a" / "b.jsonl") is not None


class Told:
    """A board that is played, and what the watcher tells of it."""

    def __init__(self) -> None:
        self.board, self.time = SensorReading(), 0.0
        self.info: dict[str, Any] = {}
        self.told: list[tuple[float, str, bool]] = []
        self.monitor = BoardMonitor(self.report, self.info, lambda: self.board, lambda: True, lambda: self.time)

    def report(self, name: str, active: bool, detail: str) -> None:
        assert "\n" not in detail
        self.told.append((self.time, name, active))

    def play(self, *boards: SensorReading) -> None:
        """One look every ten seconds."""
        for self.board in boards:
            self.monitor.poll()
            self.time += 10


def heats(*degrees: float) -> list[SensorReading]:
    return [SensorReading(temperature=degree) for degree in degrees]


def test_heat_is_told_once_and_is_over_when_it_is_well_below() -> None:
    played = Told()
    played.play(*heats(79.9, 80.1, 79.5, 80.4, 76, 75.1, 74.9, 78, 79, 82))
    assert played.told == [(10, "hot", True), (60, "hot", False), (90, "hot", True)]


def test_bursts_of_under_voltage_are_one_fault() -> None:
    played = Told()
    low, fine = SensorReading(under_voltage=True), SensorReading(under_voltage=False)
    played.play(fine, low, fine, low, fine, fine, fine, fine, fine, fine, fine, fine)
    assert played.told == [(10, "under-voltage", True), (90, "under-voltage", False)]


def test_throttling_is_told() -> None:
    played = Told()
    played.play(SensorReading(throttled=True), *8 * [SensorReading(throttled=False)])
    assert [(name, begun) for _, name, begun in played.told] == [("throttled", True), ("throttled", False)]


def test_a_full_disk_is_told_once_until_there_is_room() -> None:
    played = Told()
    played.play(*(SensorReading(disk_free=mega * 2**20) for mega in (500, 99, 101, 99, 119, 121, 110, 90)))
    assert [(at, begun) for at, _, begun in played.told] == [(10, True), (50, False), (70, True)]


def test_what_nobody_knows_is_no_fault_and_ends_none() -> None:
    played = Told()
    played.play(SensorReading(), SensorReading(temperature=85, under_voltage=True), *20 * [SensorReading()])
    assert [begun for _, _, begun in played.told] == [True, True]


def test_facts_go_into_the_state() -> None:
    played = Told()
    played.play(SensorReading(48.26, False, True, None, 12345))
    assert played.info == {
        "temperature": 48.3,
        "throttled": False,
        "under_voltage": True,
        "disk_free": 12345,
        "clock_synced": True,
    }


def test_this_very_machine_can_be_watched() -> None:
    info: dict[str, Any] = {}
    BoardMonitor(lambda *_: None, info, Sensors(Path()).read).poll()
    assert info["disk_free"] > 0


class Pi:
    """Heat of a board: power warms it, air cools it. Two masses, chip and board, as measured curves show."""

    def __init__(self, room: float, resistance: float = 12.0, seconds: float = 120.0) -> None:
        self.room, self.chip, self.body = room, room + 15, room + 15
        self.resistance, self.seconds = resistance, seconds

    def step(self, work: float, seconds: float) -> float:
        """Work is the share of full speed; the temperature comes in steps of half a degree, as on a Pi 4."""
        watts = 1.5 + 3.5 * work
        self.body += (self.resistance * watts - (self.body - self.room)) / self.seconds * seconds
        self.chip += (self.body + 2.0 * watts - self.chip) / 5.0 * seconds
        return round(self.chip / 0.487) * 0.487


def hour(pi: Pi, limit: float | None) -> tuple[list[float], list[float]]:
    """Temperatures and paces of an hour at full speed where it is let; the temperature is read every ten seconds."""
    cooling = ThermalController(limit) if limit else None
    heats, paces, pace, read = [], [], 1.0, pi.chip
    for second in range(3600):
        heat = pi.step(pace, 1.0)
        read = heat if second % 10 == 0 else read
        pace = cooling.update(read, float(second)) if cooling else 1.0
        heats.append(pi.chip)
        paces.append(pace)
    return heats, paces


@pytest.mark.parametrize("room", [30.0, 38.0])
@pytest.mark.parametrize("seconds", [60.0, 120.0, 600.0])
def test_cooling_keeps_a_board_below_its_limit_and_does_not_swing(room: float, seconds: float) -> None:
    resistance = 12.0
    assert max(hour(Pi(room, resistance, seconds), None)[0]) > 78  # it would throttle, or come near
    heats, paces = hour(Pi(room, resistance, seconds), 75)
    assert max(heats) < 75
    settled = heats[-900:]
    assert min(settled) > 69, "slower than it need be"
    assert max(settled) - min(settled) < 2
    assert max(paces[-900:]) - min(paces[-900:]) < 0.15
    assert max(abs(a - b) for a, b in pairwise(paces[60:])) < 0.2  # no jerks, once the chip is at work


def test_cooling_costs_nothing_on_a_cool_board() -> None:
    _, paces = hour(Pi(room=15.0, resistance=7.0), 75)
    assert min(paces[600:]) == 1.0


def test_cooling_lets_go_when_the_room_gets_cool() -> None:
    pi, cooling = Pi(room=38.0), ThermalController(75)
    paces: list[float] = []
    for second in range(7200):
        if second == 3600:
            pi.room, pi.resistance = 15.0, 7.0  # somebody opened a window, and put a fan there
        paces.append(cooling.update(pi.step(paces[-1] if paces else 1.0, 1.0), float(second)))
    assert paces[3500] < 0.9
    assert paces[-1] == 1.0


def test_cooling_never_stops_the_run() -> None:
    cooling = ThermalController(60)
    paces = [cooling.update(95.0, float(second)) for second in range(3600)]
    assert min(paces) == paces[-1] == 0.1


def test_cooling_does_nothing_where_the_temperature_is_unknown() -> None:
    cooling = ThermalController(75)
    assert [cooling.update(None, float(second)) for second in range(100)] == 100 * [1.0]
