"""The errors that pocketsight raises on purpose.

PocketsightError
  ModelError    a model is missing, damaged, of another version or for another task
  CameraError   no camera, or it stopped delivering frames
  LogError      a log entry or a video cannot be written
  SettingsError an option or a value in a settings file is invalid
  ServeError    a web page cannot be served, or a broker cannot be reached
  DataError     an image or a dataset is missing or malformed, or cannot be written
  ParityError   an exported model differs from the trained one (raised by export)
  BoardError    a board cannot be reached, or refuses what it should run (raised by export)
"""


class PocketsightError(Exception):
    """Base class. The command line prints the message as one line and exits with status 1."""

    def __str__(self) -> str:
        r"""The message on one line. Control characters, which a file name may have, are escaped, such as \x1b."""
        return "".join(char if char.isprintable() else repr(char)[1:-1] for char in super().__str__())


class ModelError(PocketsightError):
    """A model cannot be used. The message names the file and how to get a good one."""


class CameraError(PocketsightError):
    """No frame could be captured."""


class LogError(PocketsightError):
    """A log entry or a video cannot be written."""


class SettingsError(PocketsightError):
    """A setting is invalid. The message names it, where it comes from and what is allowed."""


class ServeError(PocketsightError):
    """The web page cannot be served, or the broker cannot be reached."""


class DataError(PocketsightError):
    """An image or a dataset cannot be read or written."""


class ParityError(PocketsightError):
    """An exported model differs too much from the trained one, or has operators that are not int8."""


class BoardError(PocketsightError):
    """A board cannot be reached, or something cannot run on it. The message begins with its name."""
