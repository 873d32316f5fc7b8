"""Export a trained run folder to an int8 model file, load it and run it on an image. Needs the extra `train`.

python scripts/examples/export_and_run.py runs/detector-1 DATA PHOTO.jpg      # DATA: as for training
"""

import sys
from pathlib import Path

from pocketsight import classify, detect, load_model
from pocketsight.device.cli.main import main as run_command
from pocketsight.device.vision.boxes import Box
from pocketsight.device.vision.image import read_image


def main(run_folder: str, data: str, image_path: str) -> None:
    path = Path(run_folder) / "model.tflite"
    words = ["export", "tflite", run_folder, "--calibration-data", data, "--out", str(path)]
    run_command(words, standalone_mode=False)
    model = load_model(path, verify=True)  # it must compute here what it did when it was exported
    print(f"{path}: a {model.spec.task}, {model.spec.precision}, input {model.spec.input_size}")
    image = read_image(Path(image_path))
    if model.spec.task == "detector":
        print(f"{len(detect(image, model))} faces")
    else:
        height, width = image.shape[:2]
        print(classify(image, Box(0, 0, width, height), model))


if __name__ == "__main__":
    main(*sys.argv[1:])
