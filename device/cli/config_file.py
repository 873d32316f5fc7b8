"""The settings file of a run: TOML tables whose keys are fields of RunConfig."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from pocketsight.device.cli.options import PARAM_TYPES, format_items, format_value
from pocketsight.device.errors import SettingsError
from pocketsight.device.runtime.config import OPTIONS
from pocketsight.device.runtime.option_spec import OptionSpec
from pocketsight.device.system.toml_file import read_toml

CONFIG_OPTION = "config"
FIELDS = {spec.setting: field for field, spec in OPTIONS.items()}
TABLES = tuple(dict.fromkeys(spec.table for spec in OPTIONS.values()))


class Setting(NamedTuple):
    """A setting of a run as it is in force."""

    field: str  # of RunConfig
    value: Any
    origin: str  # "default", "command line", or the path of the settings file

    @property
    def spec(self) -> OptionSpec:
        """How it is written."""
        return OPTIONS[self.field]


def config_option(command: Any) -> Any:
    """Add --config FILE.toml, which gives defaults to the command's other options."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_load_config_file,
        metavar="FILE.toml",
        help="Read settings from a TOML file; the command line wins.  See: pocketsight config show --toml",
    )(command)


def _load_config_file(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    if path is not None:
        ctx.default_map = {**(ctx.default_map or {}), **read_config_file(path)}
        ctx.meta[CONFIG_OPTION] = path


def read_config_file(path: Path) -> dict[str, Any]:
    """The settings of a TOML file as {field of RunConfig: value as written}.

    Raises SettingsError, which names the file, the setting and its possible values.
    """
    document = read_toml(path, SettingsError)
    try:
        return {FIELDS[name]: _validated(FIELDS[name], value) for name, value in _iter_settings(document)}
    except SettingsError as error:
        raise SettingsError(f"{path}: {error}") from error


def _iter_settings(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(table.key, value) of a document. Raises SettingsError for what is not a setting."""
    for table, content in document.items():
        if not isinstance(content, dict):
            raise SettingsError(_flat_key_message(table, content))
        if table not in TABLES:
            raise SettingsError(f"there is no table [{table}]; {_suggest_table(table)}")
        for key, value in content.items():
            name = f"{table}.{key}"
            if name not in FIELDS:
                raise SettingsError(_unknown_setting_message(table, key))
            yield name, value


def _flat_key_message(key: str, value: Any) -> str:
    """The error for a key outside of tables."""
    specs = {spec.flag.removeprefix("--"): spec for spec in OPTIONS.values()} | {
        field: spec for field, spec in OPTIONS.items()
    }
    if key in TABLES and isinstance(value, list) and any(isinstance(item, dict) for item in value):
        return f"[{key}] must be one table, not a list of tables"
    if key in specs:
        return f"{key} must be in a table: write {specs[key].key} under [{specs[key].table}]"
    near = difflib.get_close_matches(key, specs, 1)
    if near:
        return f"there is no setting {key!r}; did you mean {specs[near[0]].key} under [{specs[near[0]].table}]?"
    return f"there is no setting {key!r}; {_suggest_table(key)}"


def _unknown_setting_message(table: str, key: str) -> str:
    """The error for a key that its table does not have."""
    specs = [spec for spec in OPTIONS.values() if spec.table == table]
    near = difflib.get_close_matches(key, [spec.key for spec in specs], 1)
    elsewhere = [spec.setting for spec in OPTIONS.values() if spec.key == key]
    if near or elsewhere:
        return f"there is no setting '{table}.{key}'; did you mean {f'{table}.{near[0]}' if near else elsewhere[0]}?"
    return f"there is no setting '{table}.{key}'; possible: {', '.join(spec.setting for spec in specs)}"


def _suggest_table(word: str) -> str:
    near = difflib.get_close_matches(word, TABLES, 1)
    return f"did you mean [{near[0]}]?" if near else f"possible: {', '.join(f'[{table}]' for table in TABLES)}"


def _validated(field: str, value: Any) -> Any:
    """The value, if it has the setting's type. Click converts it later."""
    spec = OPTIONS[field]
    if spec.kind == "control" and isinstance(value, dict):  # [camera.controls]
        value = [f"{name}={_control_text(each)}" for name, each in value.items()]
    values = value if isinstance(value, list) and spec.multiple else [value]
    for item in values:
        expected, name = _describe_type(spec), f"{spec.setting} = {_toml_value(item)}"
        if not _has_type(spec, item):
            is_number = isinstance(item, int | float) and not isinstance(item, bool)
            hint = f" in quotes, as {str(item)!r}" if is_number and expected.startswith("a string") else ""
            raise SettingsError(f"{name} must be {expected}{hint}")
        try:
            PARAM_TYPES[spec.kind](spec).convert(item, None, None)
        except click.BadParameter as error:
            raise SettingsError(f"{name} must be {expected}: {error.message}") from error
    return values if spec.multiple else value


def _control_text(value: Any) -> str:
    """The value of a control as it is on the command line."""
    return ",".join(map(_control_text, value)) if isinstance(value, list) else _toml_value(value).strip("'")


def _has_type(spec: OptionSpec, item: Any) -> bool:
    if spec.kind == "flag" or isinstance(item, bool):
        return spec.kind == "flag" and isinstance(item, bool)
    types = {"integer": int, "rotation": int, "number": int | float}
    return isinstance(item, types.get(spec.kind, str))


def _describe_type(spec: OptionSpec) -> str:
    """The values that a setting can have, for a message."""
    if spec.kind == "flag":
        return "true or false"
    if spec.kind == "rotation":
        return "0, 90, 180 or 270"
    if spec.kind == "choice":
        return "one of " + ", ".join(map(repr, spec.choices))
    if spec.kind in ("integer", "number"):
        word = "a whole number" if spec.kind == "integer" else "a number"
        word += "" if spec.minimum is None else f" {'above' if spec.min_open else 'from'} {spec.minimum}"
        return word + ("" if spec.maximum is None else f" to {spec.maximum}")
    return "a string or a list of strings" if spec.multiple else "a string"


def effective_settings(ctx: click.Context) -> list[Setting]:
    """All settings of a command with the options of RunConfig, with their values and origins."""
    origins = {
        click.core.ParameterSource.COMMANDLINE: "command line",
        click.core.ParameterSource.DEFAULT_MAP: str(ctx.meta.get(CONFIG_OPTION, "")),
    }
    sources = {field: ctx.get_parameter_source(field) for field in OPTIONS}
    return [
        Setting(field, ctx.params[field], origins.get(source, "default") if source else "default")
        for field, source in sources.items()
    ]


def to_toml(settings: list[Setting]) -> str:
    """A settings file with these values. Defaults are comments in it."""
    lines: list[str] = []
    for table in TABLES:
        lines += [f"[{table}]"]
        for setting in settings:
            if setting.spec.table == table:
                is_default = setting.origin == "default"
                lines += [
                    f"# {setting.spec.key} is not set" if setting.value is None else _toml_line(setting, is_default)
                ]
        lines += [""]
    return "\n".join(lines).rstrip()


def _toml_line(setting: Setting, as_comment: bool) -> str:
    spec, value = setting.spec, setting.value
    if spec.multiple:
        text = "[" + ", ".join(map(_quote, format_items(setting.field, value))) + "]"
    elif spec.kind in ("flag", "integer", "number", "rotation"):
        text = format_value(setting.field, value)
    else:
        text = _quote(format_value(setting.field, value))
    return f"{'# ' if as_comment else ''}{spec.key} = {text}"


def _quote(text: str) -> str:
    """A basic string of TOML: that of JSON, with DEL escaped."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
