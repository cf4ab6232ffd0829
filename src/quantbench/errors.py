"""Everything a user can cause to go wrong, as one tree.

Each message is one sentence that names the fix; the command line prints it and exits with code 2.
Programming errors are not here: they keep their traceback.
"""

from collections.abc import Iterable
from difflib import get_close_matches

LONGEST = 1000  # characters of a message: a name out of a damaged file may have millions


class QuantbenchError(Exception):
    """Root of all errors that a user can fix; `str(error)` is one sentence that names the fix."""

    def __str__(self) -> str:
        """The sentence, its middle left out where it is too long to be read."""
        sentence = super().__str__()
        half = LONGEST // 2
        return sentence if len(sentence) <= LONGEST else f"{sentence[:half]} [...] {sentence[-half:]}"


class UsageError(QuantbenchError):
    """An option, a configuration key or a combination of them that cannot work."""


class ModelError(QuantbenchError):
    """A model that cannot be found, read, or run by the engine that was asked for."""


class NotFiniteError(QuantbenchError):
    """Weights, logits or losses that are NaN or infinite under a method."""

    def __init__(self, what: str) -> None:
        """`what` names them with a verb: 'the logits of request 3 are'."""
        super().__init__(
            f"{what} not finite: a weight or an activation is beyond the range of its type; use a type of "
            "wider range (--dtype bf16, or the methods bf16 and fp32), or get an undamaged copy of the model"
        )


class TaskError(QuantbenchError):
    """Task data that is missing, damaged, or of another format."""


class DeviceError(QuantbenchError):
    """A device that is not there or too small."""


class SandboxError(QuantbenchError):
    """Untrusted programs cannot be contained here."""


class StoreError(QuantbenchError):
    """A results folder that cannot be read or written."""


class ServerError(QuantbenchError):
    """A server that cannot be started or reached, is another one, or ends in the middle."""


class RefusedError(ServerError):
    """A request that a server does not answer as asked; others it may."""


def unusable(error: OSError) -> str:
    """The sentence for a path that the system refuses, wherever that shows."""
    where = f"'{error.filename}'" if error.filename else "standard output or a file"
    return str(
        QuantbenchError(f"cannot use {where} ({error.strerror or error}); free it or name another path")
    )


def unknown(kind: str, name: str, choices: Iterable[str]) -> str:
    """The sentence for a name that is not in a registry: `unknown method 'nf5'; choose from: ...`."""
    known = list(choices)
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"unknown {kind} '{name}'; {hint}choose from: {', '.join(known)}"
