"""Every error this project raises on purpose.

PocketsightError
  ModelError    a model is missing, damaged, of another version or for another task
  CameraError   no camera, or it stopped giving frames
  LogError      a record or a video cannot be written
  SettingsError an option or a settings file says what cannot be
  ServeError    an address cannot be served
  DataError     a picture or a data set is missing, malformed, or cannot be written
  ParityError   an exported model does not do what the trained one does (raised by export)
"""


class PocketsightError(Exception):
    """Base class. The command line prints it as one line and exits with status 1."""

    def __str__(self) -> str:
        r"""One line, whatever a damaged file or its name holds: what a terminal would obey is written out, as \x1b."""
        return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in super().__str__())


class ModelError(PocketsightError):
    """A model cannot be used. The message names the file and the command that makes a good one."""


class CameraError(PocketsightError):
    """No frame could be captured."""


class LogError(PocketsightError):
    """What was seen cannot be written down."""


class SettingsError(PocketsightError):
    """A setting cannot be. The message names it, where it came from, and what it may be."""


class ServeError(PocketsightError):
    """A page or a broker cannot be offered or reached as asked."""


class DataError(PocketsightError):
    """A picture or a data set cannot be read."""


class ParityError(PocketsightError):
    """Export lost more than it may, or left a part of the graph outside int8."""
