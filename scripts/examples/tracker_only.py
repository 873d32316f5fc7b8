"""Follow boxes of your own detector: the tracker needs neither a model nor an image.

python scripts/examples/tracker_only.py
"""

from pocketsight import Box, Detection, Tracker, TrackerConfig

FRAME_RATE = 10.0


def main() -> None:
    tracker = Tracker(TrackerConfig(min_hits=3, max_age=1.0))
    for frame in range(20):
        x = 20.0 * frame
        faces = [Detection(Box(x, 40, x + 60, 110), score=0.9), Detection(Box(500 - x, 200, 560 - x, 270), score=0.8)]
        if frame == 10:
            faces = faces[:1]  # the detector misses the second face once
        now = frame / FRAME_RATE  # seconds of the monotonic clock
        for track in tracker.update(faces, now, captured_at=now):
            print(
                f"frame {frame}: track {track.id} at x={track.box.left:.0f}, {track.velocity[0]:+.0f} pixels a second"
            )
    print(f"{tracker.track_count} tracks")


if __name__ == "__main__":
    main()
