"""Shares out bytes among matrices, so that the sum of what they lose is least. Imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Choice:
    """One format of a matrix: what it weighs and what it loses."""

    nbytes: int
    loss: float


def share_out(choices: Mapping[str, Sequence[Choice]], budget: int) -> dict[str, int]:
    """Name -> the place of its choice; all of them together weigh at most `budget`, the least there is apart.

    Lagrange's multiplier, a loss a byte, falls from infinity: each matrix goes along the lower convex hull of
    its choices, as far as a step saves more loss a byte than the multiplier. What is then left of the budget
    goes to whatever single change saves most and fits, until none does.
    """
    found = {name: hull(of)[0] for name, of in choices.items()}
    left = budget - sum(choices[name][place].nbytes for name, place in found.items())
    steps = [
        (rate(of[one], of[other]), name, other)
        for name, of in choices.items()
        for one, other in pairwise(hull(of))
    ]
    for _, name, place in sorted(steps, key=lambda step: (-step[0], step[1])):
        of = choices[name]
        more = of[place].nbytes - of[found[name]].nbytes
        if more <= left:
            found[name], left = place, left - more
    while (change := best_change(choices, found, left)) is not None:
        name, place = change
        left -= choices[name][place].nbytes - choices[name][found[name]].nbytes
        found[name] = place
    return found


def hull(of: Sequence[Choice]) -> list[int]:
    """Places of the choices on the lower convex hull, from the lightest on: each step saves less a byte."""
    order = sorted(range(len(of)), key=lambda place: (of[place].nbytes, of[place].loss))
    kept: list[int] = []
    for place in order:
        if kept and of[place].loss >= of[kept[-1]].loss:
            continue
        while len(kept) > 1 and rate(of[kept[-2]], of[kept[-1]]) <= rate(of[kept[-2]], of[place]):
            kept.pop()
        kept.append(place)
    return kept


def rate(one: Choice, other: Choice) -> float:
    """Loss that each byte saves on the way from a choice to a heavier one."""
    return (one.loss - other.loss) / (other.nbytes - one.nbytes)


def best_change(
    choices: Mapping[str, Sequence[Choice]], found: Mapping[str, int], left: int
) -> tuple[str, int] | None:
    """The single change that saves most loss with at most `left` more bytes; None where none saves any."""
    best, most = None, 0.0
    for name, of in choices.items():
        held = of[found[name]]
        for place, choice in enumerate(of):
            if choice.nbytes - held.nbytes <= left and held.loss - choice.loss > most:
                best, most = (name, place), held.loss - choice.loss
    return best
