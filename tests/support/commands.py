"""Commands of pocketsight in this process: a process of its own would import TensorFlow again, which takes seconds."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner

from pocketsight.device.cli.main import main


def pocketsight(*words: object, status: int = 0) -> str:
    """What a command prints, on both streams. It must end with `status`, and with no traceback."""
    result = CliRunner().invoke(main, list(map(str, words)), prog_name="pocketsight")
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == status, result.output
    return result.output


def pocketsight_json(*words: object) -> Any:
    """What a command with --json prints; messages before and after it are left out."""
    said = pocketsight(*words, "--json")
    return json.loads(said[said.index("{") : said.rindex("}") + 1])
