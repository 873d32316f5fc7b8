"""Follow the faces in front of a camera and print each one whose label changes.

python scripts/examples/camera_loop.py SOURCE      # 0, pi, a video file, an rtsp address, synthetic
"""

import sys

from pocketsight import Pipeline, load_model, open_camera


def main(source: str) -> None:
    pipeline = Pipeline(load_model("detector"), load_model("classifier"))
    labels: dict[int | None, str] = {}
    with open_camera(source) as camera:
        for frame in camera:
            for face in pipeline(frame).faces:
                if labels.get(face.track_id) != face.label:
                    labels[face.track_id] = face.label
                    print(f"frame {frame.index}: face {face.track_id} is {face.label}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
