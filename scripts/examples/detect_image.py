"""Find and classify the faces of an image, print them, and save a copy with boxes and labels.

python scripts/examples/detect_image.py PHOTO.jpg ANNOTATED.jpg
"""

import sys
from pathlib import Path

from pocketsight import annotate, classify, detect, load_model
from pocketsight.device.results import FaceResult, FrameResult
from pocketsight.device.vision.image import read_image, write_jpeg


def main(image_path: str, annotated_path: str) -> None:
    detector, classifier = load_model("detector"), load_model("classifier")
    image = read_image(Path(image_path))  # (height, width, 3), RGB, uint8
    faces = []
    for face in detect(image, detector):
        classification = classify(image, face.box, classifier)
        faces.append(FaceResult(face.box, face.score, classification))
        left, top, right, bottom = (round(side) for side in face.box)
        print(f"{left},{top} to {right},{bottom}: {classification.label} {classification.score:.2f}")
    result = FrameResult(0.0, 0.0, 0, image_path, faces, {})
    write_jpeg(Path(annotated_path), annotate(image, result, classifier.spec.reported_labels))


if __name__ == "__main__":
    main(*sys.argv[1:])
