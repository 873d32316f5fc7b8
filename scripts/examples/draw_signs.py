"""Draw three kinds of signs on photographs, as data for a detector. Those of the test split are other photographs.

python scripts/examples/draw_signs.py signs 800
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
from skimage import data
from sklearn.datasets import load_sample_images

SHAPES = {  # label -> outline around 0, 0, and color
    "stop": (
        np.array([[-1, -0.4], [-0.4, -1], [0.4, -1], [1, -0.4], [1, 0.4], [0.4, 1], [-0.4, 1], [-1, 0.4]]),
        (200, 30, 40),
    ),
    "yield": (np.array([[-1, -0.8], [1, -0.8], [0, 0.9]]), (240, 200, 40)),
    "go": (np.array([[-1, -0.5], [0.1, -0.5], [0.1, -1], [1, 0], [0.1, 1], [0.1, 0.5], [-1, 0.5]]), (20, 110, 180)),
}
out, count, rng = Path(sys.argv[1]), int(sys.argv[2]), np.random.default_rng(0)
photos = {"train": [*load_sample_images().images], "test": []}
for n, name in enumerate("astronaut brick chelsea coffee grass gravel hubble_deep_field rocket".split()):
    photo = np.atleast_3d(getattr(data, name)())
    photos["test" if n % 4 == 3 else "train"].append(photo if photo.shape[2] == 3 else photo.repeat(3, 2))
for number in range(count):
    split = "train" if number % 5 else "test"
    photo, shapes = photos[split][rng.integers(len(photos[split]))], []
    top, left = (rng.integers(side - size + 1) for side, size in zip(photo.shape, (240, 320), strict=False))
    image = photo[top : top + 240, left : left + 320, ::-1].copy()  # OpenCV wants blue first
    for column in range(rng.integers(1, 5)):
        label, (outline, color) = list(SHAPES.items())[rng.integers(3)]
        points = (outline * rng.uniform(10, 36) + (80 * column + 40, rng.uniform(40, 200))).round()
        cv2.polylines(image, [points.astype(np.int32)], True, (255, 255, 255), 3, cv2.LINE_AA)
        cv2.fillPoly(image, [points.astype(np.int32)], np.clip(color + rng.normal(0, 20, 3), 0, 255)[::-1], cv2.LINE_AA)
        shapes.append({"label": label, "shape_type": "rectangle", "points": [[*points.min(0)], [*points.max(0)]]})
    note = {"imagePath": f"{number}.jpg", "imageHeight": 240, "imageWidth": 320, "shapes": shapes}
    (out / split / "labels").mkdir(parents=True, exist_ok=True)
    (out / split / "images").mkdir(exist_ok=True)
    (out / split / "labels" / f"{number}.json").write_text(json.dumps(note))
    cv2.imwrite(str(out / split / "images" / f"{number}.jpg"), image)
