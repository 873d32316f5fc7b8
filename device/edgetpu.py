"""Which of two files a model runs: the one compiled for a Coral while there is one, else the plain one.

`detector_edgetpu.tflite` beside `detector.tflite` is that model, compiled. A Coral on a cable comes and goes: a model
that loses it goes on with the plain file, in the same frame, and returns to the Coral between two frames.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from pocketsight.device.errors import ModelError
from pocketsight.device.golden import demand
from pocketsight.device.health import coral
from pocketsight.device.health.coral import LIBRARY
from pocketsight.device.image import Image
from pocketsight.device.interpreter import Delegate, Loaded, Model, TfliteModel, demand_task, load, runtime
from pocketsight.device.spec import unpack
from pocketsight.device.tensor import Tensor

SUFFIX = "_edgetpu"  # what the compiler adds to a file's name
FAULT = "Coral lost"
FIRST, LONGEST = 1.0, 60.0  # seconds until it is tried again; each time twice as long
STEADY = 60.0  # seconds that it must hold until the first try comes as soon as that again

Tell = Callable[[str, bool, str], None]  # a fault's name, whether it begins, a line for people


def beside(plain: Path) -> Path:
    """Where the compiled file of a plain one lies."""
    return plain.with_name(f"{plain.stem}{SUFFIX}{plain.suffix}")


def plain_of(compiled: Path) -> Path:
    """Where the file lies that a compiled one was made from."""
    return compiled.with_name(compiled.stem.removesuffix(SUFFIX) + compiled.suffix)


def load_on(
    delegate: str, path: Path, task: str | None = None, threads: int | None = None, verify: bool = False
) -> Loaded:  # fmt: skip
    """As `load`, of a plain file or a compiled one; `delegate` as the option --delegate has it.

    "auto" takes the Coral where there is a compiled file and a Coral, else the CPU; "edgetpu" raises ModelError else.
    With `verify` a Coral whose golden output is wrong counts as none, now and whenever it is opened again.
    """
    spec = unpack(path)[1]
    compiled = path if spec.compiled else beside(path)
    plain = plain_of(path) if spec.compiled else path
    if delegate == "cpu" or not compiled.exists():
        if delegate not in ("auto", "cpu"):
            raise ModelError(f"{compiled} is not there; make it with: pocketsight export edgetpu {path}")
        return load(plain if plain.exists() else path, task, threads)
    fallback = load(plain, task, threads) if plain != compiled and plain.exists() else None
    switch = Switch(compiled, fallback, task, _device(delegate), verify)
    try:
        switch.take(switch.open())
    except ModelError as error:
        if delegate != "auto" or fallback is None:
            raise
        switch.leave(str(error))
    return Loaded(switch, fallback.spec if fallback else spec)


def _device(delegate: str) -> str:
    """As libedgetpu names it: "", "usb", "pci", ":1", "usb:1"."""
    rest = delegate.removeprefix("edgetpu") if delegate.startswith("edgetpu") else ""
    return rest if rest[1:].isdecimal() else rest[1:]


def runs_on(loaded: Loaded) -> str:
    """What runs a model now: "edgetpu" or "cpu"."""
    return "edgetpu" if isinstance(loaded.model, Switch) and not loaded.model.why else "cpu"


def running(loaded: Loaded) -> TfliteModel:
    """The interpreter that runs a model now."""
    model = loaded.model.now if isinstance(loaded.model, Switch) else loaded.model
    assert isinstance(model, TfliteModel)
    return model


def changes(models: Iterable[Loaded]) -> int:
    """How often these models went to the Coral or left it."""
    return sum(loaded.model.changes for loaded in models if isinstance(loaded.model, Switch))


class Switch:
    """A model that has two files. Each call runs one of them, in one thread; any thread may say which comes next."""

    def __init__(
        self, compiled: Path, fallback: Loaded | None, task: str | None, device: str, verify: bool
    ) -> None:  # fmt: skip
        self.compiled, self.fallback, self.task, self.device, self.verify = compiled, fallback, task, device, verify
        self.plain: Model = fallback.model if fallback else self._none
        self.now = self.plain
        self.why = "it was not opened yet"  # the Coral does not run it; "": it does
        self.changes = 0
        self.gone: Model | None = None  # the one that failed: to let it go closes the device, which may take long
        self.lost: Callable[[str], None] = _nobody

    def __call__(self, image: Image) -> Mapping[str, Tensor]:
        now = self.now
        try:
            return now(image)
        except RuntimeError as error:
            if now is self.plain:
                raise
            self.leave(f"the Coral failed in {self.compiled.name}: {_first(error)}")
        self.lost(self.why)
        return self.plain(image)

    def leave(self, why: str) -> None:
        """Run on the CPU from the next call on."""
        if self.now is not self.plain:
            self.gone, self.now = self.now, self.plain
        self.changes += 1
        self.why = f"{why}; the CPU runs {plain_of(self.compiled).name}" if self.fallback else why

    def take(self, model: Model) -> None:
        """Run on the Coral from the next call on, by what `open` gave."""
        self.now, self.why = model, ""
        self.changes += 1

    def open(self) -> Model:
        """The compiled file on the Coral, proved by running it. May take seconds. Raises ModelError, with the cure."""
        flatbuffer, spec = unpack(self.compiled)
        demand_task(spec, self.task, self.compiled)
        if self.fallback and spec.compiled.get("from") != self.fallback.spec.sha256:
            plain = plain_of(self.compiled)
            cure = f"make it again with: pocketsight export edgetpu {plain}"
            raise ModelError(f"{self.compiled} was not compiled from {plain.name}; {cure}")
        try:
            delegate = Delegate(LIBRARY, {"device": self.device} if self.device else {})
        except OSError as error:
            raise ModelError(_no_library(error)) from error
        except ValueError as error:
            raise ModelError(_no_device(self.device)) from error
        try:
            model = TfliteModel(flatbuffer, 1, self.compiled, [delegate], spec.compiled.get("outputs"))
            model(np.zeros((*spec.size, 3), np.uint8))  # sends the weights, too
        except (ModelError, RuntimeError) as error:
            raise ModelError(_misfit(self.compiled, error)) from error
        if self.verify:
            self._prove(Loaded(model, spec))
        return model

    def _prove(self, loaded: Loaded) -> None:
        try:
            demand(loaded, plain_of(self.compiled) if self.fallback else self.compiled, coral=True)
        except RuntimeError as error:  # it vanished meanwhile
            raise ModelError(_misfit(self.compiled, error)) from error

    def _none(self, image: Image) -> Mapping[str, Tensor]:
        raise ModelError(f"{self.why}; no plain file that the CPU could run lies beside {self.compiled}")


def _nobody(why: str) -> None:
    """Nobody wants to know."""


def _first(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "it did not say why")


def _no_library(error: OSError) -> str:
    if "No such file" in str(error) and LIBRARY in str(error):
        return f"{LIBRARY} is not installed: {coral.INSTALL}, or for a newer system a build that fits {runtime()[1]} " \
               "(see device/CORAL.md)"  # fmt: skip
    return f"{LIBRARY} does not load ({_first(error)}): take the build for this system (see device/CORAL.md)"


def _no_device(device: str) -> str:
    """Why libedgetpu, which says nothing, found none, as far as can be seen from here."""
    bus = {"usb": "USB", "pci": "PCIe"}.get(device.partition(":")[0])
    found = [each for each in coral.corals() if bus in (None, each.bus)]
    if not found:
        return f"no Coral is plugged in{f' on {bus}' if bus else ''}: {coral.PLUG}"
    number = device.partition(":")[2]
    if number and int(number) >= len(found):
        return f"there is no Coral {number}: {len(found)} plugged in, and they count from 0"
    if trouble := coral.trouble(found[int(number or 0)]):
        return f"the Coral cannot be opened: {trouble[0]}: {trouble[1]}"
    return "the Coral is plugged in but does not open: end the program that holds it, or replug it"


def _misfit(compiled: Path, error: Exception) -> str:
    if "unresolved custom op" in str(error):
        return f"{LIBRARY} leaves {compiled} to the CPU, so it does not fit {runtime()[1]}: take the build for it " \
               "(see device/CORAL.md)"  # fmt: skip
    return f"{compiled} does not run on this Coral: {_first(error)}; replug it, or take a newer libedgetpu"


class Keeper:
    """Tells when the Coral of a run is lost, tries it again and again, and tells when it is back."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell
        self.switches: list[Switch] = []
        self.wait, self.next, self.back = FIRST, 0.0, float("-inf")  # seconds; the others of the monotonic clock
        self.thread: threading.Thread | None = None

    def adopt(self, models: Iterable[Loaded]) -> None:
        """Watch over these models instead of those before."""
        self.switches = [loaded.model for loaded in models if isinstance(loaded.model, Switch)]
        for switch in self.switches:
            switch.lost = self._lost
        if why := next((switch.why for switch in self.switches if switch.why), ""):
            self._lost(why)
        else:
            self.tell(FAULT, False, "other models are loaded")

    def due(self, now: float) -> None:
        """Try it again when that is due. Cheap to call."""
        going = self.thread and self.thread.is_alive()
        if now < self.next or going or not any(switch.why for switch in self.switches):
            return
        self.thread = threading.Thread(target=self._try, args=(self.switches,), name="coral", daemon=True)
        self.thread.start()

    def _lost(self, why: str) -> None:
        now = time.monotonic()
        self.wait = FIRST if now - self.back >= STEADY else min(2 * self.wait, LONGEST)
        self.next = now + self.wait
        self.tell(FAULT, True, why)

    def _try(self, switches: list[Switch]) -> None:
        """All models or none: they share the device, and it is opened anew only when nobody holds it any more."""
        for switch in switches:
            if switch.fallback and not switch.why:
                switch.leave("another model has lost the Coral")
            switch.gone = None
        try:
            opened = [switch.open() for switch in switches]
        except ModelError:
            self.wait = min(2 * self.wait, LONGEST)
            self.next = time.monotonic() + self.wait
            return
        if switches is self.switches:
            for switch, model in zip(switches, opened, strict=True):
                switch.take(model)
            self.back = time.monotonic()
            self.tell(FAULT, False, "the models run on it again")
