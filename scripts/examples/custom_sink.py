"""Send log entries to a place of your own: a sink is a class with `write` and `close`. This one counts labels.

python scripts/examples/custom_sink.py SOURCE      # a video file, an image or a folder of images
"""

import sys
from collections import Counter
from collections.abc import Sequence

from pocketsight import Pipeline, load_model, open_camera
from pocketsight.device.faults import ignore_fault
from pocketsight.device.results import LogEntry, frame_entry
from pocketsight.device.sinks.worker import SinkWorker


class LabelCounter:
    name, batch_interval, bytes_written, entries_deleted = "label counter", 0.1, 0, 0

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def write(self, entries: Sequence[LogEntry]) -> None:
        self.counts.update(face["label"] for entry in entries for face in entry["faces"])

    def close(self) -> None:
        print(dict(self.counts))


def main(source: str) -> None:
    pipeline = Pipeline(load_model("detector"), load_model("classifier"))
    worker = SinkWorker(LabelCounter(), ignore_fault)  # a thread and a queue, so that a slow sink stops no camera
    with open_camera(source) as camera:
        for frame in camera:
            worker.put(frame_entry(pipeline(frame), latency=0.0, clock_synced=None))
    worker.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
