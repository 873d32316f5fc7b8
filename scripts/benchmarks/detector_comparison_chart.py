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
# Offsets of names that would overlap, in points from their mark: at home, away.
LABEL_OFFSETS = {
    "pocketsight-tiny": ((-20, -20), (-20, -20)),
    "pocketsight": ((-66, 6), (-30, -22)),
    "pocketsight-large": ((-62, 12), (-70, 8)),
    "yunet_ort": ((-40, -4), (-40, -14)),
    "yunet_n_ort": ((-44, 8), (-30, 8)),
    "ultralight_slim320_litert": ((-30, -22), (-34, -16)),
    "ultralight_rfb320_litert": ((9, -6), (9, -8)),
    "haar_default": ((-20, -22), (-58, -18)),
    "haar_alt2": ((-40, 12), (-40, 12)),
    "dlib_hog_up1": ((-60, 18), (-74, 8)),
    "yunet_opencv": ((8, -12), (9, -4)),
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
    plt = pyplot()
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.6), sharey=True, layout="constrained")
    titles = "home: sources that our detectors were trained on", "away: a source that none was trained on"
    for side, (axes, peers, title) in enumerate(zip(panels, results, titles, strict=True)):
        for peer, time in times.items():
            accuracy = peers[peer]["sizes"][resolution]["accuracy"]["16"]
            _draw_detector(axes, peer, time / unit, accuracy, LABEL_OFFSETS.get(peer, ((8, 4), (8, 4)))[side])
        axes.set(xscale="log", xlim=(0.1, 90), ylim=(0, 1), title=title)
        ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.grid(alpha=0.25)
    panels[0].set_ylabel(f"AP50, faces of 16 px and more in {resolution}")
    figure.supxlabel(f"network time on one core, relative to {NAMES[reference]} ({unit:.2f} ms here)", fontsize=10)
    figure.savefig(target, dpi=110)
    for peer in sorted(times, key=times.__getitem__):
        scores = "  ".join(_score(peers[peer]["sizes"][resolution]["accuracy"]["16"]) for peers in results)
        kb = f"{results[0][peer]['bytes'] / 1000:,.0f} kB" if results[0][peer]["bytes"] else "-"
        click.echo(f"{NAMES.get(peer, peer):18} {times[peer]:7.3f} ms  x{times[peer] / unit:6.2f}  {scores}  {kb}")


def _score(accuracy: dict[str, Any]) -> str:
    low, high = accuracy["ap_ci"]
    return f"{accuracy['ap']:.3f} [{low:.3f}, {high:.3f}]"


def _draw_detector(axes: Any, peer: str, time: float, accuracy: dict[str, Any], offset: tuple[int, int]) -> None:
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
        xytext=offset,
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
