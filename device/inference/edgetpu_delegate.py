"""A TFLite delegate from a shared library, such as libedgetpu, loaded without holding Python's lock."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

ERROR_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_char_p)


class Delegate:
    """An external delegate, in the form that the TFLite interpreter takes.

    The `load_delegate` of the runtime does the same but holds Python's lock meanwhile, so a device that opens slowly
    would block every thread. Raises OSError when the library does not load, ValueError when it finds no device;
    libedgetpu does not report why.
    """

    def __init__(self, library: str, options: Mapping[str, str]) -> None:
        self.pointer: int | None = None
        self.library = ctypes.CDLL(library)
        try:  # by index: each access gives its own function object, with its own types
            create, self.destroy = (self.library[f"tflite_plugin_{verb}_delegate"] for verb in ("create", "destroy"))
        except AttributeError as error:
            raise OSError(f"{library} is not the library of a delegate") from error
        texts = ctypes.c_char_p * len(options)
        create.argtypes = texts, texts, ctypes.c_size_t, ERROR_CALLBACK
        create.restype, self.destroy.argtypes = ctypes.c_void_p, (ctypes.c_void_p,)
        self.destroy.restype = None
        messages: list[bytes] = []
        keys, values = (texts(*(text.encode() for text in side)) for side in (options.keys(), options.values()))
        self.pointer = create(keys, values, len(options), ERROR_CALLBACK(messages.append))
        if not self.pointer:
            raise ValueError(b" ".join(messages).decode(errors="replace"))

    def _get_native_delegate_pointer(self) -> int | None:  # the name that the interpreter calls
        return self.pointer

    def __del__(self) -> None:
        if self.pointer:
            self.destroy(self.pointer)
