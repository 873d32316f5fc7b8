"""Tables that `pocketsight export` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from rich.table import Table

from pocketsight.export.edgetpu_ops import OpSupport


def support_table(support: Sequence[OpSupport]) -> Table:
    """The operators of a graph and where an Edge TPU would run them; equal ones share a row."""
    table = Table(title="check: where the operators would run, by Coral's list", title_justify="left")
    table.add_column("operator")
    for column in ("version", "count"):
        table.add_column(column, justify="right")
    table.add_column("runs on")
    rows = Counter((s.operator.name, s.operator.version, s.cpu_reason, s.note) for s in support)
    for (name, version, cpu_reason, note), count in rows.items():
        edgetpu = f"Edge TPU, perhaps: {note}" if note else "Edge TPU"
        table.add_row(name, str(version), str(count), f"CPU: {cpu_reason}" if cpu_reason else edgetpu)
    return table


def parity_table(facts: dict[str, Any]) -> Table:
    """The parity report of `parity.compare_models`."""
    table = Table(title="parity: trained network and exported file", title_justify="left")
    table.add_column("output")
    table.add_column("largest difference", justify="right")
    table.add_column("mean", justify="right")
    for name, difference in facts["output_difference"].items():
        table.add_row(name, f"{difference['max_abs']:.4f}", f"{difference['mean_abs']:.5f}")
    if "loss" in facts:
        table.caption = (
            f"{facts['metric']} on {facts['images']} images: trained {facts['trained']:.4f}, "
            f"exported {facts['exported']:.4f}, loss {facts['loss']:+.4f}"
        )
    else:
        table.caption = "nothing in the images could be scored"
    return table
