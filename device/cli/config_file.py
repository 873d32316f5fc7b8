"""Settings: options of the command line, which a TOML file may fill. The facts of a model are none."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any

import click

from pocketsight.device.errors import SettingsError

CONFIG_OPTION = "config"


def config_option(command: Any) -> Any:
    """Adds --config FILE.toml, whose keys are the names of the command's other options."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_load_config_file,
        help="A TOML file with these options, as in: fps = 5.  The command line wins.",
    )(command)


def _load_config_file(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    if path is not None:
        ctx.default_map = {**(ctx.default_map or {}), **read_config_file(path, ctx.command, ctx)}
        ctx.meta[CONFIG_OPTION] = path


def read_config_file(path: Path, command: click.Command, ctx: click.Context) -> dict[str, Any]:
    """The settings of a TOML file, by parameter name. Raises SettingsError, naming file, key and what it may be."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    options = {_option_name(p): p for p in command.params if isinstance(p, click.Option)}
    known = {key: option for key, option in options.items() if key not in (CONFIG_OPTION, "help", "json")}
    settings = {}
    for key, value in found.items():
        option = known.get(key)
        if option is None:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it may hold: {', '.join(sorted(known))}"
            raise SettingsError(f"{path}: there is no setting {key!r}; {hint}")
        settings[str(option.name)] = _validate_value(path, key, value, option, ctx)
    return settings


def _option_name(option: click.Parameter) -> str:
    """`log-level` of --log-level; of --follow/--no-follow the first."""
    return max(option.opts, key=len).removeprefix("--")


def _validate_value(path: Path, key: str, value: Any, option: click.Option, ctx: click.Context) -> Any:
    """The value, if it is of the option's kind. Click converts it later, in its own place."""
    expected = _describe_type(option)
    values = value if isinstance(value, list) and option.multiple else [value]
    for item in values:
        wrong = isinstance(item, bool) != option.is_flag or isinstance(item, dict | list)
        number = isinstance(option.type, click.types.IntParamType | click.types.FloatParamType)
        wrong = wrong or (number and not isinstance(item, int | float))
        wrong = wrong or (isinstance(option.type, click.types.IntParamType) and isinstance(item, float))
        wrong = wrong or (not number and not option.is_flag and not isinstance(item, str))
        if wrong:
            quoted = (
                f" in quotes, as {str(item)!r}"
                if expected.startswith("a text") and isinstance(item, int | float)
                else ""
            )
            raise SettingsError(f"{path}: {key} = {_format_toml(item)} must be {expected}{quoted}")
        try:
            option.type.convert(item, option, ctx)
        except click.BadParameter as error:
            raise SettingsError(f"{path}: {key} = {_format_toml(item)} must be {expected}: {error.message}") from error
    return values if option.multiple else value


def _format_toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _describe_type(option: click.Option) -> str:
    """What an option may be, in words."""
    kind = option.type
    if option.is_flag:
        return "true or false"
    if isinstance(kind, click.Choice):
        return "one of " + ", ".join(map(repr, kind.choices))
    if isinstance(kind, click.IntRange | click.FloatRange):
        word = "a whole number" if isinstance(kind, click.IntRange) else "a number"
        word += "" if kind.min is None else f" above {kind.min}" if kind.min_open else f" from {kind.min}"
        return word + (f" to {kind.max}" if kind.max is not None else "")
    if isinstance(kind, click.types.IntParamType | click.types.FloatParamType):
        return "a number"
    return "a text or a list of texts" if option.multiple else "a text"


def effective_settings(ctx: click.Context) -> list[dict[str, Any]]:
    """Every setting of a command with its value and where that came from, in the order of the help text."""
    origins = {
        click.core.ParameterSource.COMMANDLINE: "command line",
        click.core.ParameterSource.DEFAULT_MAP: str(ctx.meta.get(CONFIG_OPTION, "")),
    }
    rows = []
    for option in ctx.command.params:
        if isinstance(option, click.Option) and option.expose_value and option.name:
            origin = origins.get(ctx.get_parameter_source(option.name), "default")  # type: ignore[arg-type]
            rows.append({"setting": _option_name(option), "value": ctx.params.get(option.name), "from": origin})
    return rows
