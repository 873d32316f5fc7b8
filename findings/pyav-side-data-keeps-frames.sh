#!/usr/bin/env bash
# PyAV 18.1.0: a frame whose `side_data` was read is freed by the garbage collector only.
#
# Reading `frame.side_data` makes a cycle of references. The pool of the decoder then has no free buffer and takes new
# memory: with 1080p H.264 about 700 page faults a frame, which made decoding take 1.6 times as long. Whoever needs the
# display matrix should read it from key frames only, as device/camera/av_stream.py does, or collect often.
#
# Seen: of 20 decoded frames 2 are alive at the end; 21 objects when their side data were read, until a collection. Needs
# the package index. Exit status 1 if the behavior is another.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet av==18.1.0 numpy==2.3.5
"$work/venv/bin/python" - "$work/clip.mp4" <<'PY'
import gc
import sys

import av
import numpy as np

with av.open(sys.argv[1], "w") as container:
    stream = container.add_stream("libx264", rate=25)
    stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
    for level in range(20):
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((96, 128, 3), level, np.uint8), "rgb24")))
    container.mux(stream.encode(None))


def count_alive(read_side_data: bool) -> int:
    with av.open(sys.argv[1]) as container:
        for frame in container.decode(video=0):
            if read_side_data:
                frame.side_data.get("DISPLAYMATRIX")
        return sum(isinstance(each, av.VideoFrame) for each in gc.get_objects())


del container, stream
gc.collect()
gc.disable()
plain, read = count_alive(False), count_alive(True)
gc.collect()
later = sum(isinstance(each, av.VideoFrame) for each in gc.get_objects())
print(f"frames alive: {plain} without side data, {read} with it, {later} after a collection")
sys.exit(0 if plain <= 2 and read >= 20 and later <= 2 else 1)
PY
