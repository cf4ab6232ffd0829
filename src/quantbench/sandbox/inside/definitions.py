"""What running code has defined, by its name, and what a value of it holds; no conversation."""

import importlib
import operator
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from typing import Any

from quantbench.sandbox.inside import failures
from quantbench.sandbox.inside.instances import class_of_python, class_under, state_of
from quantbench.sandbox.inside.values import container_of


def named_class(module: Any, name: Any) -> type | None:
    """A class of Python's own that the tests may be told of: a kind of value, or an exception."""
    found = class_of_python(module, name)
    return found or (failures.known_class(module, name, lambda name: None) if module else None)


def defined_in(namespace: dict[str, Any], name: str, home: dict[str, Any]) -> Any:
    """The function or class that code running in `home` has defined by this name; None if there is none."""
    first, *rest = name.split(".")
    found = namespace.get(first)
    if isinstance(found, type):
        for part in rest:
            found = vars(found).get(part) if isinstance(found, type) else None
        return found if isinstance(found, type) and class_under(found, name) else None
    return found if not rest and getattr(found, "__globals__", None) is home else None


def parts_of(value: Any) -> list[Any]:
    """What a value holds, as objects: it is unchanged as long as these are the same ones."""
    container = container_of(type(value))
    if container is None:
        return list(chain.from_iterable(state_of(value)))
    with suppress(Exception):  # a program may have made a value of its argument that cannot be read
        read = container.read(value)
        return list(chain.from_iterable(read)) if container.pairs else list(read)
    return []


def are_same(before: list[Any], after: list[Any]) -> bool:
    return len(before) == len(after) and all(map(operator.is_, before, after))


def run_coroutine(coroutine: Any) -> Any:
    """Run it to its end, in a loop of its own."""
    return importlib.import_module("asyncio").run(coroutine)


async def awaitable(function: Callable[[], Any]) -> Any:
    """What a call of their function gives, when it is awaited."""
    return function()
