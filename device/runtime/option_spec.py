"""How a setting looks on the command line and in a settings file. No click here: the API and the loop use it too."""

from __future__ import annotations

from dataclasses import Field, dataclass, field, replace
from typing import Any, Literal

Kind = Literal[
    "accelerator",
    "bytes",
    "choice",
    "choices",
    "classifier",
    "control",
    "delegate",
    "detector",
    "flag",
    "integer",
    "label",
    "log_target",
    "number",
    "path",
    "resolution",
    "rotation",
    "text",
    "zone",
]


@dataclass(frozen=True)
class OptionSpec:
    """Metadata of a field of RunConfig: `cli/options.py` makes the option of it, `cli/config_file.py` the setting."""

    kind: Kind
    table: str  # of the settings file
    key: str  # in that table
    help: str
    flag: str = ""  # such as --detect-interval, which is also the default of the field detect_interval
    minimum: float | None = None
    maximum: float | None = None
    min_open: bool = False  # the minimum itself is not allowed
    choices: tuple[str, ...] = ()
    metavar: str | None = None
    default_text: str | None = None  # shown in place of the default; "" shows nothing
    hidden_alias: str | None = None  # another spelling that the help does not show
    negated_flag: str | None = None  # turns a flag off
    multiple: bool = False  # any number of values
    reloadable: bool = False  # SIGHUP may change it

    @property
    def setting(self) -> str:
        """Its full name in a settings file, such as detect.interval."""
        return f"{self.table}.{self.key}"


def option(default: Any, kind: Kind, setting: str, help: str, **more: Any) -> Any:
    """A dataclass field with an OptionSpec. `setting` is table.key; `more` are other fields of OptionSpec."""
    table, key = setting.split(".")
    return field(default=default, metadata={"option": OptionSpec(kind, table, key, help, **more)})


def spec_of(config_field: Field[Any]) -> OptionSpec:
    """The OptionSpec of a field of RunConfig."""
    spec = config_field.metadata["option"]
    assert isinstance(spec, OptionSpec)
    return replace(spec, flag=spec.flag or f"--{config_field.name.replace('_', '-')}")
