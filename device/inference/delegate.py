"""TODO docstring."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

ERROR_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_char_p)


class Delegate:
    """What a shared library offers in the place of the CPU, as the interpreter takes it.

    The runtime's own `load_delegate` does the same, but holds Python's lock meanwhile: a device that takes seconds to
    open, or never answers, would hold up everything else. Raises OSError when there is no such library, ValueError when
    the library finds no device; libedgetpu does not say why.
    """

    def __init__(self, library: str, options: Mapping[str, str]) -> None:
        self.pointer: int | None = None
        self.library = ctypes.CDLL(library)
        try:
            create, self.destroy = (
                self.library[f"tflite_plugin_{verb}_delegate"] for verb in ("create", "destroy")
            )  # each its own, to have types of its own
        except AttributeError as error:
            raise OSError(f"{library} is no library of a delegate") from error
        texts = ctypes.c_char_p * len(options)
        create.argtypes = texts, texts, ctypes.c_size_t, ERROR_CALLBACK
        create.restype, self.destroy.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
        self.destroy.restype = None
        said: list[bytes] = []
        keys, values = (texts(*(text.encode() for text in side)) for side in (options.keys(), options.values()))
        self.pointer = create(keys, values, len(options), ERROR_CALLBACK(said.append))
        if not self.pointer:
            raise ValueError(b" ".join(said).decode(errors="replace"))

    def _get_native_delegate_pointer(self) -> int | None:  # the name that the interpreter calls
        return self.pointer

    def __del__(self) -> None:
        if self.pointer:
            self.destroy(self.pointer)
