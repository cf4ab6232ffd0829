"""The program's side: loads untrusted code in a confined child and answers calls of its function.

Nothing here is trusted: the program can change all of it, and gains nothing, because the expected answers
and the verdict are never in this process.
"""

import gc
import os
import random
from typing import Any

from quantbench.sandbox.inside.channel import Channel
from quantbench.sandbox.inside.values import Malformed, describe, pack, unpack

CONFINED, BROKEN = "confined", "broken"
READY, VALUE, RAISED = "ready", "value", "raised"
OUT_OF_MEMORY_STATUS = 70


def serve(channel: Channel) -> None:
    """Receive a program, define it, and answer calls until this process is killed."""
    gc.enable()
    (source, entry_point), number = channel.receive()
    random.seed(0)
    namespace: dict[str, Any] = {}
    try:
        exec(compile(source, "<program>", "exec"), namespace)
        candidate = namespace[entry_point]
    except BaseException as error:
        _answer(channel, number, _raised(error))
        return
    _answer(channel, number, [READY, None])
    while True:
        (args, kwargs), number = channel.receive()
        _answer(channel, number, _call(candidate, unpack(args), unpack(kwargs)))


def _call(candidate: Any, args: list[Any], kwargs: dict[str, Any]) -> list[Any]:
    try:
        return [VALUE, pack(candidate(*args, **kwargs))]
    except BaseException as error:
        return _raised(error)


def _raised(error: BaseException) -> list[Any]:
    if isinstance(error, MemoryError):
        error.__traceback__ = None  # frees what filled the memory
    return [RAISED, describe(error)]


def _answer(channel: Channel, number: int, answer: list[Any]) -> None:
    try:
        channel.send(answer, number)
    except Malformed as error:
        channel.send([RAISED, ["OverflowError", str(error)]], number)
    except MemoryError:
        os._exit(OUT_OF_MEMORY_STATUS)
