"""The command that installs an extra, in a form that works for how this copy of pocketsight was installed.

The name alone must not be given to pip: the package index may hold a stranger's package of that name, or none.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import unquote, urlparse

DISTRIBUTION = "pocketsight"


def install_command(*extras: str, options: str = "") -> str:
    """A shell command that adds `extras`, such as "mqtt", to this environment.

    From a checkout or a wheel that is still where it was installed from, that is `pip install 'PATH[mqtt]'`, with
    `-e` where it was; from an address, `pip install 'pocketsight[mqtt] @ ADDRESS'`; else the packages by name.
    `options` go to pip install. See PEP 610 for direct_url.json, where pip notes the origin.
    """
    wanted = ",".join(extras)
    try:
        found = distribution(DISTRIBUTION)
    except PackageNotFoundError:  # run from a folder that is only on the path
        return _pip(options, "-e " + _quote(f"{_checkout()}[{wanted}]"))
    origin = json.loads(found.read_text("direct_url.json") or "{}")
    url = origin.get("url", "")
    path = Path(unquote(urlparse(url).path)) if url.startswith("file:") else None
    if path and path.exists():
        editable = "-e " if origin.get("dir_info", {}).get("editable") else ""
        return _pip(options, editable + _quote(f"{path}[{wanted}]"))
    if url and not path:
        return _pip(options, _quote(f"{DISTRIBUTION}[{wanted}] @ {url}"))
    return _pip(options, " ".join(map(_quote, _requirements(found, extras))))


def _pip(options: str, what: str) -> str:
    """pip of this environment: by its short name where that is the one on the PATH."""
    found = shutil.which("pip")
    is_ours = found and Path(found).parent.resolve() == Path(sys.executable).parent.resolve()
    pip = "pip" if is_ours else f"{sys.executable} -m pip"
    return " ".join(part for part in (pip, "install", options, what) if part)


def _requirements(found: Distribution, extras: tuple[str, ...]) -> list[str]:
    """The packages of some extras as pip takes them; other conditions, such as of the platform, stay with them."""
    wanted = []
    for line in found.requires or []:
        name, _, condition = line.partition(";")
        parts = [part.strip() for part in condition.split(" and ")]
        kept = [part for part in parts if not part.startswith("extra ==")]
        extra = next((part.split("==")[1].strip(" \"'") for part in parts if part.startswith("extra ==")), "")
        if extra in extras and not name.startswith(DISTRIBUTION):
            wanted.append("; ".join([name.strip(), " and ".join(kept)]) if kept else name.strip())
        elif extra in extras:  # an extra that is made of others
            inner = tuple(name.partition("[")[2].partition("]")[0].split(","))
            wanted += _requirements(found, inner)
    return wanted


def _checkout() -> Path:
    return Path(os.path.realpath(__file__)).parents[2]


def _quote(text: str) -> str:
    return f"'{text}'" if "'" not in text else f'"{text}"'
