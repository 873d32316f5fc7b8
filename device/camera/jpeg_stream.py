"""JPEGs in a stream of bytes, whatever is between them: multipart headers that are wrong or missing do no harm."""

from __future__ import annotations

import re
from collections.abc import Iterator

START = b"\xff\xd8\xff"
# In coded pixels, FF is followed by 00 or by D0 to D7; everything else is the next marker.
MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
END_OF_IMAGE, START_OF_IMAGE, START_OF_SCAN = 0xD9, 0xD8, 0xDA


class JpegStream:
    """Pass it the bytes as they arrive; a truncated JPEG is left out."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.position = 0  # the next byte to look at
        self.in_image = self.in_scan = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add bytes; yields the JPEGs that are complete now."""
        self.buffer += data
        while self._advance():
            if not self.in_image:
                yield bytes(self.buffer[: self.position])
                self._drop(self.position)

    def _advance(self) -> bool:
        """Go on to the next marker, or to the end of an image; False where more bytes are needed."""
        if not self.in_image:
            return self._find_start(0)
        if self.in_scan:
            return self._find_marker()
        if len(self.buffer) < self.position + 4:
            return False
        fill, marker, high, low = self.buffer[self.position : self.position + 4]
        if fill != 0xFF or marker == START_OF_IMAGE:  # this was no JPEG
            return self._find_start(self.position if marker == START_OF_IMAGE else 2)
        if marker == 0xFF:
            self.position += 1
            return True
        if marker == END_OF_IMAGE:
            self.position, self.in_image = self.position + 2, False
            return True
        self.position += 2 + (high << 8 | low)
        self.in_scan = marker == START_OF_SCAN
        return True

    def _find_start(self, begin: int) -> bool:
        start = self.buffer.find(START, begin)
        self.in_scan = False
        self.in_image = start >= 0
        self._drop(start if start >= 0 else max(begin, len(self.buffer) - len(START) + 1))
        self.position = 2 if self.in_image else 0
        return self.in_image

    def _find_marker(self) -> bool:
        match = MARKER.search(self.buffer, self.position)
        if match is None:
            self.position = max(self.position, len(self.buffer) - 1)
            return False
        self.position, marker = match.start(), self.buffer[match.start() + 1]
        if marker == START_OF_IMAGE:  # the one before was cut off
            return self._find_start(self.position)
        self.in_scan = False
        return True

    def _drop(self, count: int) -> None:
        del self.buffer[:count]
        self.position = 0
