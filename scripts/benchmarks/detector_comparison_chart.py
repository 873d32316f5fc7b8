"""The chart of README.md: accuracy against latency of our detectors and others, from two results of a benchmark.

python scripts/benchmarks/detector_comparison_chart.py HOME.json AWAY.json scripts/images/detector_comparison.png
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from pocketsight.train.evaluation.plots import pyplot

PATH = click.Path(path_type=Path)
NAMES = {
    "pocketsight": "pocketsight, default",
    "pocketsight-tiny": "pocketsight, tiny",
    "pocketsight-large": "pocketsight, large",
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
OUR_COLOR, OTHER_COLOR = "#c2410c", "#475569"


@click.command()
@click.argument("home", type=PATH)
@click.argument("away", type=PATH)
@click.argument("target", type=PATH)
@click.option("--resolution", default="320x240", show_default=True, help="Frame size to plot.")
@click.option("--reference", default="yunet_ort", show_default=True, help="Detector whose time is 1.")
def main(home: Path, away: Path, target: Path, resolution: str, reference: str) -> None:
    """Draw both panels, and print their numbers as a table. The times are those of HOME."""
    results: list[dict[str, Any]] = [json.loads(path.read_text())["peers"] for path in (home, away)]
    times = {peer: _network_ms(facts["sizes"][resolution]) for peer, facts in results[0].items()}
    unit = times[reference]
    peers = sorted(times, key=times.__getitem__, reverse=True)
    plt = pyplot()
    figure, panels = plt.subplots(1, 2, figsize=(10, 4.8), sharey=True, layout="constrained")
    titles = "home: sources that our detectors were trained on", "away: a source that none was trained on"
    for axes, result, title in zip(panels, results, titles, strict=True):
        for row, peer in enumerate(peers):
            _draw_interval(axes, row, peer, result[peer]["sizes"][resolution]["accuracy"]["16"])
        axes.set_title(title, fontsize=10)
        axes.set(xlim=(-0.04, 1), xlabel=f"AP50, faces of 16 px and more in {resolution}")
        axes.grid(alpha=0.25)
    panels[0].set_yticks(range(len(peers)), [f"{NAMES.get(peer, peer)}  x{times[peer] / unit:.2f}" for peer in peers])
    for label, peer in zip(panels[0].get_yticklabels(), peers, strict=True):
        label.set(color=_color(peer), fontweight="bold" if _is_ours(peer) else "normal")
    figure.suptitle(f"fastest first; x1.00 is the time of {NAMES[reference]}; lines: 95 % intervals", fontsize=10)
    figure.savefig(target, dpi=110)
    for peer in reversed(peers):
        scores = "  ".join(_score(result[peer]["sizes"][resolution]["accuracy"]["16"]) for result in results)
        kb = f"{results[0][peer]['bytes'] / 1000:,.0f} kB" if results[0][peer]["bytes"] else "-"
        click.echo(f"{NAMES.get(peer, peer):20} {times[peer]:7.3f} ms  x{times[peer] / unit:6.2f}  {scores}  {kb}")


def _is_ours(peer: str) -> bool:
    return peer.startswith("pocketsight")


def _color(peer: str) -> str:
    return OUR_COLOR if _is_ours(peer) else OTHER_COLOR


def _score(accuracy: dict[str, Any]) -> str:
    low, high = accuracy["ap_ci"]
    return f"{accuracy['ap']:.3f} [{low:.3f}, {high:.3f}]"


def _draw_interval(axes: Any, row: int, peer: str, accuracy: dict[str, Any]) -> None:
    """The score of a detector with its interval."""
    low, high = accuracy["ap_ci"]
    sides = [[accuracy["ap"] - low], [high - accuracy["ap"]]]
    marker = "o" if _is_ours(peer) else "s"
    axes.errorbar(accuracy["ap"], row, xerr=sides, fmt=marker, color=_color(peer), markersize=6, elinewidth=1.2)
    axes.annotate(
        f"{accuracy['ap']:.3f}".lstrip("0"),
        (low, row),
        xytext=(-6, -3),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color=_color(peer),
    )


def _network_ms(result: dict[str, Any]) -> float:
    """The time of the network alone; of the whole call for a detector that does not separate them."""
    return float((result["net"] if "net" in result else result["e2e"])["median"])


if __name__ == "__main__":
    main()
