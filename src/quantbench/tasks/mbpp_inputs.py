"""MBPP+'s inputs as its functions take them: JSON has no tuples, sets and complex numbers.

Which problems take what is a fact of the data set, by number, as EvalPlus restores it (data/mbpp.py).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from quantbench.tasks.problem import Problem

Arguments = list[Any]


def each_a_tuple(arguments: Arguments) -> Arguments:
    """Every argument as a tuple."""
    return [tuple(value) for value in arguments]


def each_of_tuples(arguments: Arguments) -> Arguments:
    """Every argument as a list of tuples."""
    return [[tuple(item) for item in value] for value in arguments]


def first_of_tuples(arguments: Arguments) -> Arguments:
    """The first of two arguments as a list of tuples."""
    return [[tuple(item) for item in arguments[0]], arguments[1]]


def second_a_tuple(arguments: Arguments) -> Arguments:
    """The second of two arguments as a tuple."""
    return [arguments[0], tuple(arguments[1])]


def first_a_tuple(arguments: Arguments) -> Arguments:
    """The first argument as a tuple, two at most behind it."""
    return [tuple(arguments[0]), *arguments[1:]]


def tuples_of_tuples(arguments: Arguments) -> Arguments:
    """Every argument as a tuple of tuples."""
    return [tuple(tuple(item) for item in value) for value in arguments]


def of_sets(arguments: Arguments) -> Arguments:
    """A list of sets; an empty list stands for an empty dictionary."""
    return [[set(item) if isinstance(item, list) and item else {} for item in arguments[0]]]


def float_and_complex(arguments: Arguments) -> Arguments:
    """A float and a complex number."""
    return [float(arguments[0]), complex(arguments[1])]


def a_complex(arguments: Arguments) -> Arguments:
    """One complex number."""
    return [complex(arguments[0])]


def mixed_in_a_tuple(arguments: Arguments) -> Arguments:
    """A tuple in which lists are tuples."""
    return [tuple(tuple(item) if isinstance(item, list) else item for item in arguments[0])]


def values_as_tuples(arguments: Arguments) -> Arguments:
    """A dictionary of tuples, and what follows it."""
    return [{key: tuple(value) for key, value in arguments[0].items()}, *arguments[1:]]


def all_as_tuples(arguments: Any) -> Any:
    """Every list, however deep, as a tuple; the arguments too."""
    return tuple(map(all_as_tuples, arguments)) if isinstance(arguments, list) else arguments


RULES: Mapping[Callable[[Arguments], Any], tuple[int, ...]] = {
    each_a_tuple: (
        *(2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429, 470, 560, 579, 596, 616, 630, 726, 740),
        *(744, 809),
    ),
    each_of_tuples: (63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780),
    first_of_tuples: (75, 413, 444, 753),
    second_a_tuple: (106, 750),
    of_sets: (115,),
    float_and_complex: (124,),
    first_a_tuple: (250, 307, 405, 446, 617, 720, 763, 808),
    tuples_of_tuples: (259, 401, 445),
    mixed_in_a_tuple: (278,),
    values_as_tuples: (722,),
    a_complex: (252,),
    all_as_tuples: (580, 615, 791),
}
BY_NUMBER = {number: rule for rule, numbers in RULES.items() for number in numbers}


def restored(problem: Problem) -> Problem:
    """The problem with its inputs as its function takes them; damaged ones are left for whoever uses them."""
    number = problem.task_id.rpartition("/")[2]
    rule = BY_NUMBER.get(int(number)) if number.isdecimal() else None
    if rule is None or problem.inputs is None:
        return problem
    inputs = dict(problem.inputs)
    for name in ("base_input", "plus_input"):
        try:
            inputs[name] = [list(rule(arguments)) for arguments in inputs[name]]
        except (TypeError, ValueError, KeyError, IndexError, AttributeError):
            continue
    return replace(problem, inputs=inputs)
