"""Exceptions as data: which class, by its line of bases, with its arguments and attributes.

A class of Python's own or of the prompt is rebuilt as itself. One that the program made becomes a class of
the same name below the nearest base that is known, so that `except ValueError` still catches it. Nothing
like StopIteration leaves a call as such: it would end a loop of the test without a word.
"""

import builtins
import sys
from collections.abc import Callable
from typing import Any

from quantbench.sandbox.inside.kinds import Malformed

TEXT = 500
NAME = 100
_LOOP_ENDS = (StopIteration, StopAsyncIteration)
_PLAIN_STOPS = (SystemExit, KeyboardInterrupt)  # a test may expect these; other stops are no exception of its


class ProgramStopped(BaseException):
    """The program raised something that is no ordinary exception: GeneratorExit, a group, its own."""


Defined = Callable[[str], Any]


def describe(error: BaseException) -> list[str]:
    """An exception as [type name, text]; never raises, whatever its __str__ does."""
    try:
        text = str(error)[:TEXT]
    except BaseException:
        text = ""
    return [type(error).__name__[:NAME], text]


def class_names(kind: type, defined: Defined) -> list[list[str]]:
    """The class and its bases as [module, name]; the module of what the program defines is empty."""
    names = []
    for base in kind.__mro__:
        name = base.__qualname__
        own = defined(name) is base or _of_python(base.__module__, name) is not base
        names.append(["" if own else base.__module__, name[:NAME]])
    return names


def known_class(module: Any, name: Any, defined: Defined) -> type[BaseException] | None:
    """The exception of this name that Python or the prompt defines."""
    if not isinstance(module, str) or not isinstance(name, str):
        raise Malformed("a reply holds a damaged exception")
    found = _of_python(module, name) if module else defined(name)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def _of_python(module: str, name: str) -> Any:
    """What a module of the standard library calls by this name, if the module is loaded."""
    if module.partition(".")[0] not in sys.stdlib_module_names:
        return None
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = vars(found).get(part) if isinstance(found, type) or hasattr(found, "__dict__") else None
    return found


def rebuild(
    names: list[Any], args: tuple[Any, ...], state: dict[str, Any], text: str, defined: Defined
) -> Any:
    """The exception that these parts tell of; ProgramStopped where it is no Exception."""
    known = [known_class(module, name, defined) for module, name in names]
    base = next((kind for kind in known if kind is not None), BaseException)
    name = str(names[0][1]).rpartition(".")[2]
    if issubclass(base, _LOOP_ENDS):
        return RuntimeError(f"the program raised {name}")
    if base not in _PLAIN_STOPS and not issubclass(base, Exception):
        return ProgramStopped(f"{name}: {text}")
    if known[0] is None:
        return _stand_in(name, base, args, state, text)
    return _instance(base, args, state)


def _stand_in(name: str, base: type[BaseException], args: Any, state: dict[str, Any], text: str) -> Any:
    """An exception of the program's own class; its text is what it said in the box."""
    kind = type(name, (base,), {"__module__": builtins.__name__, "__str__": lambda self: text})
    return _instance(kind, args, state)


def _instance(kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    """With these arguments, without running an __init__ of the prompt's."""
    plain = next(base for base in kind.__mro__ if vars(builtins).get(base.__name__) is base)
    error: BaseException
    try:
        error = kind.__new__(kind, *args)
        plain.__init__(error, *args)  # which sets errno, code and the like
    except Exception:  # arguments that Python itself would not have given it
        return RuntimeError(f"{kind.__name__}: {args}")
    error.args = args
    vars(error).update(state)
    return error
