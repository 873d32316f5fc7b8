"""The command that installs an extra, in a form that works for how this copy of pocketsight was installed.

No message may give the bare name to pip: a package index may hold another project of that name, or none.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

DISTRIBUTION = "pocketsight"


def installed_version() -> str:
    """The version of pocketsight; "unknown" if it is imported from a folder that is only on the path."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


def install_command(*extras: str, options: str = "") -> str:
    """A shell command that adds `extras`, such as "mqtt", to this environment.

    It depends on where this copy came from, which pip notes in direct_url.json (PEP 610):

    * a checkout or a wheel file that still exists: `pip install 'PATH[mqtt]'`, with `-e` for an editable checkout
    * an address: `pip install 'pocketsight[mqtt] @ ADDRESS'`
    * else: the packages of the extras by name

    `options` are further options of pip install.
    """
    names = ",".join(extras)
    try:
        installed = distribution(DISTRIBUTION)
    except PackageNotFoundError:  # imported from a folder that is only on the path
        return _pip_install(options, "-e " + _quote(f"{_checkout()}[{names}]"))
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    url = origin.get("url", "")
    path = Path(unquote(urlparse(url).path)) if url.startswith("file:") else None
    if path and path.exists():
        editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
        return _pip_install(options, editable + _quote(f"{path}[{names}]"))
    if url and not path:
        return _pip_install(options, _quote(f"{DISTRIBUTION}[{names}] @ {_address(url, origin)}"))
    return _pip_install(options, " ".join(map(_quote, _requirements(installed, extras))))


def _address(url: str, origin: dict[str, Any]) -> str:
    """The URL as pip takes it: a repository needs its kind and revision."""
    repository = origin.get("vcs_info")
    return f"{repository['vcs']}+{url}@{repository['commit_id']}" if repository else url


def _pip_install(options: str, requirements: str) -> str:
    """The pip of this environment: as `pip` if that is the first one on the PATH."""
    first = shutil.which("pip")
    is_ours = first and Path(first).parent.resolve() == Path(sys.executable).parent.resolve()
    pip = "pip" if is_ours else f"{_quote(sys.executable)} -m pip"
    return " ".join(part for part in (pip, "install", options, requirements) if part)


def _requirements(installed: Distribution, extras: tuple[str, ...]) -> list[str]:
    """The packages of some extras as pip takes them. Other conditions, such as of the platform, are kept."""
    packages = []
    for line in installed.requires or []:
        name, _, condition = line.partition(";")
        parts = [part.strip() for part in condition.split(" and ")]
        others = [part for part in parts if not part.startswith("extra ==")]
        extra = next((part.split("==")[1].strip(" \"'") for part in parts if part.startswith("extra ==")), "")
        if extra not in extras:
            continue
        if name.startswith(DISTRIBUTION):  # an extra that consists of other extras
            packages += _requirements(installed, tuple(name.partition("[")[2].partition("]")[0].split(",")))
        else:
            packages.append("; ".join([name.strip(), " and ".join(others)]) if others else name.strip())
    return packages


def _checkout() -> Path:
    return Path(os.path.realpath(__file__)).parents[2]


def _quote(text: str) -> str:
    """Quoted for the shell, if it needs to be."""
    if not set(text) & set(" \"'[]<>;&()*?$|`\\"):
        return text
    return f"'{text}'" if "'" not in text else f'"{text}"'
