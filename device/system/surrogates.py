"""Text from file names and JSON that no encoding can hold."""

from __future__ import annotations


def replace_surrogates(text: str) -> str:
    """The text with "?" for bytes that are not UTF-8 and for halves of surrogate pairs.

    OpenCV cannot draw them.
    """
    return text.encode("utf-8", "replace").decode("utf-8")
