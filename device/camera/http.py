"""JPEGs over HTTP: a stream of them, or an address that gives one image for each request."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import (
    BaseHandler,
    HTTPBasicAuthHandler,
    HTTPDigestAuthHandler,
    HTTPPasswordMgrWithPriorAuth,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    build_opener,
)

import cv2
import numpy as np

from pocketsight.device.camera.capture_thread import CaptureDevice, RawFrame
from pocketsight.device.camera.jpeg_stream import JpegStream
from pocketsight.device.errors import CameraError
from pocketsight.device.vision.image import to_rgb
from pocketsight.device.vision.pixels import jpeg_pixels

CHUNK_BYTES = 1 << 16
MAX_IMAGE_BYTES = 1 << 25  # the largest answer without an image
OPEN_HINT = "is it on, does this machine reach it, and is the port right?"
# Kinds of text that are no video; playlists of streams have other names.
TEXT_TYPES = "text/html", "application/xhtml+xml", "application/json", "text/xml", "application/xml"


@contextmanager
def open_http(address: str, shown: str, poll_rate: float, timeout: float) -> Iterator[CaptureDevice | None]:
    """Open an address; None where it gives another stream than JPEGs. `shown` is the address without its password.

    An address that gives single images is asked `poll_rate` times per second. Raises CameraError, which names what the
    server sends instead of images.
    """
    opener, url = _make_opener(address)
    name = f"camera {shown!r}"
    with _request(opener, url, name, timeout) as response:
        kind = response.headers.get_content_type() if response.headers.get("Content-Type") else ""
        if kind in TEXT_TYPES:
            what = "a web page" if "html" in kind else f"text of the type {kind}"
            raise CameraError(f"{name} sends {what}, not video; use the address of its stream or of its snapshots")
        if kind.startswith("image/"):
            yield CaptureDevice(_poll_reader(opener, url, name, poll_rate, timeout), poll_rate)
        elif kind.startswith("multipart/"):
            yield CaptureDevice(_stream_reader(response, name))
        else:
            yield None


class _CloseRefusal(BaseHandler):
    """Closes the answer that asks for a password: the handlers of urllib, which ask again, leave it open."""

    handler_order = 400  # before theirs

    def http_error_401(self, request: object, answer: IO[bytes], *details: object) -> None:
        answer.close()


def _make_opener(address: str) -> tuple[OpenerDirector, str]:
    """An opener that knows user and password of an address, and the address without them."""
    parts = urlsplit(address)
    user, at, host = parts.netloc.rpartition("@")
    url = urlunsplit(parts._replace(netloc=host))
    passwords = HTTPPasswordMgrWithPriorAuth()  # a second request has the password at once
    if at:
        name, _, password = user.partition(":")
        passwords.add_password(None, url, unquote(name), unquote(password))
    # Cameras sign their own certificates; they are not checked, as by FFmpeg.
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    handlers = (
        _CloseRefusal(),
        HTTPBasicAuthHandler(passwords),
        HTTPDigestAuthHandler(passwords),
        HTTPSHandler(context=tls),
    )
    return build_opener(ProxyHandler({}), *handlers), url


def _request(opener: OpenerDirector, url: str, name: str, timeout: float) -> HTTPResponse:
    """The answer of the server. Raises CameraError with the reason if it refuses."""
    try:
        response: HTTPResponse = opener.open(url, timeout=timeout)
        return response
    except HTTPError as error:
        error.close()
        if error.code in (401, 403):
            hint = "user or password is wrong; write them as http://USER:PASSWORD@HOST/..."
            raise CameraError(f"{name} refuses access ({error.code}): {hint}") from None
        raise CameraError(f"{name} answers {error.code} {error.reason}; is the path of the address right?") from None
    except (URLError, OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        text = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        raise CameraError(f"{name} cannot be opened ({text}); {OPEN_HINT}") from None


def _stream_reader(response: HTTPResponse, name: str) -> Callable[[], RawFrame | None]:
    """A function that returns the next JPEG of a stream."""

    def images() -> Iterator[bytes]:
        stream = JpegStream()
        silent_bytes = 0
        while data := response.read1(CHUNK_BYTES):
            silent_bytes += len(data)
            for image in stream.feed(data):
                silent_bytes = 0
                yield image
            if silent_bytes > MAX_IMAGE_BYTES:
                break
        if silent_bytes:
            raise CameraError(f"{name} sends a multipart stream without complete JPEG images")

    frames = images()

    def read() -> RawFrame | None:
        image = next(frames, None)
        return None if image is None else RawFrame(jpeg_pixels(image))

    return read


def _poll_reader(
    opener: OpenerDirector, url: str, name: str, rate: float, timeout: float
) -> Callable[[], RawFrame | None]:
    """A function that asks for an image, `rate` times per second."""
    due = 0.0

    def read() -> RawFrame:
        nonlocal due
        time.sleep(max(0.0, due - time.monotonic()))
        due = time.monotonic() + 1 / rate
        with _request(opener, url, name, timeout) as response:
            data = response.read(MAX_IMAGE_BYTES)
        if data[:2] == b"\xff\xd8":
            return RawFrame(jpeg_pixels(data))
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
        if image is None:
            raise CameraError(f"{name} sends an image that cannot be decoded")
        return RawFrame(to_rgb(np.asarray(image, np.uint8)))

    return read
