"""The options that the fields of RunConfig become."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import click

from pocketsight.device.cli.param_types import (
    AcceleratorParam,
    ByteSizeParam,
    ChoicesParam,
    ClassifierParam,
    ControlParam,
    DelegateParam,
    DetectorParam,
    FiniteFloatRange,
    LogTargetParam,
    PathParam,
    RotationParam,
    SizeParam,
    ZoneParam,
)
from pocketsight.device.runtime.config import MAX_THREADS, OPTIONS, RunConfig
from pocketsight.device.runtime.option_spec import Kind, OptionSpec

MODEL_FIELDS = (
    "detector",
    "classifier",
    "classify",
    "resolution",
    "delegate",
    "threads",
)  # shared by all commands with a pipeline
CAMERA_FIELDS = "resolution", "rotate", "mirror", "camera_control", "pixel_format", "camera_fps", "tuning_file"
BYTE_UNITS = {"kB": 3, "MB": 6, "GB": 9}  # powers of ten


class StrictCommand(click.Command):
    """A command that refuses an option of one value that is given twice: click would drop the first."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        for number, param in enumerate(given):
            takes_one = isinstance(param, click.Option) and not (param.is_flag or param.count or param.multiple)
            if takes_one and param in given[:number]:
                raise click.UsageError(f"{max(param.opts, key=len)} was given twice; it takes one value, remove one")
        return super().parse_args(ctx, args)


class StrictGroup(click.Group):
    """A group whose commands are strict."""

    command_class = StrictCommand


class AliasedOption(click.Option):
    """An option with a second spelling that the help does not show."""

    def __init__(self, *args: Any, hidden_alias: str | None = None, **more: Any) -> None:
        super().__init__([*args[0], *([hidden_alias] if hidden_alias else [])], *args[1:], **more)
        self.hidden_alias = hidden_alias

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        record = super().get_help_record(ctx)
        return record and (record[0].replace(f", {self.hidden_alias}", ""), record[1])


THREAD_COUNT = click.IntRange(1, MAX_THREADS)
PARAM_TYPES: dict[Kind, Callable[[OptionSpec], click.ParamType]] = {  # type: ignore[type-arg,unused-ignore]
    "accelerator": lambda spec: AcceleratorParam(),
    "bytes": lambda spec: ByteSizeParam(),
    "choice": lambda spec: click.Choice(spec.choices),
    "choices": lambda spec: ChoicesParam(spec.choices),
    "control": lambda spec: ControlParam(),
    "delegate": lambda spec: DelegateParam(),
    "classifier": lambda spec: ClassifierParam(),
    "detector": lambda spec: DetectorParam(),
    "flag": lambda spec: click.BOOL,
    "integer": lambda spec: click.IntRange(_whole(spec.minimum), _whole(spec.maximum)),
    "label": lambda spec: click.STRING,
    "log_target": lambda spec: LogTargetParam(),
    "number": lambda spec: FiniteFloatRange(spec.minimum, spec.maximum, min_open=spec.min_open),
    "path": lambda spec: PathParam(),
    "resolution": lambda spec: SizeParam(),
    "rotation": lambda spec: RotationParam(),
    "text": lambda spec: click.STRING,
    "zone": lambda spec: ZoneParam(),
}


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def click_option(field: str, type: Any = None, help: str = "") -> Callable[[Any], Any]:
    """The decorator that adds the option of a field of RunConfig. `type` and `help` replace those of the field."""
    spec = OPTIONS[field]
    flag = f"{spec.flag}/{spec.negated_flag}" if spec.negated_flag else spec.flag
    value = getattr(RunConfig, field, None)
    default = format_value(field, value) if spec.default_text is None and spec.kind != "flag" else spec.default_text
    return click.option(
        field,
        flag,
        cls=AliasedOption,
        hidden_alias=spec.hidden_alias,
        type=None if spec.kind == "flag" else type or PARAM_TYPES[spec.kind](spec),
        is_flag=spec.kind == "flag",
        multiple=spec.multiple,
        default=value,
        metavar=None if type else spec.metavar,
        help=(help or spec.help) + (f"  [default: {default}]" if default else ""),
    )


def config_options(fields: Iterable[str]) -> Callable[[Any], Any]:
    """The decorator that adds the options of some fields of RunConfig, in their order."""
    options = [click_option(field) for field in fields]

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def format_value(field: str, value: Any) -> str:
    """A value of a field of RunConfig as the command line and a settings file take it; "" where it is not set."""
    spec = OPTIONS[field]
    if value is None:
        return ""
    if spec.multiple:
        return ", ".join(_format_one(spec.kind, item) for item in value)
    return _format_one(spec.kind, value)


def format_items(field: str, values: Iterable[Any]) -> list[str]:
    """The values of a field that takes several, as texts."""
    return [_format_one(OPTIONS[field].kind, item) for item in values]


def _format_one(kind: Kind, value: Any) -> str:
    if kind == "flag":
        return "true" if value else "false"
    if kind == "choices":
        return ",".join(value)
    if kind == "bytes":
        unit = next((unit for unit, power in reversed(BYTE_UNITS.items()) if value >= 10**power), "kB")
        return f"{Decimal(value).scaleb(-BYTE_UNITS[unit]).normalize():f}{unit}"
    if kind == "resolution":
        return f"{value[1]}x{value[0]}"
    if kind == "zone":
        return " ".join(f"{_format_number(x)},{_format_number(y)}" for x, y in value.points)
    return _format_number(value) if kind == "number" else str(value)


def _format_number(number: float) -> str:
    """The shortest text that reads back as the same number."""
    return repr(number).removesuffix(".0")
