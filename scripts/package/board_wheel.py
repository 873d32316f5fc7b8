"""A hook of hatchling: with POCKETSIGHT_WHEEL=board in the environment, a wheel has only what a board needs."""

from __future__ import annotations

import os
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NOT_ON_A_BOARD = ["/train", "/export", "*.weights.h5"]


class BoardWheelHook(BuildHookInterface):  # type: ignore[misc]
    """Leaves training, export and the weights before quantization out, with their commands."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        kind = os.environ.get("POCKETSIGHT_WHEEL", "full")
        if kind not in ("board", "full"):
            raise ValueError(f"POCKETSIGHT_WHEEL must be board or full, not {kind}")
        if kind == "board" and version != "editable":
            self.build_config.target_config["exclude"] += NOT_ON_A_BOARD
            self.metadata.core.entry_points.clear()  # those of [project.scripts] stay
