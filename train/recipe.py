"""How a model is trained: every number that matters, in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """The same fields for both models; what only one of them uses says so."""

    pictures: int  # seen in all, repeats counted; the length of a training
    batch: int  # pictures a step
    learning_rate: float  # at its highest; rises over `warmup` and falls to 0 by a cosine
    warmup: float = 0.03  # share of the steps
    weight_decay: float = 0.01  # AdamW
    average: float = 0.999  # momentum of the averaged copy of the weights, which is the one that is kept
    seed: int = 0
    held_out: float = 0.1  # share of the data kept for validation where the data does not name its own
    flip: float = 0.5  # chance of a mirror image
    grey: float = 0.25  # chance of losing all colour
    light: float = 0.35  # largest relative change of brightness, contrast and gamma
    blemish: float = 0.25  # chance of each of blur, noise and JPEG traces
    # detector
    zoom: tuple[float, float] = (0.35, 1.6)  # width of the random window, in widths of the whole picture's frame
    empty: float = 0.1  # share of the pictures drawn from those without a face
    focus: float = 0.3  # chance that the window is laid around a face, so that small ones are not lost
    box_loss: float = 2.0  # weight of the boxes against the scores
    # sentiment
    shift: float = 0.08  # largest shift of the crop, in its sides, as the detector errs
    scale: float = 0.14  # largest relative change of the crop's side
    turn: float = 14.0  # largest rotation, degrees
    smoothing: float = 0.03  # probability taken from the label and spread over all classes
    cover: float = 0.3  # chance that a part of the face is hidden


DETECTOR = Recipe(pictures=400_000, batch=32, learning_rate=2e-3)
SENTIMENT = Recipe(pictures=700_000, batch=64, learning_rate=2e-3, average=0.9995, weight_decay=0.05, blemish=0.15)
