"""The chart of README.md: accuracy against latency of our detectors and others, from the result of a benchmark.

python scripts/benchmarks/detector_comparison_chart.py RESULT.json scripts/images/detector_comparison.png
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from pocketsight.train.evaluation.plots import pyplot

PATH = click.Path(path_type=Path)
NAMES = {
    "yunet_opencv": "YuNet, OpenCV",
    "yunet_ort": "YuNet",
    "yunet_n_ort": "YuNet-n",
    "scrfd_500m_ort": "SCRFD 500M",
    "ultralight_slim320_litert": "Ultra-Light slim",
    "ultralight_rfb320_litert": "Ultra-Light RFB",
    "blazeface_short_litert": "BlazeFace short",
    "haar_default": "Haar default",
    "haar_alt2": "Haar alt2",
    "dlib_hog": "dlib HOG",
    "dlib_hog_up1": "dlib HOG, doubled",
}
# Offsets of names that would overlap, in points from their mark.
LABEL_OFFSETS = {
    "pocketsight-tiny": (-20, -20),
    "pocketsight": (-66, 6),
    "pocketsight-large": (-62, 12),
    "yunet_ort": (-40, -4),
    "yunet_n_ort": (-44, 8),
    "ultralight_slim320_litert": (-30, -22),
    "ultralight_rfb320_litert": (9, -6),
    "haar_default": (8, -8),
    "dlib_hog_up1": (-96, 8),
    "yunet_opencv": (8, -12),
}
OUR_COLOR, OTHER_COLOR = "#c2410c", "#475569"


@click.command()
@click.argument("result", type=PATH)
@click.argument("target", type=PATH)
@click.option("--resolution", default="320x240", show_default=True, help="Frame size to plot.")
@click.option("--reference", default="yunet_ort", show_default=True, help="Detector whose time is 1.")
def main(result: Path, target: Path, resolution: str, reference: str) -> None:
    """Draw the chart, and print its numbers as a table."""
    peers: dict[str, Any] = json.loads(result.read_text())["peers"]
    unit = _network_ms(peers[reference]["sizes"][resolution])
    plt = pyplot()
    figure, axes = plt.subplots(figsize=(7.2, 4.6), layout="constrained")
    for peer, facts in sorted(peers.items(), key=lambda item: _network_ms(item[1]["sizes"][resolution])):
        measured = facts["sizes"][resolution]
        time, accuracy = _network_ms(measured) / unit, measured["accuracy"]["16"]
        low, high = accuracy["ap_ci"]
        name = NAMES.get(peer, peer)
        _draw_detector(axes, peer, time, accuracy)
        kb = f"{facts['bytes'] / 1000:,.0f} kB" if facts["bytes"] else "-"
        span = f"AP50 {accuracy['ap']:.3f} [{low:.3f}, {high:.3f}]"
        click.echo(f"{name:18} {_network_ms(measured):7.3f} ms  x{time:6.2f}  {span}  {kb}")
    axes.set(
        xscale="log",
        xlim=(0.1, 90),
        ylim=(0, 1),
        ylabel=f"AP50, faces of 16 px and more in {resolution}",
        xlabel=f"network time on one core, relative to {NAMES.get(reference, reference)} ({unit:.2f} ms here)",
        title="up and to the left is better; bars: 95 % bootstrap interval",
    )
    ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    figure.savefig(target, dpi=110)


def _draw_detector(axes: Any, peer: str, time: float, accuracy: dict[str, Any]) -> None:
    """The mark of a detector with its interval, and its name."""
    is_ours = peer.startswith("pocketsight")
    color = OUR_COLOR if is_ours else OTHER_COLOR
    low, high = accuracy["ap_ci"]
    axes.errorbar(
        time,
        accuracy["ap"],
        [[accuracy["ap"] - low], [high - accuracy["ap"]]],
        fmt="o" if is_ours else "s",
        color=color,
        markersize=8 if is_ours else 5,
        elinewidth=0.8,
    )
    axes.annotate(
        NAMES.get(peer, peer),
        (time, accuracy["ap"]),
        xytext=LABEL_OFFSETS.get(peer, (8, 4)),
        textcoords="offset points",
        color=color,
        fontweight="bold" if is_ours else "normal",
        fontsize=9,
    )


def _network_ms(result: dict[str, Any]) -> float:
    """The time of the network alone; of the whole call for a detector that does not separate them."""
    return float((result["net"] if "net" in result else result["e2e"])["median"])


if __name__ == "__main__":
    main()
