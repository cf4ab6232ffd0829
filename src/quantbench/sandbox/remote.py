"""An instance of the class that a program was asked to write: it stays in the box and is used from here.

Attributes, methods, items and lengths are the class's answers, like those of a function. What would let an
object judge itself is not asked for: it equals and precedes other instances as the box says, nothing else.
"""

from typing import Any

from quantbench.sandbox.inside.kinds import Malformed
from quantbench.sandbox.inside.peer import Peer, RemoteFunction

_ASKED = (
    *("__len__", "__getitem__", "__setitem__", "__delitem__", "__contains__", "__iter__", "__next__"),
    *("__call__", "__str__", "__repr__", "__bool__", "__int__", "__float__", "__enter__", "__exit__"),
)
_BETWEEN = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "__add__", "__sub__", "__mul__")


class RemoteInstance:
    """`operate` is the box's function that reads, writes and uses the instance."""

    def __init__(self, operate: RemoteFunction) -> None:
        object.__setattr__(self, "_operate", operate)

    def operator_number(self) -> int:
        """By which the box knows the instance."""
        number: int = vars(self)["_operate"].__remote__[1]
        return number

    def __getattr__(self, name: str) -> Any:
        return vars(self)["_operate"]("getattr", name)

    def __setattr__(self, name: str, value: Any) -> None:
        vars(self)["_operate"]("setattr", name, value)

    def __hash__(self) -> int:
        return self.operator_number()


def _ask(name: str) -> Any:
    return lambda self, *args: vars(self)["_operate"](name, *args)


def _ask_between(name: str) -> Any:
    def ask(self: Any, other: Any) -> Any:
        if not isinstance(other, RemoteInstance):
            return NotImplemented
        return vars(self)["_operate"](name, other)

    return ask


for _name in _ASKED:
    setattr(RemoteInstance, _name, _ask(_name))
for _name in _BETWEEN:
    setattr(RemoteInstance, _name, _ask_between(_name))


class RemoteClass:
    """The class under test: calling it makes an instance in the box."""

    def __init__(self, peer: Peer, name: str) -> None:
        self._peer = peer
        self._operate: RemoteFunction | None = None
        self.__name__ = self.__qualname__ = name

    def operated_by(self, operate: RemoteFunction) -> None:
        """Set the box's function that reads its attributes."""
        self._operate = operate

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._peer.call(None, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        self._peer.loaded()  # type: ignore[attr-defined]
        if self._operate is None:
            raise Malformed("the program defines no class")
        return self._operate("getattr", name)

    def __instancecheck__(self, instance: Any) -> bool:
        return isinstance(instance, RemoteInstance)
